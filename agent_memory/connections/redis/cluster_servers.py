"""The servers of a cluster, each with its connections and a circuit breaker of its own.

One that hangs keeps nobody waiting who asks the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import redis

from agent_memory.connections.circuit_breaker import CircuitBreaker
from agent_memory.connections.redis.clients import client_like, connected
from agent_memory.connections.redis.errors import LOSSES, raise_alarm, translated
from agent_memory.connections.redis.looking import look_at
from agent_memory.connections.redis.reading import read_answers
from agent_memory.connections.redis.sentinels import Place
from agent_memory.errors import StoreUnavailable
from agent_memory.values.interruptions import raise_if_interrupted

_R = TypeVar("_R")


class Request(NamedTuple):
    """What a server is sent in one go.

    Attributes:
        place: The server.
        packed: The bytes of the commands.
        expected: How many answers they have.
    """

    place: Place
    packed: bytes
    expected: int


class _Lent(NamedTuple):
    """A connection to a server that one request is sent on.

    Attributes:
        place: The server.
        connection: redis-py's.
        is_new: Whether it was opened for this request.
    """

    place: Place
    connection: Any
    is_new: bool


class ClusterServers:
    """Sends requests to the servers of a cluster. Threads may share it.

    Args:
        where: The cluster, as messages shall call it. No secrets.
        client: Gives a client of one of its servers; its options hold for all.
        breaker: Makes a breaker for a server.
    """

    def __init__(
        self, where: str, client: Callable[[], redis.Redis], breaker: Callable[[], CircuitBreaker]
    ) -> None:
        self._where = where
        self._client_of_one = client
        self._clients: dict[Place, redis.Redis] = {}
        self._idle_at: defaultdict[Place, list[Any]] = defaultdict(list)
        self._breakers: defaultdict[Place, CircuitBreaker] = defaultdict(breaker)

    def check_patience(self, places: Iterable[Place]) -> None:
        """Keep no caller waiting for a server that has just kept another waiting.

        Raises:
            StoreUnavailable: One is not asked now, or has not answered a look.
        """
        for place in places:
            breaker = self._breakers[place]
            if breaker.is_silent and not (breaker.is_due and self.is_answering(place)):
                raise StoreUnavailable(
                    f"{breaker.reason} (it keeps no other caller waiting for a while)"
                )

    def exchange(self, requests: Iterable[Request]) -> list[list[Any]]:
        """Send servers what is for them, and only then read what they answer, in their order.

        Args:
            requests: One for each of some servers; each is taken when it is about to be sent.

        Raises:
            redis.exceptions.RedisError: One does not answer; the others may have done all.
            OSError: The same.
        """
        lent: list[tuple[_Lent, int]] = []
        try:
            for request in requests:
                one = self._lend(request.place)
                lent.append((one, request.expected))
                self._asked(one, one.connection.send_packed_command, [request.packed])
            # Nobody stays awake for them: these servers are of other machines most often.
            answers = [self._asked(one, read_answers, one.connection, count) for one, count in lent]
        except BaseException:
            # Half of the answers may still be under way: these connections are of no more use.
            for one, _ in lent:
                one.connection.disconnect()
            raise
        for one, _ in lent:
            self._idle_at[one.place].append(one.connection)
            self._breakers[one.place].answered()
        return answers

    def _lend(self, place: Place) -> _Lent:
        """Take an idle connection to a server, or open one."""
        idle = self._idle_at[place]
        if idle:
            with suppress(IndexError):  # another thread may have taken it
                return _Lent(place, idle.pop(), is_new=False)
        connection = self._asked(_Lent(place, None, is_new=True), connected, self.client(place))
        return _Lent(place, connection, is_new=True)

    def _asked(self, lent: _Lent, work: Callable[..., _R], *arguments: Any) -> _R:
        """Do what needs a server, and note it if that does not answer."""
        ticks = self._breakers[lent.place].ticks
        begun = ticks()
        try:
            return work(*arguments)
        except redis.exceptions.TimeoutError as error:
            took = ticks() - begun
            raise_alarm(error, self.client(lent.place), took)
            self._disconnect(lent.place)
            self._failed(lent.place, error, took)
            # redis-py's own names no server.
            raise redis.exceptions.TimeoutError(f"{lent.place}: {error}") from error
        except TimeoutError:
            raise  # an alarm's, which tells nothing of the server
        except LOSSES as error:
            raise_if_interrupted(error)
            self._disconnect(lent.place)
            # An idle one may have been closed while its server is up: the next one tells.
            if lent.is_new:
                self._failed(lent.place, error, ticks() - begun)
            raise

    def is_silent(self, place: Place) -> bool:
        """Whether a server does not answer, as far as is known."""
        return self._breakers[place].is_silent

    def is_left_alone(self, place: Place) -> bool:
        """Whether a server does not answer, and is not to be asked yet."""
        return self.is_silent(place) and not self._breakers[place].is_due

    def is_answering(self, place: Place) -> bool:
        """Look in a short time whether a server answers."""
        breaker = self._breakers[place]
        begun = breaker.ticks()
        lost = look_at(self.client(place))
        if lost is None:
            breaker.answered()
        else:
            self._failed(place, lost, breaker.ticks() - begun)
        return lost is None

    @property
    def silent(self) -> list[Place]:
        """Those that do not answer."""
        return [place for place, breaker in [*self._breakers.items()] if breaker.is_silent]

    def keep(self, places: Iterable[Place]) -> None:
        """Forget which others do not answer: they hold nothing any more."""
        for place in {*self._breakers}.difference(places):
            self._breakers.pop(place, None)

    def end_pauses(self) -> None:
        """Let those that do not answer be asked at once."""
        for breaker in [*self._breakers.values()]:
            breaker.pause.end()

    def client(self, place: Place) -> redis.Redis:
        """A client of a server."""
        found = self._clients.get(place)
        if found is None:
            pool = self._client_of_one().connection_pool
            options = {**pool.connection_kwargs, **place._asdict()}
            found = self._clients[place] = client_like(pool.connection_class, options)
        return found

    def disconnect_idle(self) -> None:
        """Close the connections that nobody uses."""
        for place in [*self._idle_at]:
            self._disconnect(place)

    def close(self) -> None:
        """Close all connections."""
        self.disconnect_idle()
        for client in self._clients.values():
            client.close()

    def renew(self) -> None:
        """Go on in a forked child with connections of its own."""
        self._idle_at = defaultdict(list)
        self._clients = {}

    def _disconnect(self, place: Place) -> None:
        idle = self._idle_at[place]
        while idle:
            idle.pop().disconnect()

    def _failed(self, place: Place, error: Exception, took: float) -> None:
        self._breakers[place].failed(translated(error, f"{place} of {self._where}"), took)
