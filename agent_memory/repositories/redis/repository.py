"""Short-term and intermediate memory in Redis or Valkey, with no module needed.

Writes are Lua scripts (``scripts``), reads go through the sorted sets of each agent
(``sorted_sets``); what an entry looks like is said in ``models.redis``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.script import Script
from agent_memory.errors import EntryNotFound
from agent_memory.models.redis import Value, encode_id, memory_id_of
from agent_memory.repositories.access import Access
from agent_memory.repositories.codec import Codec, is_kept, is_replacement
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.following import Changes
from agent_memory.repositories.nearest import Neighbour, Probe
from agent_memory.repositories.outcomes import Added, Arrival, Gone
from agent_memory.repositories.querying import after_step, agent_of, answering, run_of
from agent_memory.repositories.redis import scripts
from agent_memory.repositories.redis.attributes import AttributeIndexing, Call, DeclaredAttributes
from agent_memory.repositories.redis.both_tiers import ReadTogether
from agent_memory.repositories.redis.calls import by_agent, conflict, flat, in_order, left_of
from agent_memory.repositories.redis.encodings import RedisEncodings
from agent_memory.repositories.redis.entries import HashMapper, as_replaced, reading
from agent_memory.repositories.redis.explaining import access
from agent_memory.repositories.redis.following import changes
from agent_memory.repositories.redis.importances import RedisImportances
from agent_memory.repositories.redis.keys import Agent, KeySpace
from agent_memory.repositories.redis.many_agents import ManyAgents
from agent_memory.repositories.redis.notes import RedisMoveNotes
from agent_memory.repositories.redis.path_values import ReadsValues
from agent_memory.repositories.redis.plain_storing import PlainStoring
from agent_memory.repositories.redis.queries import entries_answering, keys_answering
from agent_memory.repositories.redis.registries import listed_agents, listed_runs
from agent_memory.repositories.redis.retrievals import RetrievalCounts
from agent_memory.repositories.redis.sorted_sets import chosen, lookups
from agent_memory.repositories.redis.upkeep import RedisUpkeep
from agent_memory.repositories.redis.vectors import MAX_BYTES, VectorCache
from agent_memory.values.coded import is_coded
from agent_memory.values.entry import EntryKey, MemoryEntry, Tier
from agent_memory.values.query import Query, checked_query

_CHANGED = -1
_UNPINNED = ("unpinned", "")  # of any revision and count, unless it is pinned
_Expected = tuple[Value, Value]  # a revision, and how often it was retrieved
_GONE = {_CHANGED: Gone.CHANGED, 1: Gone.REMOVED, 0: Gone.ABSENT}


class RedisRepository(ReadsValues, ReadTogether, MemoryRepository):
    """The entries of one tier in one namespace of a Redis server.

    Args:
        channel: The server.
        codec: Codes contents.
        namespace: What every key begins with.
        clock: Gives the time in seconds since 1970; agents are listed by their last write.
        vector_cache_bytes: How many bytes of vectors to keep in this process for ``nearest``.
        indexed_attributes: Paths in contents to declare; see ``declare_attributes``.
        buckets: Over how many buckets agents are spread, on a cluster; 0: over none.
    """

    def __init__(
        self,
        channel: RedisChannel,
        codec: Codec,
        *,
        namespace: str,
        clock: Callable[[], float] = time.time,
        vector_cache_bytes: int = MAX_BYTES,
        indexed_attributes: Sequence[str] = (),
        buckets: int = 0,
    ) -> None:
        self.channel = channel
        self._codec = codec
        self.key_space = KeySpace(namespace, buckets)
        self.moves = RedisMoveNotes(channel, self.key_space.moving)
        self._clock = clock
        self._retrievals = RetrievalCounts(channel, self.key_space, clock)
        self._vectors = VectorCache(channel, vector_cache_bytes)
        self._declared = DeclaredAttributes(channel, self.key_space, indexed_attributes)
        self._mapper = HashMapper(channel, codec, self._declared, self.tier)
        self._many = ManyAgents(channel, self.key_space, self._mapper)
        self._plain = PlainStoring(channel, self.key_space, self._mapper, self._declared, clock)
        self.encodings = RedisEncodings(self, channel, self.key_space, clock)
        self.importance = RedisImportances(channel, self.key_space, clock)
        declare = partial(self._declared.declare, AttributeIndexing(self, channel, self.key_space))
        self.upkeep = RedisUpkeep(self, channel, self.key_space, self._mapper, declare)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key_space.namespace!r:.90}, {self.channel.where:.90})"

    # -- writing ------------------------------------------------------------------------------

    def add(self, entry: MemoryEntry) -> Added:
        """Store one entry; see ``add_many``."""
        agent = Agent(entry.run_id, entry.agent_id)
        keys = self._writing_keys(agent)
        (reply,) = self._declared.run(
            scripts.ADD, lambda: [(keys, [*self._writer(agent), *self._mapper.encode(entry)])]
        )
        (code,) = in_order([(agent, [0])], [reply])
        return Added(code)

    def add_many(self, entries: Sequence[MemoryEntry]) -> list[Added]:
        """Store entries: many by plain commands, else a script call an agent and 500 entries."""
        return self._scripted(entries, self._plain.store(entries))

    def add_new(
        self, entries: Sequence[MemoryEntry], packed: Sequence[bytes] | None = None
    ) -> list[Added]:
        """Store entries whose ids are new: the server need not watch them."""
        stored = self._plain.store(entries, are_new=True, packed=packed)
        return self._scripted(entries, stored)

    def _scripted(self, entries: Sequence[MemoryEntry], stored: Sequence[bool]) -> list[Added]:
        left = iter(self._store(scripts.ADD, left_of(entries, stored), self._writing_keys))
        return [Added.STORED if is_stored else Added(next(left)) for is_stored in stored]

    def arrive(self, entries: Sequence[MemoryEntry], after: Sequence[float]) -> list[Arrival]:
        """Store entries by one request, each as the latest of its agent; decided on the server."""
        stored = self._plain.store(entries, after)
        left = iter(self._arrive_each(left_of(entries, stored), left_of(after, stored)))
        return [
            Arrival(Added.STORED, entry.timestamp) if is_stored else next(left)
            for entry, is_stored in zip(entries, stored, strict=True)
        ]

    def _arrive_each(self, entries: Sequence[MemoryEntry], after: Sequence[float]) -> list[Arrival]:
        def calls() -> list[Call]:
            # Packed before any is sent: what cannot be stored keeps all from being.
            packed = self._mapper.encode_many(entries)
            agents = (Agent(entry.run_id, entry.agent_id) for entry in entries)
            return [
                (self._writing_keys(agent), [*self._writer(agent), repr(float(last)), *fields])
                for agent, last, fields in zip(agents, after, packed, strict=True)
            ]

        replies = self._declared.run(scripts.ARRIVE, calls) if entries else []
        if [*map(len, replies)] != [2] * len(entries):
            raise self.channel.not_redis("EVALSHA")
        return [Arrival(Added(code), float(timestamp)) for code, timestamp in replies]

    def replace(self, entry: MemoryEntry) -> MemoryEntry:
        """Store a changed entry in place of the one whose revision it carries."""
        keys, losses = self._writing_keys(Agent(entry.run_id, entry.agent_id)), self.channel.losses
        contents = self._codec.encode(entry)
        if is_coded(contents):
            stored = self.channel.call("HGET", keys[0] + entry.memory_id, "contents")
            # If they change meanwhile, so does the revision.
            contents = stored if is_kept(self._codec, stored, entry) else contents

        def calls() -> list[Call]:
            values = self._mapper.encode(entry, contents)
            return [(keys, [repr(self._clock()), self._declared.known, *values])]

        (reply,) = self._declared.run(scripts.REPLACE, calls)
        if reply == 0:
            raise EntryNotFound(f"no entry {entry.memory_id} in {self.tier.name}")
        if reply == _CHANGED:
            if self.channel.losses != losses:
                # The change may have been made, and asked for again because its answer was lost.
                for stored in self.get_many([entry.key]):
                    if is_replacement(stored, entry):
                        return stored
            raise conflict(entry.memory_id, entry.revision)
        return as_replaced(entry, reply, self.tier)

    def touch(
        self, counts: Mapping[EntryKey, int], at: float, token: str | None = None
    ) -> list[EntryKey]:
        """Count retrievals; returns the keys that are not stored here."""
        return self._retrievals.add(counts, at, token)

    def touched(self, token: str) -> None:
        """Note that the count of a name is not made again."""
        self._retrievals.close(token)

    def remove(self, key: EntryKey, *, revision: int | None = None) -> bool:
        """Remove an entry, if its stored revision is the given one (None: whatever it is)."""
        (outcome,) = self._remove([key], [("" if revision is None else revision, "")])
        if outcome == _CHANGED:
            raise conflict(key.memory_id, revision)
        return outcome == 1

    def remove_many(self, keys: Iterable[EntryKey]) -> int:
        """Remove entries, whatever their revision; returns how many were there."""
        keys = list(keys)
        return sum(self._remove(keys, [("", "")] * len(keys)))

    def remove_answering(self, queries: Sequence[Query]) -> int:
        """Remove the entries that answer any of some queries; two requests for all of them."""
        if any(query.attributes or not query.is_about_one_agent for query in queries):
            return super().remove_answering(queries)
        found = keys_answering(self.channel, self.key_space, queries)
        expected: dict[EntryKey, _Expected] = {}
        for query, keys in zip(queries, found, strict=True):
            for key in keys:
                if query.pinned is False:
                    # One that is pinned this very moment stays.
                    expected.setdefault(key, _UNPINNED)
                else:
                    expected[key] = "", ""
        return self._remove(list(expected), list(expected.values())).count(1)

    def remove_copied(self, entries: Sequence[MemoryEntry]) -> list[Gone]:
        """Remove entries that have been copied elsewhere, unless they changed since."""
        outcome = self._remove(
            [entry.key for entry in entries],
            [(entry.revision, entry.retrieval_count) for entry in entries],
        )
        return [_GONE[code] for code in outcome]

    def move_within(
        self, destination: MemoryRepository, copies: Sequence[MemoryEntry]
    ) -> list[Gone] | None:
        """Move entries to another tier of this server and database in one transaction."""
        if isinstance(destination, RedisRepository) and destination.channel is self.channel:
            return destination.take_from(self.key_space, copies)
        return None

    def take_from(self, source: KeySpace, copies: Sequence[MemoryEntry]) -> list[Gone]:
        """Take entries over from another tier of this server and database in one transaction."""
        outcome = self._store(
            scripts.MOVE, copies, lambda agent: [*source.of(agent), *self._writing_keys(agent)]
        )
        return [_GONE[code] for code in outcome]

    def clear_agents(self, run_id: str, agents: Iterable[str]) -> int:
        """Remove all entries of some agents of a run; returns how many there were."""
        calls = [
            (self.key_space.of(Agent(run_id, agent_id)), [encode_id(agent_id), encode_id(run_id)])
            for agent_id in dict.fromkeys(agents)
        ]
        return sum(map(int, self.channel.run(scripts.CLEAR, calls)))

    # -- reading ------------------------------------------------------------------------------

    def get_many(self, keys: Sequence[EntryKey]) -> list[MemoryEntry]:
        """Return those of the entries that are stored here, in the order of the keys."""
        return self._mapper.load(self.key_space.names(keys))

    def find(self, query: Query) -> list[MemoryEntry]:
        """Return the entries that answer a query, in its order."""
        if not checked_query(query).is_about_one_agent:
            return self._many.find(query, self._declared.lookups_of_all(query.attributes))
        if not query.attributes:
            prefix, names = self._answering(query)
            return self._mapper.load(prefix + name for name in names)
        prefix, names = self._answering(replace(query, limit=None))
        return answering(self._mapper.load_in_parts(prefix, names, query.limit), query)

    def find_each(self, queries: Sequence[Query]) -> list[list[MemoryEntry]]:
        """Return what answers each of some queries; two requests for all of them."""
        if any(query.attributes or not query.is_about_one_agent for query in queries):
            return super().find_each(queries)
        return entries_answering(self.channel, self.key_space, queries, self.get_many)

    def keys_answering(self, query: Query) -> list[EntryKey]:
        """The keys of the entries that answer a query, in its order; no entry is read."""
        if query.attributes:
            return super().keys_answering(query)
        if not query.is_about_one_agent:
            return self._many.keys(query)
        return flat(keys_answering(self.channel, self.key_space, [query]))

    def access(self, query: Query) -> Access:
        """How a question is answered: by which sorted sets, and how many entries they give."""
        return access(self.channel, self.key_space, query, self._declared, self._many.owners(query))

    def nearest(self, query: Query, probe: Probe) -> list[Neighbour]:
        """The entries that answer a query and whose vectors are nearest to a probe."""
        prefix = self.key_space.prefix(run_of(query), agent_of(query))
        if query.limit == 0:
            return []
        if query.attributes or query.pinned is not None:
            return super().nearest(query, probe)
        kept = self._vectors.of(prefix)
        size = kept.size
        with kept.lock:
            # What is kept is most often right, so it is ranked before the log is asked.
            found = kept.nearest(query, probe)
            news, *replies = self.channel.call_all([kept.news(), *reading(prefix, found)])
            changed = kept.heed(news)
            if changed:
                found = kept.nearest(query, probe)
                replies = self.channel.call_all(reading(prefix, found))
        if kept.size > size:
            self._vectors.make_room()
        entries = self._mapper.decode_many(replies)
        return [Neighbour(entry, found[entry.memory_id]) for entry in entries]

    def changes(
        self, run_id: str, agent_id: str, seen: object = None, known: Collection[str] = ()
    ) -> Changes:
        """What has changed of an agent's entries since somebody asked last."""
        prefix = self.key_space.prefix(run_id, agent_id)
        return changes(self.channel, prefix, self._codec, seen, known)

    def _answering(self, query: Query) -> tuple[str, list[str]]:
        """The agent's key prefix, and the ids of the entries that answer a query."""
        prefix = self.key_space.prefix(run_of(query), agent_of(query))
        if query.limit == 0:
            return prefix, []
        if not query.attributes:
            (keys,) = keys_answering(self.channel, self.key_space, [query])
            return prefix, [key.memory_id for key in keys]
        owner = Agent(run_of(query), agent_of(query))
        usable = self._declared.lookups(owner, query.attributes)
        replies = self.channel.call_all(lookups(prefix, query, usable))
        return prefix, [memory_id_of(name) for name in chosen(replies, query)]

    def keys(self, run_id: str, *agents: str, after: int = -1) -> list[EntryKey]:
        """The keys of the entries of some agents in a run; one request for all of them."""
        asked = after_step(run_id, after, agents)
        return flat(keys_answering(self.channel, self.key_space, asked))

    def count(self, run_id: str, agent_id: str | None = None) -> int:
        """How many entries an agent has in a run; None for all agents together."""
        agents = self.agents(run_id) if agent_id is None else [agent_id]
        prefixes = [self.key_space.prefix(run_id, agent) for agent in agents]
        return sum(self.channel.call_all([("ZCARD", f"{prefix}steps") for prefix in prefixes]))

    def agents(self, run_id: str) -> list[str]:
        """The agents that have entries in a run, sorted."""
        return sorted(*listed_agents(self.channel, self.key_space, [run_id]))

    def runs(self) -> list[str]:
        """The runs that have entries, sorted."""
        return sorted(listed_runs(self.channel, self.key_space))

    # -- keys and calls -----------------------------------------------------------------------

    def _writing_keys(self, agent: Agent) -> list[str]:
        return [*self.key_space.of(agent), self.key_space.attributes(agent)]

    def _writer(self, agent: Agent) -> list[Value]:
        return [*self._who(agent), self._declared.known]

    def _who(self, agent: Agent) -> list[Value]:
        return [encode_id(agent.agent_id), encode_id(agent.run_id), repr(self._clock())]

    def _store(
        self,
        script: Script,
        entries: Sequence[MemoryEntry],
        keys_of: Callable[[Agent], Sequence[str]],
    ) -> list[int]:
        """Run a script that takes whole entries; returns what it answers to each."""
        groups = by_agent([entry.key for entry in entries])

        def calls() -> list[Call]:
            # Packed before any is sent: what cannot be stored keeps all from being.
            packed = self._mapper.encode_many(entries)
            return [
                (keys_of(agent), [*self._writer(agent), *flat(packed[at] for at in places)])
                for agent, places in groups
            ]

        return in_order(groups, self._declared.run(script, calls))

    def _remove(self, keys: Sequence[EntryKey], expected: Sequence[_Expected]) -> list[int]:
        groups = by_agent(keys)
        calls = []
        for agent, places in groups:
            wanted = flat((keys[place].memory_id, *expected[place]) for place in places)
            calls.append((self.key_space.of(agent), [*self._who(agent), *wanted]))
        return in_order(groups, self.channel.run(scripts.REMOVE, calls))


class StmRepository(RedisRepository):
    """Short-term memory: full detail.

    Examples:
        >>> query = Query(run_id="default", agent_id="ant-1", limit=2)
        >>> [entry.step_number for entry in memory.stm.find(query)]
        [0, 1]
    """

    tier = Tier.STM


class ImRepository(RedisRepository):
    """Intermediate memory: level-1 compressed.

    Examples:
        >>> memory.im.count("default", "ant-1")
        0
    """

    tier = Tier.IM
