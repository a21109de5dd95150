"""The servers of a cluster, each with its connections and a circuit breaker of its own.

One that hangs keeps nobody waiting who asks the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import redis

from agent_memory.connections.circuit_breaker import CircuitBreaker
from agent_memory.connections.redis.clients import client_like, connected
from agent_memory.connections.redis.errors import LOSSES, raise_alarm, translated
from agent_memory.connections.redis.looking import look_at
from agent_memory.connections.redis.sentinels import Place
from agent_memory.errors import StoreUnavailable
from agent_memory.values.interruptions import raise_if_interrupted


class Lent(NamedTuple):
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
    """Lends connections to the servers of a cluster. Threads may share it.

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

    def lend(self, place: Place) -> Lent:
        """Give a connection to a server, for one request.

        Raises:
            redis.exceptions.RedisError: It cannot be reached.
        """
        try:
            return Lent(place, self._idle_at[place].pop(), is_new=False)
        except IndexError:
            with self.asking(Lent(place, None, is_new=True)):
                return Lent(place, connected(self.client(place)), is_new=True)

    def give_back(self, lent: Lent) -> None:
        """Take back a connection on which all is answered."""
        self._idle_at[lent.place].append(lent.connection)
        self._breakers[lent.place].answered()

    @contextmanager
    def asking(self, lent: Lent) -> Iterator[Any]:
        """Note it if a server does not answer what is asked on a connection to it.

        Raises:
            redis.exceptions.RedisError: It does not; the connections to it are of no more use.
        """
        ticks = self._breakers[lent.place].ticks
        begun = ticks()
        try:
            yield lent.connection
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
