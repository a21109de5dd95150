"""Finds what answers a question about several agents, or all, of several runs, or all.

A question about a step or a time, which few entries answer, is asked and answered by one script
call. Every other one takes the lists of runs and agents, the indexes of all agents, and the entries
that are needed: a request each, however many agents there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.commands import Command
from agent_memory.models.redis import STORED, memory_id_of
from agent_memory.models.redis_attributes import Lookup
from agent_memory.repositories.querying import answering
from agent_memory.repositories.redis.calls import AT_ONCE
from agent_memory.repositories.redis.entries import HashMapper
from agent_memory.repositories.redis.finding import FIND, TOO_MANY
from agent_memory.repositories.redis.keys import Agent, KeySpace
from agent_memory.repositories.redis.registries import listed_agents, listed_runs
from agent_memory.repositories.redis.sorted_sets import chosen, lookups
from agent_memory.values.entry import EntryKey, MemoryEntry
from agent_memory.values.ordering import DESCENDING, in_order
from agent_memory.values.query import Order, Query


class _Place(NamedTuple):
    """An entry that may answer, by what the order goes by."""

    score: float
    memory_id: str
    owner: Agent


class ManyAgents:
    """Answers questions about several agents of one tier.

    Args:
        channel: The server.
        key_space: The tier's keys.
        mapper: Turns hashes into entries.
    """

    def __init__(self, channel: RedisChannel, key_space: KeySpace, mapper: HashMapper) -> None:
        self._channel = channel
        self._key_space = key_space
        self._mapper = mapper

    def find(self, query: Query, attributes: Sequence[Lookup]) -> list[MemoryEntry]:
        """The entries that answer a query, in its order.

        Args:
            query: What is asked.
            attributes: Indexes of declared attributes of which the entries must be too.
        """
        if query.limit == 0:
            return []
        narrow = query.steps is not None or query.times is not None
        if query.limit is None and narrow and not self._key_space.buckets:
            found = self._found_at_once(query, attributes)
            if found is not None:
                return in_order(answering(found, query), query)
        if query.limit is not None:
            return answering(self._read(self._ordered(query, attributes), query), query)
        places = self._places(query, attributes)
        return in_order(answering(self._read(places, query), query), query)

    def keys(self, query: Query) -> list[EntryKey]:
        """The keys of the entries that answer a query without conditions, in its order."""
        if query.limit == 0:
            return []
        ordered = self._ordered(query, ())
        return [EntryKey(*place.owner, place.memory_id) for place in ordered][: query.limit]

    def _ordered(self, query: Query, attributes: Sequence[Lookup]) -> list[_Place]:
        return sorted(
            self._places(query, attributes),
            key=lambda place: (place.score, place.memory_id, *place.owner),
            reverse=query.sorting in DESCENDING,
        )

    def owners(self, query: Query) -> list[Agent]:
        """Whom a query is about, as far as they have entries or are named."""
        runs, agents = query.runs, query.agents
        if runs is None:
            runs = tuple(listed_runs(self._channel, self._key_space))
        if agents is not None:
            return [Agent(run_id, agent_id) for run_id in runs for agent_id in agents]
        listed = listed_agents(self._channel, self._key_space, runs)
        return [
            Agent(run_id, agent_id)
            for run_id, names in zip(runs, listed, strict=True)
            for agent_id in names
        ]

    def _found_at_once(
        self, query: Query, attributes: Sequence[Lookup]
    ) -> list[MemoryEntry] | None:
        """All that may answer a query without limit, in no order; None where it is too much."""
        # By the index that tells most.
        order = Order.OLDEST if query.steps is None else Order.STEP
        commands = lookups("", replace(query, order=order), attributes)
        words = [[*command] for command in commands if isinstance(command, tuple)]
        asked: list[Any] = [TOO_MANY, "x" if query.pinned is False else "", len(words)]
        asked += [word for each in words for word in (len(each), *each)]
        if query.agents is None and query.runs is not None and len(query.runs) == 1:
            (run_id,) = query.runs
            head, end, tail = self._key_space.prefix(run_id, "").rpartition("}")
            keys, known = self._key_space.agents(run_id), [head, end + tail]
        else:
            keys, known = [self._key_space.prefix(*owner) for owner in self.owners(query)], ["", ""]
        if not keys:
            return []
        if len(keys) > TOO_MANY:
            return None
        (reply,) = self._channel.run(FIND, [(keys, [*known, *asked, *STORED])])
        return None if reply is None else self._mapper.decode_many(reply)

    def _places(self, query: Query, attributes: Sequence[Lookup]) -> list[_Place]:
        """Where what may answer is; of a limited query without further conditions no more."""
        owners = self.owners(query)
        # What is pinned is taken away afterwards; what contents say is seen when they are read.
        whole = query.pinned is False or bool(query.attributes)
        asked = replace(query, limit=None, attributes={}) if whole else query
        groups = [lookups(self._key_space.prefix(*owner), asked, attributes) for owner in owners]
        replies = iter(self._channel.call_all([
            command for commands in groups for command in _scored(commands)
        ]))  # fmt: skip
        found = []
        for owner, commands in zip(owners, groups, strict=True):
            scored, *others = (next(replies) for _ in commands)
            scores = dict(zip(scored[::2], map(float, scored[1::2]), strict=True))
            found += [
                _Place(scores[name], memory_id_of(name), owner)
                for name in chosen([[*scores], *others], asked)
            ]
        return found

    def _read(self, places: Sequence[_Place], query: Query) -> Iterator[MemoryEntry]:
        wanted = len(places)
        if query.limit is not None:
            # Without conditions on contents the first ones are the answer, but for those that
            # go meanwhile.
            wanted = min(max(query.limit, 20 if query.attributes else 0), AT_ONCE)
        for first in range(0, len(places), max(wanted, 1)):
            yield from self._mapper.load(
                self._key_space.prefix(*place.owner) + place.memory_id
                for place in places[first : first + wanted]
            )


def _scored(commands: Sequence[Command]) -> list[Command]:
    """The commands that read ids, of which the first gives their scores too."""
    first, *others = commands
    assert isinstance(first, tuple)  # noqa: S101 - as ``lookups`` makes them
    return [(*first[:4], "WITHSCORES", *first[4:]), *others]
