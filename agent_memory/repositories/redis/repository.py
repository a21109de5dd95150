"""Short-term and intermediate memory in Redis or Valkey, with no module needed.

Writes are Lua scripts (``redis_scripts``), reads go through the sorted sets of each agent
(``redis_indexes``); what an entry looks like is said in ``models.redis``.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.connections.redis.answers import values_of
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.commands import Command, KeyedCommand
from agent_memory.errors import (
    EncodingError,
    EntryConflict,
    EntryNotFound,
    InvalidEntry,
    StoreUnavailable,
)
from agent_memory.models.redis import (
    STORED,
    Value,
    encode_id,
    entry_to_values,
    memory_id_of,
    read_vectors,
    readable_ids,
    values_to_entry,
    vector_bytes,
)
from agent_memory.models.redis_attributes import lookup, spelled_attributes
from agent_memory.repositories.codec import Codec, is_kept
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.counts import AgentCounts
from agent_memory.repositories.encodings import Encodings
from agent_memory.repositories.nearest import Neighbour, Probe
from agent_memory.repositories.outcomes import Added, Gone
from agent_memory.repositories.querying import answering, run_of
from agent_memory.repositories.redis import scripts
from agent_memory.repositories.redis.attributes import Call, DeclaredAttributes
from agent_memory.repositories.redis.counts import agent_counts
from agent_memory.repositories.redis.footprint import stored_bytes
from agent_memory.repositories.redis.keys import Agent, KeySpace
from agent_memory.repositories.redis.many import all_keys, keys_answering
from agent_memory.repositories.redis.notes import RedisMoveNotes
from agent_memory.repositories.redis.server_similarity import IndexedNearest
from agent_memory.repositories.redis.sorted_sets import chosen, lookups
from agent_memory.repositories.redis.tier_search import TierSearch
from agent_memory.repositories.redis.vectors import MAX_BYTES, VectorCache
from agent_memory.repositories.upkeep import TierUpkeep, tell_unreadable
from agent_memory.values.coded import code_named_by, is_coded
from agent_memory.values.entry import EntryKey, MemoryEntry, Tier
from agent_memory.values.query import Query

_BATCH = 500  # entries a script call: the server does nothing else meanwhile
_CHANGED = -1
_UNPINNED = ("unpinned", "")  # of any revision and count, unless it is pinned
_GONE = {_CHANGED: Gone.CHANGED, 1: Gone.REMOVED, 0: Gone.ABSENT}
_REPLACING_ANY: list[Value] = ["", "any"]
_READ = KeyedCommand("HMGET", *STORED, answers=values_of(len(STORED)))
_NAMES = [name.encode() for name in STORED]
_STEP, _CONTENTS, _EMBEDDING = map(STORED.index, ("step_number", "contents", "embedding"))


class RedisRepository(MemoryRepository, Encodings, TierUpkeep):
    """The entries of one tier in one namespace of a Redis server.

    Args:
        channel: The server.
        codec: Codes contents.
        namespace: What every key begins with.
        clock: Gives the time in seconds since 1970; agents are listed by their last write.
        vector_cache_bytes: How many bytes of vectors to keep in this process for ``nearest``.
        search: Answers ``nearest`` by the server's index where that can tell; None: vectors are
            always compared in this process.
        indexed_attributes: Paths in contents to declare; see ``declare_attributes``.
    """

    def __init__(
        self,
        channel: RedisChannel,
        codec: Codec,
        *,
        namespace: str,
        clock: Callable[[], float] = time.time,
        vector_cache_bytes: int = MAX_BYTES,
        search: TierSearch | None = None,
        indexed_attributes: Sequence[str] = (),
    ) -> None:
        super().__init__(self)
        self.encodings = self.upkeep = self
        self.channel = channel
        self._codec = codec
        self.key_space = KeySpace(namespace)
        self.moves = RedisMoveNotes(channel, self.key_space.moving, clock)
        self._clock = clock
        self._vectors = VectorCache(channel, vector_cache_bytes)
        self._indexed = None if search is None else IndexedNearest(search)
        self._declared = DeclaredAttributes(channel, namespace, indexed_attributes)

    # -- writing ------------------------------------------------------------------------------

    def add(self, entry: MemoryEntry) -> Added:
        """Store one entry; see ``add_many``."""
        agent = Agent(entry.run_id, entry.agent_id)
        (reply,) = self._declared.run(
            scripts.ADD,
            lambda: [(self._writing_keys(agent), [*self._writer(agent), *self._values(entry)])],
        )
        (code,) = self._scattered([(agent, [0])], [reply])
        return Added(code)

    def add_many(self, entries: Sequence[MemoryEntry]) -> list[Added]:
        """Store entries: one script call for each agent and 500 entries."""
        groups = list(_batches([entry.key for entry in entries]))

        def calls() -> list[Call]:
            # Packed before any is sent: what cannot be stored keeps all from being.
            packed = self._all_values(entries)
            return [
                (
                    self._writing_keys(agent),
                    [*self._writer(agent), *_flat(packed[place] for place in places)],
                )
                for agent, places in groups
            ]

        outcome = self._scattered(groups, self._declared.run(scripts.ADD, calls))
        return [Added(code) for code in outcome]

    def replace(self, entry: MemoryEntry) -> MemoryEntry:
        """Store a changed entry in place of the one whose revision it carries."""
        keys = self._writing_keys(Agent(entry.run_id, entry.agent_id))
        contents = self._codec.encode(entry)
        if is_coded(contents):
            stored = self.channel.call("HGET", keys[0] + entry.memory_id, "contents")
            # If they change meanwhile, so does the revision.
            contents = stored if is_kept(self._codec, stored, entry) else contents
        (reply,) = self._declared.run(
            scripts.REPLACE,
            lambda: [
                (
                    keys,
                    [repr(self._clock()), self._declared.known, *self._values(entry, contents)],
                )
            ],
        )
        if reply == 0:
            raise EntryNotFound(f"no entry {entry.memory_id} in {self.tier.name}")
        if reply == _CHANGED:
            raise _conflict(entry.memory_id, entry.revision)
        count, accessed = reply
        try:
            return replace(
                entry,
                revision=entry.revision + 1,
                retrieval_count=int(count),
                last_access_time=float(accessed),
            )
        except ValueError as error:
            raise EncodingError(
                f"entry {entry.memory_id} in {self.tier.name}: its hash was damaged ({error!r})"
            ) from error

    def touch(self, counts: Mapping[EntryKey, int], at: float) -> list[EntryKey]:
        """Count retrievals; not sent again after a lost answer, which might count them twice."""
        if not math.isfinite(at):
            raise InvalidEntry(f"at: {at} is not a finite number")
        keys = list(counts)
        groups = list(_batches(keys))
        calls = []
        for agent, places in groups:
            pairs = _flat((keys[place].memory_id, counts[keys[place]]) for place in places)
            calls.append((self.key_space.of(agent), [repr(float(at)), *pairs]))
        replies = self.channel.run(scripts.TOUCH, calls, repeatable=False)
        found = self._scattered(groups, replies)
        return [key for key, there in zip(keys, found, strict=True) if not there]

    def reembed(
        self, entries: Sequence[MemoryEntry], read: Sequence[MemoryEntry] | None = None
    ) -> list[bool]:
        """Store entries' vectors and encoder versions in place of those they had."""
        groups = list(_batches([entry.key for entry in entries]))
        wanted = [_REPLACING_ANY] * len(entries) if read is None else [*map(_vector_values, read)]
        calls = []
        for agent, places in groups:
            changes = _flat(
                [one.memory_id, one.revision, *_vector_values(one), *wanted[place]]
                for place, one in ((place, entries[place]) for place in places)
            )
            calls.append((self.key_space.of(agent), [repr(self._clock()), *changes]))
        stored = self._scattered(groups, self.channel.run(scripts.REEMBED, calls))
        return [code == 1 for code in stored]

    def remove(self, key: EntryKey, *, revision: int | None = None) -> bool:
        """Remove an entry, if its stored revision is the given one (None: whatever it is)."""
        (outcome,) = self._remove([key], [("" if revision is None else revision, "")])
        if outcome == _CHANGED:
            raise _conflict(key.memory_id, revision)
        return outcome == 1

    def remove_many(self, keys: Iterable[EntryKey]) -> int:
        """Remove entries, whatever their revision; returns how many were there."""
        keys = list(keys)
        return sum(self._remove(keys, [("", "")] * len(keys)))

    def remove_answering(self, queries: Sequence[Query]) -> int:
        """Remove the entries that answer any of some queries; two requests for all of them."""
        if any(query.attributes for query in queries):
            return super().remove_answering(queries)
        found = keys_answering(self.channel, self.key_space.namespace, queries)
        expected: dict[EntryKey, tuple[Value, Value]] = {}
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
        groups = list(_batches([copy.key for copy in copies]))

        def calls() -> list[Call]:
            packed = self._all_values(copies)
            return [
                (
                    [*source.of(agent), *self._writing_keys(agent)],
                    [*self._writer(agent), *_flat(packed[place] for place in places)],
                )
                for agent, places in groups
            ]

        outcome = self._scattered(groups, self._declared.run(scripts.MOVE, calls))
        return [_GONE[code] for code in outcome]

    def clear_agents(self, run_id: str, agents: Iterable[str]) -> int:
        """Remove all entries of some agents of a run; returns how many there were."""
        calls = [
            (
                self.key_space.of(Agent(run_id, agent_id)),
                [encode_id(agent_id), encode_id(run_id)],
            )
            for agent_id in dict.fromkeys(agents)
        ]
        return sum(map(int, self.channel.run(scripts.CLEAR, calls)))

    # -- reading ------------------------------------------------------------------------------

    def get_many(self, keys: Sequence[EntryKey]) -> list[MemoryEntry]:
        """Return those of the entries that are stored here, in the order of the keys."""
        return self._load(self._names(keys))

    def find(self, query: Query) -> list[MemoryEntry]:
        """Return the entries that answer a query, in its order."""
        if not query.attributes:
            prefix, names = self._answering(query)
            return self._load(prefix + name for name in names)
        prefix, names = self._answering(replace(query, limit=None))
        at_once = _BATCH if query.limit is None else min(max(query.limit, 20), _BATCH)
        entries = (
            entry
            for first in range(0, len(names), at_once)
            for entry in self._load(prefix + name for name in names[first : first + at_once])
        )
        return answering(entries, query)

    def find_each(self, queries: Sequence[Query]) -> list[list[MemoryEntry]]:
        """Return what answers each of some queries; two requests for all of them."""
        if any(query.attributes for query in queries):
            return super().find_each(queries)
        return self._answers(queries, self.get_many)

    def get_readable(self, keys: Sequence[EntryKey]) -> list[MemoryEntry]:
        """Return those of the entries that are stored here and can be read."""
        readable = []
        for key, values in zip(keys, self._stored(self._names(keys)), strict=True):
            if any(values):
                try:
                    readable.append(self._entry(values))
                except EncodingError as error:
                    # Damage may have reached what says whose it is.
                    tell_unreadable(
                        EncodingError(
                            f"entry {key.memory_id} of agent {key.agent_id!r} in run "
                            f"{key.run_id!r} in {self.tier.name}: {error}"
                        )
                    )
        return readable

    def find_readable(self, queries: Sequence[Query]) -> list[list[MemoryEntry]]:
        """Return what answers each of some queries and can be read."""
        return self._answers(queries, self.get_readable)

    def _answers(
        self, queries: Sequence[Query], read: Callable[[Sequence[EntryKey]], list[MemoryEntry]]
    ) -> list[list[MemoryEntry]]:
        keys = keys_answering(self.channel, self.key_space.namespace, queries)
        entries = {entry.key: entry for entry in read(_flat(keys))}
        return [[entries[key] for key in each if key in entries] for each in keys]

    def nearest(self, query: Query, probe: Probe) -> list[Neighbour]:
        """The entries that answer a query and whose vectors are nearest to a probe."""
        prefix = self.key_space.prefix(run_of(query), query.agent_id)
        if query.limit == 0:
            return []
        if query.attributes or query.pinned is not None:
            return super().nearest(query, probe)
        proposed = None if self._indexed is None else self._indexed.nearest(prefix, query, probe)
        if proposed is not None:
            return [
                Neighbour(self._entry([*map(stored.get, _NAMES)]), cosine)
                for stored, cosine in proposed
            ]
        kept = self._vectors.of(prefix)
        size = kept.size
        with kept.lock:
            # What is kept is most often right, so it is ranked before the log is asked.
            found = kept.nearest(query, probe)
            news, *replies = self.channel.call_all([kept.news(), *_reading(prefix, found)])
            changed = kept.heed(news)
            if changed:
                found = kept.nearest(query, probe)
                replies = self.channel.call_all(_reading(prefix, found))
        if kept.size > size:
            self._vectors.make_room()
        entries = self._entries(replies)
        return [Neighbour(entry, found[entry.memory_id]) for entry in entries]

    def outdated(self, run_id: str, agent_id: str, version: int) -> list[EntryKey]:
        """The keys of an agent's entries whose vector another encoder made, or that have none."""
        wanted = str(version).encode()
        return [key for key, found in self._versions(run_id, agent_id) if found != wanted]

    def versions(self) -> dict[int, int]:
        """How many entries of every run name each version of the encoder."""
        counts = Counter(
            version
            for run_id in self.runs()
            for agent_id in self.agents(run_id)
            for _, version in self._versions(run_id, agent_id)
        )
        numbers = {_version(version): count for version, count in counts.items()}
        return {version: count for version, count in numbers.items() if version is not None}

    def code_versions(self) -> dict[int, int]:
        """How many entries have contents coded by the code of each version."""
        counts = Counter(
            code_named_by(contents or b"")
            for run_id in self.runs()
            for agent_id in self.agents(run_id)
            for _, contents in self._field(run_id, agent_id, "contents")
        )
        return {version: count for version, count in counts.items() if version is not None}

    def _versions(self, run_id: str, agent_id: str) -> Iterator[tuple[EntryKey, bytes | None]]:
        return self._field(run_id, agent_id, "encoder_version")

    def _field(
        self, run_id: str, agent_id: str, name: str
    ) -> Iterator[tuple[EntryKey, bytes | None]]:
        """A field of all entries of an agent."""
        prefix = self.key_space.prefix(run_id, agent_id)
        keys = self.keys(run_id, agent_id)
        asked = [("HGET", prefix + key.memory_id, name) for key in keys]
        return zip(keys, self.channel.call_all(asked), strict=True)

    def _answering(self, query: Query) -> tuple[str, list[str]]:
        """The agent's key prefix, and the ids of the entries that answer a query."""
        prefix = self.key_space.prefix(run_of(query), query.agent_id)
        if query.limit == 0:
            return prefix, []
        if not query.attributes:
            (keys,) = keys_answering(self.channel, self.key_space.namespace, [query])
            return prefix, [key.memory_id for key in keys]
        # Asked each time: the server may have lost everything, and this with it.
        places = {path: lookup(path, wanted) for path, wanted in query.attributes.items()}
        complete = self._declared.complete(self.channel.call(*self._declared.completeness))
        usable = [place for path, place in places.items() if path in complete]
        replies = self.channel.call_all(lookups(prefix, query, usable))
        return prefix, [memory_id_of(name) for name in chosen(replies, query)]

    def declare_attributes(self) -> None:
        """Declare the attributes of this process, and index what is stored by all declared ones.

        From then on whoever writes indexes them, be it another process that does not declare
        them. A process that is killed meanwhile leaves the rest to the next one that asks.
        """
        self._declared.declare(self._index_attributes)

    def _index_attributes(self) -> None:
        for run_id in self.runs():
            for agent_id in self.agents(run_id):
                keys = self.keys(run_id, agent_id)
                for first in range(0, len(keys), _BATCH):
                    self._index_attributes_of(keys[first : first + _BATCH])

    def _index_attributes_of(self, keys: Sequence[EntryKey]) -> None:
        """Index entries of one agent by the declared attributes; those that are damaged stay so."""
        try:
            entries = self.get_many(keys)
        except EncodingError:
            if len(keys) > 1:
                for key in keys:
                    self._index_attributes_of([key])
            return
        paths = self._declared.paths
        changes = _flat(
            (entry.memory_id, entry.revision, spelled_attributes(entry.contents, paths))
            for entry in entries
        )
        agent = Agent(keys[0].run_id, keys[0].agent_id)
        self.channel.run(scripts.ATTRIBUTES, [(self.key_space.of(agent), changes)])

    def keys(self, run_id: str, *agents: str) -> list[EntryKey]:
        """The keys of all entries of some agents in a run; one request for all of them."""
        return all_keys(self.channel, self.key_space.namespace, run_id, agents)

    def agent_counts(
        self, run_id: str, agents: Iterable[str] | None = None, horizon: float | None = None
    ) -> dict[str, AgentCounts]:
        """What each of some agents of a run has here; one request for all of them."""
        names = self.agents(run_id) if agents is None else list(dict.fromkeys(agents))
        prefixes = [self.key_space.prefix(run_id, name) for name in names]
        found = agent_counts(self.channel, prefixes, horizon)
        return {name: told for name, told in zip(names, found, strict=True) if told is not None}

    def importances(self, run_id: str, agent_id: str) -> list[tuple[EntryKey, float]]:
        """How important each entry of an agent is that is not pinned, newest first."""
        prefix = self.key_space.prefix(run_id, agent_id)
        newest, scored, pinned = self.channel.call_all(
            [
                ("ZREVRANGE", f"{prefix}times", 0, -1),
                ("ZRANGE", f"{prefix}importance", 0, -1, "WITHSCORES"),
                ("ZRANGE", f"{prefix}pinned", 0, -1),
            ]
        )
        stays = set(pinned)
        try:
            scores = dict(zip(scored[::2], map(float, scored[1::2]), strict=True))
        except ValueError as error:
            raise self.channel.not_redis("ZRANGE") from error
        return [
            (EntryKey(run_id, agent_id, memory_id_of(name)), scores[name])
            for name in newest
            if name in scores and name not in stays
        ]

    def count(self, run_id: str, agent_id: str | None = None) -> int:
        """How many entries an agent has in a run; None for all agents together."""
        agents = self.agents(run_id) if agent_id is None else [agent_id]
        prefixes = [self.key_space.prefix(run_id, agent) for agent in agents]
        return sum(self.channel.call_all([("ZCARD", f"{prefix}steps") for prefix in prefixes]))

    def agents(self, run_id: str) -> list[str]:
        """The agents that have entries in a run, sorted."""
        names = self.channel.call("ZRANGE", self.key_space.agents(run_id), 0, -1)
        return sorted(readable_ids(names))

    def runs(self) -> list[str]:
        """The runs that have entries, sorted."""
        return sorted(readable_ids(self.channel.call("SMEMBERS", self.key_space.runs)))

    def stored_bytes(self) -> int:
        """How many bytes the server uses for all entries here, estimated from a sample."""
        prefixes = [
            self.key_space.prefix(run_id, agent_id)
            for run_id in self.runs()
            for agent_id in self.agents(run_id)
        ]
        return stored_bytes(self.channel, prefixes)

    # -- keys and calls -----------------------------------------------------------------------

    def _writing_keys(self, agent: Agent) -> list[str]:
        return [*self.key_space.of(agent), self._declared.key]

    def _writer(self, agent: Agent) -> list[Value]:
        return [*self._who(agent), self._declared.known]

    def _who(self, agent: Agent) -> list[Value]:
        return [encode_id(agent.agent_id), encode_id(agent.run_id), repr(self._clock())]

    def _all_values(self, entries: Sequence[MemoryEntry]) -> list[list[Value]]:
        coded = self._codec.encode_many(entries)
        return [self._values(*one) for one in zip(entries, coded, strict=True)]

    def _values(self, entry: MemoryEntry, coded: bytes | None = None) -> list[Value]:
        contents = self._codec.encode(entry) if coded is None else coded
        attributes = spelled_attributes(entry.contents, self._declared.paths)
        return entry_to_values(entry, contents, attributes)

    def _remove(
        self, keys: Sequence[EntryKey], expected: Sequence[tuple[Value, Value]]
    ) -> list[int]:
        groups = list(_batches(keys))
        calls = []
        for agent, places in groups:
            wanted = _flat((keys[place].memory_id, *expected[place]) for place in places)
            calls.append((self.key_space.of(agent), [*self._who(agent), *wanted]))
        return self._scattered(groups, self.channel.run(scripts.REMOVE, calls))

    def _load(self, names: Iterable[str]) -> list[MemoryEntry]:
        return self._entries(self._stored(names))

    def _names(self, keys: Iterable[EntryKey]) -> list[str]:
        return [self.key_space.prefix(key.run_id, key.agent_id) + key.memory_id for key in keys]

    def _stored(self, names: Iterable[str]) -> list[Sequence[bytes | None]]:
        """The values of ``STORED`` of each, none of one that is not there."""
        return self.channel.call_all(_reading("", names))

    def _entries(self, replies: Iterable[Sequence[bytes | None]]) -> list[MemoryEntry]:
        there = [values for values in replies if any(values)]
        vectors = read_vectors([values[_EMBEDDING] for values in there])
        return [self._entry(*one) for one in zip(there, vectors, strict=True)]

    def _entry(
        self, values: Sequence[bytes | None], vector: NDArray[np.float32] | None = None
    ) -> MemoryEntry:
        """The entry of the values of ``STORED``, and of its vector if that was read already."""
        try:
            step = int(values[_STEP] or "lacks")
            contents = self._codec.decode(values[_CONTENTS] or b"", step)
        except ValueError as error:  # an EncodingError is one
            name = (values[0] or b"?").decode("ascii", "replace")
            raise EncodingError(f"entry {name} in {self.tier.name}: {error}") from error
        return values_to_entry(values, contents, vector)

    @staticmethod
    def _scattered(
        groups: Sequence[tuple[Agent, Sequence[int]]], replies: Sequence[Sequence[int]]
    ) -> list[int]:
        """Put the answers of script calls back in the order the entries were given."""
        outcome = [0] * sum(len(places) for _, places in groups)
        for (_, places), reply in zip(groups, replies, strict=True):
            if len(reply) != len(places):
                raise StoreUnavailable("the Redis server answers for other entries than asked")
            for place, code in zip(places, reply, strict=True):
                outcome[place] = code
        return outcome


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


def _batches(keys: Sequence[EntryKey]) -> Iterator[tuple[Agent, Sequence[int]]]:
    """The places of the keys, by agent, at most ``_BATCH`` at a time."""
    by_agent: dict[Agent, list[int]] = {}
    for place, key in enumerate(keys):
        by_agent.setdefault(Agent(key.run_id, key.agent_id), []).append(place)
    for agent, places in by_agent.items():
        for first in range(0, len(places), _BATCH):
            yield agent, places[first : first + _BATCH]


def _reading(prefix: str, names: Iterable[str]) -> list[Command]:
    return [_READ(prefix + name) for name in names]


def _vector_values(entry: MemoryEntry) -> list[Value]:
    version = entry.encoder_version
    return [vector_bytes(entry.embedding), "" if version is None else version]


def _version(stored: bytes | None) -> int | None:
    """The version that an entry names; None of none, and of one that is damaged."""
    return int(stored) if stored is not None and stored.isdigit() and len(stored) < 20 else None


def _flat(groups: Iterable[Iterable[Any]]) -> list[Any]:
    return [value for group in groups for value in group]


def _conflict(memory_id: str, revision: int | None) -> EntryConflict:
    return EntryConflict(
        f"entry {memory_id} no longer has revision {revision}; read it again and redo the change"
    )
