"""Sends commands to a Redis server, and translates what goes wrong.

``RedisChannel`` packs all commands of a request once and writes them to one pooled connection,
which halves what a redis-py pipeline costs a small write. When the connection is lost it sends the
request once more: all may be repeated, but for those that say otherwise. A server that this package
starts itself is started again first: it serves, or the error says why it cannot be started.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import Any, TypeVar

import redis

from agent_memory.connections.circuit_breaker import CircuitBreaker, server_breaker
from agent_memory.connections.confirmation import Confirmation
from agent_memory.connections.redis.answers import is_sound, name_of
from agent_memory.connections.redis.blocks import Blocks
from agent_memory.connections.redis.clients import client_of_child, connected
from agent_memory.connections.redis.commands import Command, packed_command
from agent_memory.connections.redis.conversation import Conversation, ConversationLost, is_lost
from agent_memory.connections.redis.engine import EngineKind, RedisEngine, probe
from agent_memory.connections.redis.errors import (
    LOSSES,
    no_redis,
    raise_alarm,
    translated,
    translating_redis_errors,
)
from agent_memory.connections.redis.looking import look_at
from agent_memory.connections.redis.reading import read_answers, stay_awake
from agent_memory.connections.redis.script import Script
from agent_memory.errors import StoreUnavailable
from agent_memory.values.forking import ForkGate, after_fork
from agent_memory.values.interruptions import raise_if_interrupted

MOST_STARTS = 5
"""How often a request starts the server again: one that ends it each time must not go on so."""

_R = TypeVar("_R")


class RedisChannel:
    """Sends requests to one Redis server and reads their answers; threads may share it.

    Args:
        client: A binary client (``decode_responses=False``) that speaks RESP 2.
        where: The server, as messages shall call it. No secrets.
        heal: For a server that this package starts: called after a lost connection, starts it
            again if it has ended, and gives the client to send the request again on.
        in_process: Whether the server is in this process, as fakeredis is: a fork in the middle
            of a request would leave its lock held in the child for ever.
        kind: How the server was chosen.
        breaker: Of the server, shared by all its channels; None: one of its own.
        confirmation: What replicas are asked before what is written counts as stored.

    Attributes:
        before: Called before each request: stores what this process has gathered.
        losses: How often a connection was lost so far, and a request sent again on another.
    """

    def __init__(
        self,
        client: redis.Redis,
        where: str,
        heal: Callable[[], redis.Redis] | None = None,
        *,
        in_process: bool = False,
        kind: EngineKind = "redis",
        breaker: CircuitBreaker | None = None,
        confirmation: Confirmation | None = None,
    ) -> None:
        self.client = client
        self.confirmation = confirmation
        self.where = where
        self._heal = heal
        self._gate = ForkGate() if in_process else None
        self._idle: list[Any] = []
        self._kind: EngineKind = "fake" if in_process else kind
        self.losses = 0
        self.before: Callable[[], object] = nothing
        self._engine: tuple[int, RedisEngine] | None = None
        # Of one that hangs each call would wait for its whole timeout.
        self.breaker = breaker or server_breaker()
        after_fork(self._renew)

    @property
    def is_started_here(self) -> bool:
        """Whether this package starts the server, and so need not wait for it to come back."""
        return self._heal is not None

    @property
    def engine(self) -> RedisEngine:
        """What the server is and can do; asked once, and again after the connection was lost.

        Raises:
            StoreUnavailable: The server does not answer, or cannot serve.
        """
        # Whoever loses the connection meanwhile leaves what is found here out of date.
        while self._engine is None or self._engine[0] != self.losses:
            losses = self.losses
            with translating_redis_errors(self.where):
                try:
                    found = probe(self._kind, lambda commands: self._exchange(commands, True))
                except (TypeError, ValueError, KeyError, AttributeError) as error:
                    raise self.not_redis("MODULE LIST or INFO") from error
            self._engine = losses, found
        return self._engine[1]

    @cached_property
    def measures_memory(self) -> bool:
        """Whether the server knows MEMORY USAGE (fakeredis does not)."""
        with translating_redis_errors(self.where):
            (reply,) = self._exchange([("MEMORY", "USAGE", "nothing")], True)
        return not isinstance(reply, redis.exceptions.ResponseError)

    def call(self, *command: Any, repeatable: bool = True) -> Any:
        """Send one command and return its answer.

        Raises:
            StoreUnavailable: The server does not answer, or cannot serve.
        """
        with translating_redis_errors(self.where):
            (reply,) = self._exchange([command], repeatable)
            return self._sound(command, reply)

    def call_all(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one go and return their answers in order.

        Raises:
            StoreUnavailable: The server does not answer, or cannot serve.
        """
        if not commands:
            return []
        with translating_redis_errors(self.where):
            replies = self._exchange(commands, True)
            return [*map(self._sound, commands, replies)]

    def run(self, script: Script, calls: Sequence[tuple[Sequence[str], Sequence[Any]]], *,
            repeatable: bool = True) -> list[Any]:  # fmt: skip
        """Run a script once for each of the given keys and arguments, in one go.

        Raises:
            StoreUnavailable: The server does not answer, or cannot serve.
        """
        commands = [("EVALSHA", script.digest, len(keys), *keys, *args) for keys, args in calls]
        waits = self.confirmation if script.writes and calls else None
        last = [] if waits is None else [waits.command]
        with translating_redis_errors(self.where):
            replies = self._exchange([*commands, *last], repeatable)
            # A server that was restarted has no scripts: load it, and run what was refused.
            refused = [
                place
                for place, reply in enumerate(replies)
                if isinstance(reply, redis.exceptions.NoScriptError)
            ]
            if refused:
                # In one go, since a server that dies in between would have no scripts again.
                load = ("SCRIPT", "LOAD", script.source)
                some = [commands[place] for place in refused]
                again = self._exchange([load, *some, *last], repeatable)
                _answer(again[0])
                places = [*refused, *range(len(commands), len(replies))]
                for place, reply in zip(places, again[1:], strict=True):
                    replies[place] = reply
            for reply in replies[: len(commands)]:
                if not script.answers(_answer(reply)):
                    raise self.not_redis("EVALSHA")
            if waits is not None:
                waits.check(replies.pop(), self.where)
            return replies

    @contextmanager
    def conversation(self) -> Iterator[Conversation]:
        """Lend a connection for several requests, none of which is sent again.

        Raises:
            ConversationLost: The connection was lost.
            StoreUnavailable: The server does not answer, or not as one does.
        """
        self.before()
        breaker = self.breaker
        if breaker.is_silent and self._gate is None:
            self._check_patience()
        begun = breaker.ticks()
        try:
            with nullcontext() if self._gate is None else self._gate.passing():
                yield from self._lent()
        except (redis.exceptions.RedisError, OSError) as error:
            raise_if_interrupted(error)
            if is_lost(error):
                self._disconnect_idle()
                self.losses += 1
                raise ConversationLost(str(error)) from error
            self._failed(error, breaker.ticks() - begun)
            raise translated(error, self.where) from error
        breaker.answered()

    def send_blocks(self, blocks: Blocks) -> list[list[Any]]:
        """Send blocks of commands; returns what each was answered: nothing, if it was lost.

        Raises:
            StoreUnavailable: The server is silent, or too few replicas have what was written.
        """
        try:
            with self.conversation() as conversation:
                return blocks.said_in(conversation)
        except ConversationLost:
            return blocks.lost

    def not_redis(self, command: str) -> StoreUnavailable:
        """What to raise of an answer that no Redis server gives."""
        return no_redis(self.where, command)

    def _sound(self, command: Command, reply: Any) -> Any:
        if not is_sound(command, _answer(reply)):
            raise self.not_redis(name_of(command))
        return reply

    def look(self, *, at_once: bool = False) -> None:
        """See whether the server answers by now; one that this package starts is started.

        Args:
            at_once: Start it even while it is left alone because it could not be started.

        Raises:
            StoreUnavailable: It does not answer a look, or cannot be started.
        """
        if self._heal is None and not self.is_worth_asking():
            raise StoreUnavailable(self.breaker.reason or f"{self.where} does not answer")
        if self._heal is None:
            return
        with translating_redis_errors(self.where):
            self._exchange([("PING",)], True, at_once=at_once)

    def is_worth_asking(self) -> bool:
        """Look in a short time whether the server may answer by now, on a connection of its own.

        One that is there but does not answer in time is not; one that has ended and can be
        started is, since the next request starts it.
        """
        lost = look_at(self.client)
        if lost is None:
            self.breaker.answered()
            return True
        return self._heal is not None and not isinstance(lost, redis.exceptions.TimeoutError)

    def patience(self, _seconds: float) -> AbstractContextManager[None]:
        """Let this thread wait longer for keys that are moved, which only a cluster does."""
        return nullcontext()

    def close(self) -> None:
        """Close all connections."""
        self._disconnect_idle()
        self.client.close()

    def _exchange(
        self, commands: Sequence[Command], repeatable: bool, *, at_once: bool = False
    ) -> list[Any]:
        self.before()
        breaker = self.breaker
        if breaker.is_silent and self._gate is None and not at_once:
            self._check_patience()
        begun = breaker.ticks()
        try:
            replies = self._exchange_or_heal(commands, repeatable)
        except TimeoutError:
            raise  # an alarm's, which tells nothing of the server
        except (*LOSSES, StoreUnavailable) as error:
            self._failed(error, breaker.ticks() - begun)
            raise
        self._answered()
        return replies

    def _answered(self) -> None:
        self.breaker.answered()

    def _failed(self, error: Exception, took: float) -> None:
        self._disconnect_idle()  # to the same silent server, where another may serve by now
        lost = isinstance(error, redis.exceptions.ConnectionError)
        # What was lost is started by the next request: there is nothing to wait for.
        kept_waiting = 0.0 if lost and self._heal is not None else took
        # Why a server cannot be started is an error of this package already.
        failure = error if isinstance(error, StoreUnavailable) else translated(error, self.where)
        self.breaker.failed(failure, kept_waiting)

    def _check_patience(self) -> None:
        """Keep no caller waiting for a server that has just kept another waiting.

        Raises:
            StoreUnavailable: It is not asked now, or has not answered a look.
        """
        breaker = self.breaker
        begun = breaker.ticks()
        if breaker.is_due:
            if self.is_worth_asking():
                return
            breaker.failed(StoreUnavailable(breaker.reason), breaker.ticks() - begun)
        raise StoreUnavailable(f"{breaker.reason} (it keeps no other caller waiting for a while)")

    def _exchange_or_heal(self, commands: Sequence[Command], repeatable: bool) -> list[Any]:
        if repeatable:
            return self._healing(lambda: self._exchange_once(commands))
        # One that was idle may be dead, which only a request on it tells.
        self._disconnect_idle()
        self._idle.append(self._healing(lambda: connected(self.client)))
        return self._exchange_once(commands)

    def _healing(self, work: Callable[[], _R]) -> _R:
        """Do what needs the server, and once more after each loss of it."""
        for _ in range(1 if self._heal is None else MOST_STARTS):
            try:
                return work()
            except redis.exceptions.ConnectionError as error:
                raise_if_interrupted(error)
                # The idle ones are as old as the lost one, and another server may answer now.
                self._disconnect_idle()
                self.losses += 1
                if self._heal is not None:
                    self.client = self._heal()
        return work()

    def _exchange_once(self, commands: Sequence[Command]) -> list[Any]:
        with nullcontext() if self._gate is None else self._gate.passing():
            return self._send_and_read(commands)

    def _send_and_read(self, commands: Sequence[Command]) -> list[Any]:
        packed = b"".join(map(packed_command, commands))
        begun = self.breaker.ticks()
        try:
            return self._sent_and_read(packed, len(commands))
        except redis.exceptions.TimeoutError as error:
            raise_alarm(error, self.client, self.breaker.ticks() - begun)
            raise

    def _sent_and_read(self, packed: bytes, answers: int) -> list[Any]:
        connection = self._borrow()
        try:
            connection.send_packed_command([packed])
            if self._gate is None:
                self._while_waiting()
                stay_awake(connection)
            replies = read_answers(connection, answers)
        except BaseException:
            # Half of the answers may still be under way: this connection is of no more use.
            connection.disconnect()
            raise
        # Only here, once it has answered: one interrupted at any instant before is used by nobody.
        self._idle.append(connection)
        return replies

    def _while_waiting(self) -> None:
        """Do what is best done while an answer is under way."""

    def _lent(self) -> Iterator[Conversation]:
        connection = self._borrow()
        try:
            conversation = Conversation(connection, is_local=self._gate is not None)
            yield conversation
            conversation.end(self.confirmation, self.where)
        except BaseException:
            connection.disconnect()
            raise
        self._idle.append(connection)

    def _borrow(self) -> Any:
        """Take an idle connection, or open one.

        They do not come from redis-py's pool. It counts those that it gives out, so that one which
        an interruption loses is missing for good; and giving one back and taking it takes 20 us.
        """
        try:
            return self._idle.pop()
        except IndexError:
            return connected(self.client)

    def _disconnect_idle(self) -> None:
        while self._idle:
            self._idle.pop().disconnect()

    def _renew(self) -> None:
        """Go on in a forked child with connections of its own."""
        self._idle = []
        if self._gate is None:
            self.client = client_of_child(self.client)


def nothing() -> None:
    """Do nothing."""


def _answer(reply: Any) -> Any:
    if isinstance(reply, redis.exceptions.ResponseError):
        raise reply
    return reply
