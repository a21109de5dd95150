"""Sends commands to a Redis Cluster: to each of its servers those whose keys it holds.

A request is split by slot, sent to all servers it concerns, and only then are their answers read,
so that they work at the same time. What a server does not hold any more is sent where it says
(MOVED, ASK); after a lost connection the cluster is asked again who holds what. A command's keys
are of one slot; see ``repositories.redis.keys``.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, NoReturn

import redis

from agent_memory.connections.circuit_breaker import CircuitBreaker
from agent_memory.connections.confirmation import Confirmation
from agent_memory.connections.redis.answers import name_of
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.clients import client_like, connected
from agent_memory.connections.redis.commands import Command, packed_command
from agent_memory.connections.redis.engine import RedisEngine
from agent_memory.connections.redis.errors import raise_alarm, translating_redis_errors
from agent_memory.connections.redis.looking import look_at
from agent_memory.connections.redis.reading import read_answers
from agent_memory.connections.redis.sentinels import Place
from agent_memory.connections.redis.topology import Topology, slot_of
from agent_memory.errors import ConfigError, StoreUnavailable
from agent_memory.values.interruptions import raise_if_interrupted

_TURNS = 20
"""How often a command is sent on, before the cluster's last refusal is the answer."""
_PAUSE = 0.02
"""How long a slot that is on its way from one server to another is left alone, in seconds."""
_WITH_THE_OTHERS = ("SCRIPT", "WAIT")  # sent to every server that a request is sent to
_ASKING = packed_command(("ASKING",))


class _Sent(NamedTuple):
    """A command on its way to a server.

    Attributes:
        place: Which of the request's it is.
        command: The command.
        asking: Whether the server takes it by exception, since it does not hold the slot yet.
    """

    place: int
    command: Command
    asking: bool = False


_Jobs = Mapping[Place, Sequence[_Sent]]


class ClusterChannel(RedisChannel):
    """Sends requests to a cluster and reads its answers; threads may share it.

    Args:
        client: A binary client of one of its servers; its options hold for all.
        where: The cluster, as messages shall call it. No secrets.
        known: Servers that are asked who belongs to it.
        breaker: Of the cluster.
        confirmation: What replicas are asked before what is written counts as stored.
    """

    def __init__(
        self,
        client: redis.Redis,
        where: str,
        known: Sequence[Place],
        *,
        breaker: CircuitBreaker | None = None,
        confirmation: Confirmation | None = None,
    ) -> None:
        self._known = tuple(known)
        self._topology: Topology | None = None
        self._clients: dict[Place, redis.Redis] = {}
        self._idle_at: defaultdict[Place, list[Any]] = defaultdict(list)
        super().__init__(client, where, breaker=breaker, confirmation=confirmation)

    @property
    def engine(self) -> RedisEngine:
        """What its servers are and can do. A query engine would answer for one of them alone."""
        return replace(super().engine, has_query_engine=False)

    @property
    def topology(self) -> Topology:
        """Who holds which slots, as far as is known.

        Raises:
            ConfigError: The servers are no cluster.
            redis.exceptions.RedisError: None of them answers.
        """
        found = self._topology
        if found is None:
            found = self._topology = self._discovered()
        return found

    @property
    def incomplete(self) -> str | None:
        """Why the cluster cannot hold a memory: nobody holds some slots; None: all are held.

        Raises:
            StoreUnavailable: No server answers.
        """
        with translating_redis_errors(self.where):
            topology = self.topology
        return f"{self.where}: {_uncovered(topology)}" if topology.uncovered() else None

    def call_each(self, *command: Any) -> list[Any]:
        """Send a command to every server that holds slots, and return their answers.

        Raises:
            StoreUnavailable: One does not answer, or refuses.
        """
        with translating_redis_errors(self.where):
            primaries = self.topology.primaries
            replies = self._answers({one: [_Sent(0, command)] for one in primaries})
            return [self._sound(command, reply) for _, _, reply in replies]

    def conversation(self) -> NoReturn:
        """There is none: it is with one server.

        Raises:
            StoreUnavailable: Always.
        """
        raise StoreUnavailable(f"{self.where}: a conversation is with one server")

    def is_worth_asking(self) -> bool:
        """Look in a short time whether any of its servers answers."""
        for place in self._places():
            if look_at(self._client(place)) is None:
                self.breaker.answered()
                return True
        return False

    def close(self) -> None:
        """Close all connections."""
        super().close()
        for client in self._clients.values():
            client.close()

    # -- requests -----------------------------------------------------------------------------

    def _exchange_or_heal(self, commands: Sequence[Command], repeatable: bool) -> list[Any]:
        if not repeatable:
            # Those that were idle may be dead, which only a request on them tells.
            self._disconnect_idle()
        try:
            return self._exchange_once(commands)
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError) as error:
            raise_if_interrupted(error)
            self._disconnect_idle()
            self._topology = None
            self.losses += 1
            if not repeatable or isinstance(error, redis.exceptions.TimeoutError):
                raise
        return self._exchange_once(commands)

    def _send_and_read(self, commands: Sequence[Command]) -> list[Any]:
        if not commands:
            return []
        if name_of(commands[0]) == "SCAN":
            return [self._scanned(*command) for command in map(_words, commands)]
        begun = self.breaker.ticks()
        try:
            return self._routed(commands)
        except redis.exceptions.TimeoutError as error:
            raise_alarm(error, self.client, self.breaker.ticks() - begun)
            raise

    def _routed(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands where their keys are, and on where they are sent on."""
        # It tells of what its connection has written: wherever that was in the end.
        waits = [
            _Sent(place, command)
            for place, command in enumerate(commands)
            if name_of(command) == "WAIT"
        ]
        answers: list[list[Any]] = [[] for _ in commands]
        jobs = self._jobs(commands)
        for turn in range(_TURNS):
            again: defaultdict[Place, list[_Sent]] = defaultdict(list)
            replies = self._answers(jobs)
            for server, sent, reply in replies:
                following = None if turn == _TURNS - 1 else self._sent_on(server, sent, reply)
                if following is None:
                    answers[sent.place].append(reply)
                else:
                    again[following[0]].append(following[1])
            if not again:
                break
            if any(isinstance(one[2], redis.exceptions.TryAgainError) for one in replies):
                time.sleep(_PAUSE)
            jobs = {server: [*some, *waits] for server, some in again.items()}
        return [_together(several) for several in answers]

    def _jobs(self, commands: Sequence[Command]) -> _Jobs:
        """Which server is sent what, in the order of the request."""
        topology = self.topology
        slots = [slot_of(command) for command in commands]
        holders = {slot: topology.holder(slot) for slot in slots if slot is not None}
        if None in holders.values():
            self._topology = None
            raise redis.exceptions.ClusterDownError(_uncovered(topology))
        concerned = {it for it in holders.values() if it is not None} or {*topology.primaries}
        jobs: defaultdict[Place, list[_Sent]] = defaultdict(list)
        for place, (command, slot) in enumerate(zip(commands, slots, strict=True)):
            sent = _Sent(place, command)
            holder = None if slot is None else holders[slot]
            if holder is not None:
                jobs[holder].append(sent)
            elif name_of(command) in _WITH_THE_OTHERS:
                for server in concerned:
                    jobs[server].append(sent)
            elif name_of(command) == "PING":
                for server in topology.primaries:
                    jobs[server].append(sent)
            else:
                jobs[topology.primaries[0]].append(sent)
        return jobs

    def _sent_on(self, server: Place, sent: _Sent, reply: Any) -> tuple[Place, _Sent] | None:
        """Where a command is to be sent again, if its answer says so."""
        if isinstance(reply, redis.exceptions.AskError):  # of which MOVED is one, to redis-py
            is_moved = isinstance(reply, redis.exceptions.MovedError)
            if is_moved:
                self._topology = None
            return Place(reply.host or server.host, reply.port), sent._replace(asking=not is_moved)
        if isinstance(reply, redis.exceptions.ClusterDownError):
            self._topology = None  # which one may have given that has just come back
        return (server, sent) if isinstance(reply, redis.exceptions.TryAgainError) else None

    def _answers(self, jobs: _Jobs) -> list[tuple[Place, _Sent, Any]]:
        """Send each server what is for it, and read what they answer."""
        lent: dict[Place, Any] = {}
        answers = []
        try:
            for server, some in jobs.items():
                lent[server] = self._borrow_from(server)
                lent[server].send_packed_command([b"".join(map(_packed, some))])
            for server, some in jobs.items():
                replies = read_answers(lent[server], len(some) + sum(one.asking for one in some))
                of_commands = iter(replies)
                for one in some:
                    if one.asking:
                        next(of_commands)
                    answers.append((server, one, next(of_commands)))
        except BaseException:
            # Half of the answers may still be under way: these connections are of no more use.
            for connection in lent.values():
                connection.disconnect()
            raise
        for server, connection in lent.items():
            self._idle_at[server].append(connection)
        return answers

    def _scanned(self, name: str, cursor: Any, *options: Any) -> Any:
        """Scan one server after the other: a cursor tells which, and where it is there."""
        servers = self.topology.primaries
        at, number = divmod(int(cursor), len(servers))
        ((_, _, reply),) = self._answers(
            {servers[number % len(servers)]: [_Sent(0, (name, at, *options))]}
        )
        if isinstance(reply, redis.exceptions.ResponseError):
            return reply
        following, keys = int(reply[0]), reply[1]
        if following == 0:
            number += 1
        is_over = number == len(servers)
        return [b"%d" % (0 if is_over else following * len(servers) + number), keys]

    # -- servers ------------------------------------------------------------------------------

    def _discovered(self) -> Topology:
        complaints = []
        for place in self._answering_first():
            try:
                ((_, _, reply),) = self._answers({place: [_Sent(0, ("CLUSTER", "SLOTS"))]})
            except redis.exceptions.AuthenticationError:
                raise
            except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError) as error:
                raise_if_interrupted(error)
                complaints.append(str(error))
                continue
            if isinstance(reply, redis.exceptions.NoPermissionError):
                raise reply
            if isinstance(reply, redis.exceptions.ResponseError):
                raise ConfigError(
                    f"redis_url: {self.where} is no cluster ({reply}): begin the URL of a single "
                    "server with redis:// or rediss://"
                )
            try:
                found = Topology.read(reply, place)
            except ValueError as error:
                raise self.not_redis("CLUSTER SLOTS") from error
            if not found.holders:
                raise redis.exceptions.ClusterDownError(_uncovered(found))
            self._known = (*found.primaries, *(it for it in self._known if it not in found.holders))
            return found
        raise redis.exceptions.ConnectionError("; ".join(complaints))

    def _places(self) -> list[Place]:
        """All servers that may be asked about the cluster."""
        known = [] if self._topology is None else self._topology.primaries
        return list(dict.fromkeys((*known, *self._known)))

    def _answering_first(self) -> list[Place]:
        """The same, but first one that answers a look: one that hangs would take its timeout."""
        places = self._places()
        ready = next((one for one in places if look_at(self._client(one)) is None), places[0])
        return [ready, *(one for one in places if one != ready)]

    def _client(self, place: Place) -> redis.Redis:
        found = self._clients.get(place)
        if found is None:
            pool = self.client.connection_pool
            options = {**pool.connection_kwargs, **place._asdict()}
            found = self._clients[place] = client_like(pool.connection_class, options)
        return found

    def _borrow_from(self, place: Place) -> Any:
        try:
            return self._idle_at[place].pop()
        except IndexError:
            return connected(self._client(place))

    def _disconnect_idle(self) -> None:
        for idle in [*self._idle_at.values()]:
            while idle:
                idle.pop().disconnect()

    def _renew(self) -> None:
        super()._renew()
        self._idle_at = defaultdict(list)
        self._clients = {}


def _packed(sent: _Sent) -> bytes:
    packed = packed_command(sent.command)
    return _ASKING + packed if sent.asking else packed


def _words(command: Command) -> tuple[Any, ...]:
    assert isinstance(command, tuple)  # noqa: S101  # SCAN is never packed
    return command


def _together(replies: Sequence[Any]) -> Any:
    """One answer for those of several servers: the first refusal, or the least number."""
    refusals = [reply for reply in replies if isinstance(reply, redis.exceptions.ResponseError)]
    if refusals:
        return refusals[0]
    return min(replies) if type(replies[0]) is int else replies[0]


def _uncovered(topology: Topology) -> str:
    gaps = ", ".join(f"{first} to {last}" for first, last in topology.uncovered())
    return f"nobody holds the slots {gaps}: give them to a server (redis-cli --cluster fix)"
