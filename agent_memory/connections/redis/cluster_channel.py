"""Sends commands to a Redis Cluster: to each of its servers those whose keys it holds.

A request is split by slot, sent to all servers it concerns, and only then are their answers read,
so that they work at the same time. What a server does not hold any more is sent where it says
(MOVED, ASK); after a lost connection the cluster is asked again who holds what. A command's keys
are of one slot; see ``repositories.redis.keys``.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count, starmap
from math import inf
from typing import Any, NoReturn

import redis

from agent_memory.connections.circuit_breaker import CircuitBreaker, server_breaker
from agent_memory.connections.confirmation import Confirmation
from agent_memory.connections.redis.answers import name_of
from agent_memory.connections.redis.blocks import Blocks
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.cluster_requests import (
    OUT_OF_DATE,
    SENT_ON,
    Jobs,
    Sent,
    answers_to,
    divided,
    request,
    sent_on,
    together,
    topology_of,
    with_the_others,
)
from agent_memory.connections.redis.cluster_servers import ClusterServers, Request
from agent_memory.connections.redis.commands import Command, packed_command
from agent_memory.connections.redis.engine import RedisEngine
from agent_memory.connections.redis.errors import LOSSES, translated, translating_redis_errors
from agent_memory.connections.redis.sentinels import Place
from agent_memory.connections.redis.topology import Topology, slot_of, slot_of_key
from agent_memory.errors import StoreUnavailable
from agent_memory.values.interruptions import raise_if_interrupted

_TURNS = 20
"""How often a command is sent on, before the cluster's last refusal is the answer.

Whoever has patience (``ClusterChannel.patience``) has it sent on until that ends.
"""
_PAUSE = 0.02
"""How long a slot that is on its way from one server to another is left alone, in seconds."""
_REFRESH = 1.0
"""How old what is known of the cluster may be, in seconds, while one that holds slots is silent."""

_NOT_ASKED = object()


class ClusterChannel(RedisChannel):
    """Sends requests to a cluster and reads its answers; threads may share it.

    Args:
        client: A binary client of one of its servers; its options hold for all.
        where: The cluster, as messages shall call it. No secrets.
        known: Servers that are asked who belongs to it.
        breaker: Of the cluster as a whole: away while one of its servers is.
        confirmation: What replicas are asked before what is written counts as stored.

    Attributes:
        servers: Its servers; one that hangs is left alone, and the others are not.
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
        self._asked_at = 0.0
        self._own = threading.local()
        self.servers = ClusterServers(where, lambda: self.client, server_breaker)
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
        return f"{self.where}: {topology.complaint}" if topology.uncovered() else None

    def call_each(self, *command: Any) -> dict[Place, Any]:
        """Send a command to every server that holds slots, and return their answers.

        Raises:
            StoreUnavailable: One does not answer, or refuses.
        """
        with translating_redis_errors(self.where):
            primaries = self.topology.primaries
            replies = self._answers({one: [Sent(0, command)] for one in primaries})
            return {server: self._sound(command, reply) for server, _, reply in replies}

    def call_on(self, server: Place, commands: Sequence[Command]) -> list[Any]:
        """Send commands to a server, whatever their keys, and return its answers in order.

        Raises:
            StoreUnavailable: It does not answer, or refuses.
        """
        with translating_redis_errors(self.where):
            replies = self._answers({server: [Sent(0, command) for command in commands]})
            return [self._sound(sent.command, reply) for _, sent, reply in replies]

    def conversation(self) -> NoReturn:
        """There is none: it is with one server.

        Raises:
            StoreUnavailable: Always.
        """
        raise StoreUnavailable(f"{self.where}: a conversation is with one server")

    def is_worth_asking(self) -> bool:
        """Look in a short time whether any of its servers answers, and whether the silent do."""
        silent = self.servers.silent
        found = [place for place in silent if self.servers.is_answering(place)]
        others = (place for place in self._places() if place not in silent)
        if not (found or any(self.servers.is_answering(place) for place in others)):
            return False
        self._answered()
        return True

    @contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Wait longer than usual for slots that are on their way from one server to another.

        Args:
            seconds: How long all requests of this thread wait for them at most, together.
        """
        self._own.deadline = self.breaker.ticks() + seconds
        try:
            yield
        finally:
            del self._own.deadline

    def close(self) -> None:
        """Close all connections."""
        super().close()
        self.servers.close()

    def send_blocks(self, blocks: Blocks) -> list[list[Any]]:
        """Send blocks of commands, to each server in one request; see ``RedisChannel``.

        Raises:
            StoreUnavailable: A server is silent, or too few replicas have what was written.
        """
        self.before()
        with translating_redis_errors(self.where):
            try:
                places = self._places_of(blocks.keys)
                replies = self.servers.exchange(blocks.requests(places, self.confirmation))
            except redis.exceptions.ConnectionError as error:
                raise_if_interrupted(error)
                self._topology = None
                self.losses += 1
                return blocks.lost
            except TimeoutError:
                raise  # an alarm's, which tells nothing of the servers
            except (*LOSSES, StoreUnavailable) as error:
                self._failed(error, 0.0)
                raise
            self._answered()
            if self.confirmation is not None:
                for answers in replies:
                    self.confirmation.check(answers[-1], self.where)
            return blocks.answers(replies)

    def _places_of(self, keys: Sequence[str]) -> dict[Place, list[int]]:
        """By server, the places of the keys that it holds; those of nobody are left out."""
        slots = [*map(slot_of_key, keys)]
        _, holders = self._holders(slots)
        found: dict[Place, list[int]] = {}
        for number, slot in enumerate(slots):
            if (holder := holders[slot]) is not None:
                found.setdefault(holder, []).append(number)
        self.servers.check_patience(found)
        return found

    # -- requests -----------------------------------------------------------------------------

    def _check_patience(self) -> None:
        """Each server is left alone by itself; see ``ClusterServers.check_patience``."""

    def _answered(self) -> None:
        # It is away while one that is silent is left alone: what asks all of them would fail.
        if not any(map(self.servers.is_left_alone, self.servers.silent)):
            super()._answered()

    def _failed(self, error: Exception, took: float) -> None:  # noqa: ARG002  # each server's own
        failure = error if isinstance(error, StoreUnavailable) else translated(error, self.where)
        self.breaker.failed(failure)

    def _exchange_or_heal(self, commands: Sequence[Command], repeatable: bool) -> list[Any]:
        if not repeatable:
            # Those that were idle may be dead, which only a request on them tells.
            self._disconnect_idle()
        try:
            return self._exchange_once(commands)
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError) as error:
            raise_if_interrupted(error)
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
        if len(commands) == 1:
            reply = self._of_one(commands[0])
            if reply is not _NOT_ASKED:
                return [reply]
        return self._routed(commands)

    def _of_one(self, command: Command) -> Any:
        """The answer to a command of one server that is up, unless that sends it on.

        Stores of one entry are of this kind; what ``_routed`` does takes them 40 us.
        """
        slot, topology = slot_of(command), self._topology
        server = None if slot is None or topology is None else topology.holder(slot)
        if server is None or self.servers.is_silent(server):
            return _NOT_ASKED
        ((reply,),) = self.servers.exchange([Request(server, packed_command(command), 1)])
        return _NOT_ASKED if isinstance(reply, SENT_ON) else reply

    def _routed(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands where their keys are, and on where they are sent on."""
        # Whoever is sent something in the end needs the scripts, and tells of what was written.
        loads, waits = with_the_others(commands)
        answers: list[list[Any]] = [[] for _ in commands]
        jobs = self._jobs(commands)
        for turn in count(1):
            is_last = turn >= _TURNS and not self._is_patient
            again: defaultdict[Place, list[Sent]] = defaultdict(list)
            replies = self._answers(jobs)
            for server, sent, reply in replies:
                if isinstance(reply, OUT_OF_DATE):
                    self._topology = None
                following = None if is_last else sent_on(server, sent, reply)
                if following is None:
                    answers[sent.place].append(reply)
                else:
                    again[following[0]].append(following[1])
            if not again:
                break
            is_moving = any(isinstance(it[2], redis.exceptions.TryAgainError) for it in replies)
            if is_moving or turn >= _TURNS:
                time.sleep(_PAUSE)
            jobs = {server: [*loads, *some, *waits] for server, some in again.items()}
        return [together(several) for several in answers]

    @property
    def _is_patient(self) -> bool:
        """Whether this thread waits longer than usual for slots that move."""
        deadline: float = getattr(self._own, "deadline", -inf)
        return self.breaker.ticks() < deadline

    def _jobs(self, commands: Sequence[Command]) -> Jobs:
        """Which server is sent what, in the order of the request."""
        slots = [slot_of(command) for command in commands]
        topology, holders = self._holders(slots)
        if None in holders.values():
            self._topology = None
            raise redis.exceptions.ClusterDownError(topology.complaint)
        concerned = {it for it in holders.values() if it is not None} or {*topology.primaries}
        where = [None if slot is None else holders[slot] for slot in slots]
        return divided(commands, where, topology, concerned)

    def _holders(self, slots: Sequence[int | None]) -> tuple[Topology, dict[int, Place | None]]:
        """Who holds some slots; asked again where one may have been replaced by a replica."""
        topology = self.topology
        holders = {slot: topology.holder(slot) for slot in slots if slot is not None}
        is_old = self.breaker.ticks() - self._asked_at >= _REFRESH
        if is_old and any(map(self.servers.is_silent, filter(None, {*holders.values()}))):
            self._topology = None
            topology = self.topology
            holders = {slot: topology.holder(slot) for slot in holders}
        return topology, holders

    def _answers(self, jobs: Jobs) -> list[tuple[Place, Sent, Any]]:
        """Send each server what is for it, and read what they answer."""
        self.servers.check_patience(jobs)
        replies = self.servers.exchange([*starmap(request, jobs.items())])
        return [
            (server, sent, reply)
            for (server, some), found in zip(jobs.items(), replies, strict=True)
            for sent, reply in zip(some, answers_to(some, found), strict=True)
        ]

    def _scanned(self, name: str, cursor: Any, *options: Any) -> Any:
        """Scan one server after the other: a cursor tells which, and where it is there."""
        servers = self.topology.primaries
        at, number = divmod(int(cursor), len(servers))
        ((_, _, reply),) = self._answers(
            {servers[number % len(servers)]: [Sent(0, (name, at, *options))]}
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
        complaints, left_alone = [], None
        for place in self._answering_first():
            try:
                ((_, _, reply),) = self._answers({place: [Sent(0, ("CLUSTER", "SLOTS"))]})
            except redis.exceptions.AuthenticationError:
                raise
            except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError) as error:
                raise_if_interrupted(error)
                complaints.append(str(error))
                continue
            except StoreUnavailable as error:
                left_alone = error
                continue
            found = topology_of(reply, place, self.where)
            self._known = (*found.primaries, *(it for it in self._known if it not in found.holders))
            self.servers.keep(found.primaries)
            self._asked_at = self.breaker.ticks()
            return found
        if left_alone is not None and not complaints:
            raise left_alone
        raise redis.exceptions.ConnectionError("; ".join(complaints))

    def _places(self) -> list[Place]:
        """All servers that may be asked about the cluster."""
        known = [] if self._topology is None else self._topology.primaries
        return list(dict.fromkeys((*known, *self._known)))

    def _answering_first(self) -> list[Place]:
        """The same, but first one that answers a look: one that hangs would take its timeout."""
        places = self._places()
        asked = (one for one in places if not self.servers.is_left_alone(one))
        ready = next((one for one in asked if self.servers.is_answering(one)), places[0])
        return [ready, *(one for one in places if one != ready)]

    def _disconnect_idle(self) -> None:
        self.servers.disconnect_idle()

    def _renew(self) -> None:
        super()._renew()
        self.servers.renew()


def _words(command: Command) -> tuple[Any, ...]:
    assert isinstance(command, tuple)  # noqa: S101  # SCAN is never packed
    return command
