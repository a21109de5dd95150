"""The channel to the server of a folder, which knows what that server does with its folder.

The server answers before it knows what it can keep. Its append-only file is written after the
commands of one turn of its loop and before their answers are sent; where that write fails, the
answers are sent all the same, and only the next turn's commands are refused. What was answered is
in the server's memory alone then, and gone with the server. So where room is scarce, or was not
seen a moment before, a change is followed by one more question: whether what was answered is in
the file.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, TypeVar

from agent_memory.connections.circuit_breaker import CircuitBreaker
from agent_memory.connections.disk_space import advice_for
from agent_memory.connections.embedded.about import instance_of
from agent_memory.connections.embedded.server import EmbeddedServer
from agent_memory.connections.redis.answers import name_of
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.clients import RedisClient
from agent_memory.connections.redis.commands import Command
from agent_memory.connections.redis.conversation import Conversation
from agent_memory.connections.redis.script import Script
from agent_memory.errors import StoreFull, StoreUnavailable

_R = TypeVar("_R")

_ROOM_HOLDS = 0.1  # seconds for which room that was seen is taken to be there
_LOOK_HOLDS = 0.005  # seconds for which a folder that was there is taken to be there

_READS: Final = re.compile(
    "CONFIG|DUMP|EXISTS|FT.INFO|FT.SEARCH|FT._LIST|GET|HGET|HGETALL|HLEN|HMGET|INFO|LLEN|LRANGE"
    "|MEMORY|MODULE|PEXPIRETIME|PING|PTTL|SCAN|SCARD|SCRIPT|SMEMBERS|STRLEN|TYPE|XLEN|XRANGE"
    "|XREVRANGE|ZCARD|ZRANGE|ZRANGEBYSCORE|ZREVRANGE|ZREVRANGEBYSCORE|ZSCAN|ZSCORE"
)


class FolderChannel(RedisChannel):
    """A channel to the server of a folder.

    It notices when the folder is no longer there: the server would go on with deleted files, and
    acknowledge what nobody finds afterwards. And it answers for no change that is not in the
    server's file.

    Args:
        client: A client of the server.
        name: The server, as messages shall call it.
        heal: Starts the server again if it has ended, and gives a client of it.
        server: The server.
        breaker: Of the server, shared by all its channels.
    """

    def __init__(
        self,
        client: RedisClient,
        name: str,
        heal: Callable[[], RedisClient],
        server: EmbeddedServer,
        breaker: CircuitBreaker,
    ) -> None:
        super().__init__(client, name, heal, kind="embedded", breaker=breaker)
        self._server = server
        self._answering = _Answering()
        self._roomy_at = -math.inf  # when there was room as it was looked for last

    def call(self, *command: Any, repeatable: bool = True) -> Any:
        """Send one command and return its answer; see ``RedisChannel.call``.

        Raises:
            StoreFull: There is no room for the change.
            StoreUnavailable: The server does not answer, or cannot serve.
        """
        ask = partial(super().call, *command, repeatable=repeatable)
        return self._kept(ask, is_change=not _reads(command))

    def call_all(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands and return their answers; see ``RedisChannel.call_all``.

        Raises:
            StoreFull: There is no room for the changes.
            StoreUnavailable: The server does not answer, or cannot serve.
        """
        ask = partial(super().call_all, commands)
        return self._kept(ask, is_change=not all(map(_reads, commands)))

    def run(self, script: Script, calls: Sequence[tuple[Sequence[str], Sequence[Any]]], *,
            repeatable: bool = True) -> list[Any]:  # fmt: skip
        """Run a script once for each of the given arguments; see ``RedisChannel.run``.

        Raises:
            StoreFull: There is no room for the changes.
            StoreUnavailable: The server does not answer, or cannot serve.
        """
        ask = partial(super().run, script, calls, repeatable=repeatable)
        return self._kept(ask, is_change=script.writes)

    @contextmanager
    def conversation(self) -> Iterator[Conversation]:
        """Lend a connection for requests that write; see ``RedisChannel.conversation``.

        Raises:
            ConversationLost: The connection was lost.
            StoreFull: There is no room for the changes.
            StoreUnavailable: The server does not answer, or not as one does.
        """
        begun = time.monotonic()
        with super().conversation() as conversation:
            instance = self._server.instance  # of another, the connection would be lost by now
            yield conversation
        self._server.check_folder()
        self._check_kept({instance}, begun)

    def _exchange(
        self, commands: Sequence[Command], repeatable: bool, *, at_once: bool = False
    ) -> list[Any]:
        replies = super()._exchange(commands, repeatable, at_once=at_once)
        if time.monotonic() > self._answering.looked_at + _LOOK_HOLDS:
            # What was acknowledged was in the folder by then.
            self._server.check_folder()
        return replies

    def _exchange_once(self, commands: Sequence[Command]) -> list[Any]:
        instance = self._server.instance
        replies = super()._exchange_once(commands)
        self._answering.instances.add(instance)
        return replies

    def _while_waiting(self) -> None:
        # While there is nothing else to do. A folder that is moved between this and an answer that
        # comes at once is as one that is moved after it: what was stored has moved with it.
        in_place = self._server.is_in_place()
        # Not left at that of the last request, which may have been a moment before.
        self._answering.looked_at = time.monotonic() if in_place else -math.inf

    def _kept(self, ask: Callable[[], _R], *, is_change: bool) -> _R:
        """What the server answers, once a change is in its file."""
        begun, answering = time.monotonic(), self._answering
        instances: set[str | None] = set()
        # What is called before each request may ask in the midst of this one.
        outer, answering.instances = answering.instances, instances
        try:
            answer = ask()
        except StoreUnavailable as error:
            raise self._told(error) from error
        finally:
            answering.instances = outer
        if is_change:
            self._check_kept(instances, begun)
        return answer

    def _check_kept(self, instances: Set[str | None], begun: float) -> None:
        """See that what was changed is in the server's file.

        Args:
            instances: The instances of the server that have answered.
            begun: When the change was sent, by the monotonic clock.

        Raises:
            StoreFull: It is not.
            StoreUnavailable: The server has ended since, and may not have written it.
        """
        if self._had_room(begun):
            return
        # A server that could not write what it has answered refuses this too.
        try:
            _, about = super().call_all([("PING",), ("INFO", "server")])
        except StoreUnavailable as error:
            raise self._told(error) from error
        # A lost connection tells nothing: the same server may have answered on another.
        self._server.instance = instance = instance_of(about)
        if instances != {instance}:
            raise StoreUnavailable(
                f"{self.where} has ended before it was seen to keep a change: call again"
            )

    def _had_room(self, begun: float) -> bool:
        """Whether there is room, and was when a change was sent or shortly before."""
        before, has_room = self._roomy_at, self._server.has_room()
        self._roomy_at = time.monotonic() if has_room else -math.inf
        return has_room and before >= begun - _ROOM_HOLDS

    def _told(self, error: StoreUnavailable) -> StoreUnavailable:
        refused = "MISCONF" in str(error)
        # With durability="always" it ends instead of answering for what it cannot write.
        ended = type(error) is StoreUnavailable and self._server.is_out_of_room()
        if not refused and not ended:
            return error
        advice, said = advice_for(self._server.folder), error.__cause__ or "it ended"
        return StoreFull(f"{self.where} cannot write to its file ({said}); {advice}")


class _Answering(threading.local):
    """What a thread knows of its request.

    Attributes:
        instances: The instances of the server that have answered it.
        looked_at: When the folder was last seen to be there, by the monotonic clock.
    """

    def __init__(self) -> None:
        self.instances: set[str | None] = set()
        self.looked_at = -math.inf


def _reads(command: Command) -> bool:
    return _READS.fullmatch(name_of(command)) is not None
