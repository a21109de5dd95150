"""Names the points between the I/O steps of an operation, so that something can happen there.

A point is where an exchange with a store is about to begin, or has just ended: a request to Redis,
a transaction of long-term memory and its commit, a transaction of the spool, and, where asked for,
what changes names of files, takes locks and starts programs. Its name says what is done and how
far it has come, as in ``store, move im->ltm: before sql commit``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, Self
from unittest.mock import patch

from agent_memory.connections.redis.answers import name_of
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.commands import Command, PackedCommand
from agent_memory.connections.redis.conversation import Conversation
from agent_memory.connections.redis.script import Script
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.redis import attributes as redis_attributes
from agent_memory.repositories.redis import counts as redis_counts
from agent_memory.repositories.redis import queries as redis_queries
from agent_memory.repositories.redis import scripts as redis_scripts
from agent_memory.repositories.sql.transactions import Transactions
from agent_memory.repositories.sql.work import UnitOfWork
from agent_memory.tiers import moving
from agent_memory.tiers.spool_file import SpoolFile

_SCRIPTS = {
    found.digest: name.strip("_").lower()
    for module in (redis_scripts, redis_attributes, redis_counts, redis_queries)
    for name, found in vars(module).items()
    if isinstance(found, Script)
}
_FILES = ("fcntl.flock", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "subprocess.Popen")


class IoPoints:
    """Tells of each point that this process passes in an operation; use it as a context manager.

    Args:
        passed: Called with the name of each point; whatever it does, happens there.
        files: Whether to tell of files, locks and programs too.
    """

    def __init__(self, passed: Callable[[str], object], *, files: bool = False) -> None:
        self._passed = passed
        self._operations: list[str] = []
        self._patches = ExitStack()
        self._silent = False
        if files:
            sys.addaudithook(self._heard)  # which stays for as long as the process does

    @contextmanager
    def operation(self, name: str) -> Iterator[None]:
        """Tell of points in the block, and name this operation with them."""
        self._operations.append(name)
        try:
            yield
        finally:
            self._operations.pop()

    def __enter__(self) -> Self:
        watch = self._patches.enter_context
        watch(patch.object(RedisChannel, "_exchange_once", self._redis()))
        watch(patch.object(Conversation, "send", self._sending()))
        watch(patch.object(Conversation, "answers", self._answers()))
        watch(patch.object(moving, "move", self._moves()))
        watch(patch.object(UnitOfWork, "commit", self._commit()))
        for owner, name, what in (
            (Transactions, "writing", "sql transaction"),
            (SpoolFile, "working", "spool transaction"),
        ):
            watch(patch.object(owner, name, self._around(getattr(owner, name), what)))
        return self

    def __exit__(self, *_: object) -> None:
        self._patches.close()

    def _tell(self, where: str) -> None:
        if self._operations and not self._silent:
            # What is done at a point has no points of its own.
            self._silent = True
            try:
                self._passed(f"{', '.join(dict.fromkeys(self._operations))}: {where}")
            finally:
                self._silent = False

    def _heard(self, event: str, _arguments: object) -> None:
        if event in _FILES:
            self._tell(f"before {event}")

    def _redis(self) -> Callable[..., Any]:
        exchange = RedisChannel._exchange_once  # noqa: SLF001  # the one place all requests pass

        @wraps(exchange)
        def watched(channel: RedisChannel, commands: Sequence[Command]) -> Any:
            if not commands:
                return exchange(channel, commands)
            name = _name_of(commands)
            self._tell(f"before {name}")
            replies = exchange(channel, commands)
            self._tell(f"after {name}")
            return replies

        return watched

    def _sending(self) -> Callable[..., Any]:
        send = Conversation.send

        @wraps(send)
        def watched(conversation: Conversation, name: str, packed: bytes, count: int) -> None:
            self._tell(f"before redis {name}")
            send(conversation, name, packed, count)
            self._tell(f"after redis {name} is sent")

        return watched

    def _answers(self) -> Callable[..., Any]:
        read = Conversation.answers

        @wraps(read)
        def watched(conversation: Conversation) -> Any:
            answers = read(conversation)
            self._tell("after redis answers")
            return answers

        return watched

    def _moves(self) -> Callable[..., Any]:
        move = moving.move

        @wraps(move)
        def watched(
            source: MemoryRepository, destination: MemoryRepository, *arguments: Any
        ) -> Any:
            if not self._operations:
                return move(source, destination, *arguments)
            with self.operation(f"move {_named(source)}->{_named(destination)}"):
                return move(source, destination, *arguments)

        return watched

    def _commit(self) -> Callable[..., Any]:
        commit = UnitOfWork.commit

        @wraps(commit)
        def watched(work: UnitOfWork) -> None:
            self._tell("before sql commit")
            commit(work)
            self._tell("after sql commit")

        return watched

    def _around(self, opened: Callable[..., Any], what: str) -> Callable[..., Any]:
        @contextmanager
        def watched(*arguments: Any, **named: Any) -> Iterator[Any]:
            self._tell(f"before {what}")
            with opened(*arguments, **named) as connection:
                yield connection
            self._tell(f"after {what}")

        return watched


def _name_of(commands: Sequence[Command]) -> str:
    """What is asked by a request: a script or the commands."""
    return "redis " + ", ".join(dict.fromkeys(map(_name_of_command, commands)))


def _name_of_command(command: Command) -> str:
    if not isinstance(command, PackedCommand):
        if command[0] == "EVALSHA":
            return _SCRIPTS.get(str(command[1]), "script")
        if command[0] == "SCRIPT":
            return "SCRIPT LOAD"
    return name_of(command)


def _named(repository: MemoryRepository) -> str:
    return repository.tier.name.lower()
