"""The contract of a tier's store: what every repository promises, whatever its engine.

A repository holds the entries of one tier, of any number of runs and agents.

* **Identity.** ``(run_id, memory_id)`` names an entry; an ``EntryKey`` adds the agent, which
  says where it lies. Adding the same key twice is one entry.
* **Snapshots.** What is stored is what the entry held when it was added; what is returned is
  the caller's own, and equal to what was stored.
* **Atomicity.** An entry and its place in every index change together. ``add_many`` and
  ``remove_many`` are atomic per entry, not as a whole: after an error, each entry was either
  stored or not, and the same call may be made again.
* **Order.** See ``Order``: ties break by memory id, in the direction of the order.
* **Threads and processes.** A repository may be shared by threads, and several processes may
  work on one store at once. After ``os.fork`` both sides may go on.
* **Errors.** An engine that does not answer raises ``StoreUnavailable``; an empty result means
  that there is nothing. Bad arguments raise ``InvalidEntry``. A store that was opened read-only
  raises ``StoreReadOnly`` on every write.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.ranking import as_unit, as_units, nearest, with_bias
from agent_memory.errors import EncodingError, EntryNotFound, InvalidEntry
from agent_memory.repositories.counts import AgentCounts
from agent_memory.repositories.moves import MoveNotes, NoMoveNotes
from agent_memory.repositories.outcomes import Added, Gone
from agent_memory.values.attributes import meets
from agent_memory.values.coded import CodedContents, is_coded
from agent_memory.values.contents import pack
from agent_memory.values.entry import EntryKey, MemoryEntry, MemoryType, Tier
from agent_memory.values.query import Order, Query


class Codec(Protocol):
    """Turns contents into the bytes of a tier and back."""

    def encode(self, entry: MemoryEntry) -> bytes:
        """Encode an entry's contents at its compression level."""

    def encode_many(self, entries: Sequence[MemoryEntry]) -> list[bytes]:
        """The same for many."""

    def decode(
        self, encoded: bytes, step: int, vector: NDArray[np.float32] | None = None
    ) -> dict[str, Any]:
        """Give back contents of a step, beside whose vector they were coded.

        Raises:
            EncodingError: The bytes are damaged.
        """


class Vectors(NamedTuple):
    """The vectors of some entries, of one encoder version and width."""

    version: int | None
    """Which encoder made them."""
    memory_ids: list[str]
    """Whose they are."""
    matrix: NDArray[np.float32]
    """A row for each of the ids: shape (n, dim)."""


class Probe(Protocol):
    """What stored vectors are compared with."""

    def at(self, version: int | None, width: int) -> NDArray[np.float32] | None:
        """The vector to compare those of a version and width with, of shape (width,).

        Returns:
            None if those do not compare.
        """

    def bias(self, version: int | None, width: int) -> float:
        """The number that stands before both when they are compared; 0.0 for none.

        Long-term vectors alone have one; where others of that width and version stand higher, they
        do not compare.
        """


class Neighbour(NamedTuple):
    """An entry, and how near its vector is to a probe."""

    entry: MemoryEntry
    cosine: float | None
    """Of the angle between the two vectors, -1 to 1; None where they do not compare."""


_NOTHING = np.zeros(0, np.float32)

_MOST_TOLD = 10_000
_told: set[str] = set()
_logger = logging.getLogger("agent_memory")


def grouped_vectors(
    vectors: Iterable[tuple[str, int | None, NDArray[np.float32] | None]],
) -> list[Vectors]:
    """Put vectors together that may be compared: those of one version and width.

    Args:
        vectors: Whose it is, which encoder made it, and the vector of shape (dim,) or None.
    """
    groups: dict[tuple[int | None, int], tuple[list[str], list[NDArray[np.float32]]]] = {}
    for memory_id, version, given in vectors:
        vector = _NOTHING if given is None else given
        ids, rows = groups.setdefault((version, len(vector)), ([], []))
        ids.append(memory_id)
        rows.append(vector)
    return [Vectors(version, ids, np.stack(rows)) for (version, _), (ids, rows) in groups.items()]


def nearest_ids(
    groups: Iterable[Vectors], probe: Probe, count: int | None
) -> dict[str, float | None]:
    """The ids of the nearest vectors of each group, and of all that do not compare.

    Args:
        groups: The vectors.
        probe: What they are compared with.
        count: How many of each group at most; None for all.

    Returns:
        Cosines by memory id, the greatest of each group first; None where they do not compare.
    """
    found: dict[str, float | None] = {}
    for version, memory_ids, matrix in groups:
        asked = probe.at(version, matrix.shape[1])
        if asked is None:
            found |= dict.fromkeys(memory_ids)
            continue
        bias = probe.bias(version, matrix.shape[1])
        unit = as_unit(with_bias(asked[None], bias)[0])
        units = as_units(with_bias(matrix, bias))
        for place, cosine in nearest(units, unit, memory_ids, count):
            found[memory_ids[place]] = cosine
    return found


def is_kept(codec: Codec, stored: bytes | None, entry: MemoryEntry) -> bool:
    """Whether contents that are stored exactly are those of an entry which was changed otherwise.

    They stay as they are then: a pin or another importance is no reason to be coded with a bound.
    """
    if stored is None or is_coded(stored) or isinstance(entry.contents, CodedContents):
        return False
    try:
        return pack(codec.decode(stored, entry.step_number)) == pack(entry.contents)
    except EncodingError:
        return False


def tell_unreadable(error: EncodingError) -> None:
    """Tell in the log of an entry that cannot be read; once of each, not with every upkeep."""
    message = str(error)
    if message in _told:
        return
    if len(_told) >= _MOST_TOLD:
        _told.clear()
    _told.add(message)
    _logger.error("%s; it stays where it is: agent-memory check --repair", message)


def answering(entries: Iterable[MemoryEntry], query: Query) -> list[MemoryEntry]:
    """Those entries that meet a query's conditions on attributes, up to its limit.

    Args:
        entries: Those that answer it else, in its order; no more are looked at than are needed.
        query: What is asked.
    """
    if query.attributes:
        entries = (entry for entry in entries if meets(entry.contents, query.attributes))
    return list(islice(entries, None if query.limit is None else min(query.limit, sys.maxsize)))


def same_vector(one: MemoryEntry, other: MemoryEntry) -> bool:
    """Whether two entries have the same vector, bit by bit, of the same version."""
    vectors = [None if it.embedding is None else it.embedding.tobytes() for it in (one, other)]
    return vectors[0] == vectors[1] and one.encoder_version == other.encoder_version


def run_of(query: Query) -> str:
    """The run that a query names.

    Raises:
        InvalidEntry: It names none.
    """
    if query.run_id is None:
        raise InvalidEntry("query: run_id is missing; bind it with query.within(run_id)")
    return query.run_id


class MemoryRepository(ABC):
    """The entries of one tier. See the module for what every method promises."""

    tier: Tier
    moves: MoveNotes = NoMoveNotes()
    """The notes of moves out of this tier; see ``tiers.moving``."""

    # -- writing ------------------------------------------------------------------------------

    def add(self, entry: MemoryEntry) -> Added:
        """Store one entry; see ``add_many``."""
        return self.add_many([entry])[0]

    @abstractmethod
    def add_many(self, entries: Sequence[MemoryEntry]) -> list[Added]:
        """Store entries, acknowledged by the engine at its durability on return.

        Idempotent by key. Of two copies of a key the newer wins: the one with the higher
        ``(revision, retrieval_count)``; of equals the stored one stays.

        Returns:
            What became of each, in the order given.

        Raises:
            InvalidEntry: Contents that cannot be stored; nothing of this call was stored.
            StoreUnavailable: The engine did not acknowledge; any part may have been stored.
        """

    def take_over(
        self,
        entries: Sequence[MemoryEntry],
        read_at: float,  # noqa: ARG002  # a tier that keeps no tombstones refuses nothing
    ) -> list[Added]:
        """Store entries that were read from the tier above; else as ``add_many``.

        Args:
            entries: The entries.
            read_at: When reading them began, in seconds since 1970. One whose key was forgotten
                and released since is ``STALE`` in long-term memory, and is not stored.
        """
        return self.add_many(entries)

    @abstractmethod
    def replace(self, entry: MemoryEntry) -> MemoryEntry:
        """Store a changed entry in place of the one whose revision it carries.

        ``retrieval_count`` and ``last_access_time`` stay as they are stored: retrievals that
        were counted meanwhile are not undone.

        Returns:
            The entry as stored, with its revision one higher.

        Raises:
            EntryNotFound: Its key is not stored here.
            EntryConflict: The stored revision is another; read it again and redo the change.
        """

    @abstractmethod
    def touch(self, counts: Mapping[EntryKey, int], at: float) -> list[EntryKey]:
        """Count retrievals: adds to ``retrieval_count`` and moves ``last_access_time`` on.

        Args:
            counts: How many retrievals to add to each entry.
            at: The time of the last of them, in the unit of timestamps.

        Returns:
            The keys that are not stored here, for which nothing was done.
        """

    @abstractmethod
    def reembed(
        self, entries: Sequence[MemoryEntry], read: Sequence[MemoryEntry] | None = None
    ) -> list[bool]:
        """Store entries' vectors and encoder versions in place of those they had.

        Nothing else of them changes, the revision neither: the same contents are said by other
        numbers.

        Args:
            entries: As they were read, with another vector.
            read: The same as they were read: only the vector that one had is replaced, so that
                an entry that was stored anew meanwhile under its id, as after a clear, keeps its
                own. None: whatever vector there is.

        Returns:
            For each, whether it was stored: False when it is not here, or has another revision.
        """

    @abstractmethod
    def remove(self, key: EntryKey, *, revision: int | None = None) -> bool:
        """Remove an entry, if its stored revision is the given one (None: whatever it is).

        Returns:
            Whether it was there.

        Raises:
            EntryConflict: It is there with another revision, and stays.
        """

    @abstractmethod
    def remove_many(self, keys: Iterable[EntryKey]) -> int:
        """Remove entries, whatever their revision; returns how many were there."""

    def remove_answering(self, queries: Sequence[Query]) -> int:
        """Remove the entries that answer any of some queries, of one agent or of many.

        Each entry goes with its places in all indexes. Its contents are not read, so that one
        that is damaged goes too, unless a query asks about contents. What is pinned meanwhile
        stays, if it is asked for what is not.

        Returns:
            How many there were.
        """
        found = {
            entry.key: entry
            for query in queries
            for entry in self.find(query)
            if query.pinned is False
        }
        removed = sum(self.remove_copied([*found.values()]))
        others = {
            entry.key
            for query in queries
            if query.pinned is not False
            for entry in self.find(query)
        }
        return removed + self.remove_many(others)

    @abstractmethod
    def remove_copied(self, entries: Sequence[MemoryEntry]) -> list[Gone]:
        """Remove entries that have been copied elsewhere, unless they changed since.

        Returns:
            For each, what became of it: ``CHANGED`` when the stored revision or retrieval count
            is not the given one, in which case the mover copies again.
        """

    def move_within(
        self,
        destination: MemoryRepository,  # noqa: ARG002  # most engines share no transaction
        copies: Sequence[MemoryEntry],  # noqa: ARG002
    ) -> list[Gone] | None:
        """Move entries to another tier in one transaction, if this tier has one with it.

        Args:
            destination: The tier they go to.
            copies: What shall stand there, as for ``remove_copied``.

        Returns:
            For each, what became of it here; None where no transaction spans the two tiers, and
            nothing was done.
        """
        return None

    def declare_attributes(self) -> None:  # noqa: B027  # engines that index none have nothing to do
        """See that queries by the declared attributes are answered from an index.

        What is stored already is indexed by those that are new. Answers are the same before,
        meanwhile and after.
        """

    @abstractmethod
    def clear_agent(self, run_id: str, agent_id: str) -> int:
        """Remove all entries of an agent in a run; returns how many there were."""

    def clear_agents(self, run_id: str, agents: Iterable[str]) -> int:
        """Remove all entries of some agents of a run; returns how many there were."""
        return sum(self.clear_agent(run_id, agent_id) for agent_id in agents)

    def clear_run(self, run_id: str) -> int:
        """Remove all entries of a run; returns how many there were."""
        return sum(self.clear_agent(run_id, agent_id) for agent_id in self.agents(run_id))

    # -- reading ------------------------------------------------------------------------------

    def get(self, key: EntryKey) -> MemoryEntry:
        """Return one entry.

        Raises:
            EntryNotFound: Its key is not stored here.
        """
        found = self.get_many([key])
        if not found:
            raise EntryNotFound(
                f"no entry {key.memory_id} of agent {key.agent_id!r} in run {key.run_id!r} "
                f"in {self.tier.name}"
            )
        return found[0]

    @abstractmethod
    def get_many(self, keys: Sequence[EntryKey]) -> list[MemoryEntry]:
        """Return those of the entries that are stored here, in the order of the keys."""

    @abstractmethod
    def find(self, query: Query) -> list[MemoryEntry]:
        """Return the entries that answer a query, in its order. The query names its run."""

    def find_each(self, queries: Sequence[Query]) -> list[list[MemoryEntry]]:
        """Return what answers each of some queries: ``find`` for many agents at once."""
        return [self.find(query) for query in queries]

    def get_readable(self, keys: Sequence[EntryKey]) -> list[MemoryEntry]:
        """Return those of the entries that are stored here and can be read.

        For upkeep, which goes past an entry that is damaged and leaves it where it is; each is told
        in the log by its name.
        """
        try:
            return self.get_many(keys)
        except EncodingError as error:
            if len(keys) == 1:
                tell_unreadable(error)
                return []
        return [entry for key in keys for entry in self.get_readable([key])]

    def find_readable(self, queries: Sequence[Query]) -> list[list[MemoryEntry]]:
        """Return what answers each of some queries and can be read; see ``get_readable``.

        One that cannot be read counts towards the limit of a query.
        """
        return self.find_each(queries)

    def vectors(self, query: Query) -> list[Vectors]:
        """The vectors of the entries that answer a query, whatever its order and limit.

        Returns:
            A group for each encoder version and width; entries without a vector have width 0.
        """
        return grouped_vectors(
            (entry.memory_id, entry.encoder_version, entry.embedding)
            for entry in self.find(replace(query, limit=None))
        )

    def nearest(self, query: Query, probe: Probe) -> list[Neighbour]:
        """The entries that answer a query and whose vectors are nearest to a probe; exact.

        Cosines of different versions or widths do not compare with each other. So the query's
        limit bounds how many there are of each version and width; all those are given too whose
        vectors do not compare with the probe. The query's order is not looked at.

        Returns:
            Those of one version and width together, the nearest first; equals by memory id.
        """
        if query.limit == 0:
            return []
        found = nearest_ids(self.vectors(query), probe, query.limit)
        keys = [EntryKey(run_of(query), query.agent_id, memory_id) for memory_id in found]
        return [Neighbour(entry, found[entry.memory_id]) for entry in self.get_many(keys)]

    def outdated(self, run_id: str, agent_id: str, version: int) -> list[EntryKey]:
        """The keys of an agent's entries whose vector another encoder made, or that have none."""
        query = Query(run_id=run_id, agent_id=agent_id, order=Order.STEP)
        return [entry.key for entry in self.find(query) if entry.encoder_version != version]

    @abstractmethod
    def count(self, run_id: str, agent_id: str | None = None) -> int:
        """How many entries an agent has in a run; None for all agents together."""

    @abstractmethod
    def agents(self, run_id: str) -> list[str]:
        """The agents that have entries in a run, sorted."""

    @abstractmethod
    def runs(self) -> list[str]:
        """The runs that have entries, sorted."""

    def agent_counts(
        self, run_id: str, agents: Iterable[str] | None = None, horizon: float | None = None
    ) -> dict[str, AgentCounts]:
        """What each of some agents of a run has here; those that have nothing are left out.

        Args:
            run_id: The run.
            agents: The agents; None for all.
            horizon: A time: agents with later entries than that are noted, and the note is given
                with the numbers; see ``Ahead``. None: nothing is noted, nor given. A tier that
                entries do not leave for their age notes nothing.
        """
        del horizon  # there is no note here
        names = self.agents(run_id) if agents is None else dict.fromkeys(agents)
        found = {name: self.find(Query(run_id=run_id, agent_id=name)) for name in names}
        return {name: AgentCounts.of(entries) for name, entries in found.items() if entries}

    def keys_of(self, run_id: str, agents: Iterable[str]) -> list[EntryKey]:
        """The keys of all entries of some agents in a run, agent by agent."""
        return [key for agent_id in dict.fromkeys(agents) for key in self.keys(run_id, agent_id)]

    def keys(self, run_id: str, agent_id: str) -> list[EntryKey]:
        """The keys of all entries of an agent in a run, by step."""
        query = Query(run_id=run_id, agent_id=agent_id, order=Order.STEP)
        return [entry.key for entry in self.find(query)]

    def importances(self, run_id: str, agent_id: str) -> list[tuple[EntryKey, float]]:
        """How important each entry of an agent is that is not pinned, newest first."""
        query = Query(run_id=run_id, agent_id=agent_id, pinned=False, order=Order.NEWEST)
        return [(entry.key, entry.importance_score) for entry in self.find(query)]

    def versions(self) -> dict[int, int]:
        """How many entries of every run name each version of the encoder. Looks at all of them."""
        agents = ((run_id, agent_id) for run_id in self.runs() for agent_id in self.agents(run_id))
        counts = Counter(
            entry.encoder_version
            for run_id, agent_id in agents
            for entry in self.find(Query(run_id=run_id, agent_id=agent_id))
        )
        return {version: count for version, count in counts.items() if version is not None}

    def code_versions(self) -> dict[int, int]:
        """How many entries have contents coded by the code of each version. Looks at all."""
        agents = ((run_id, agent_id) for run_id in self.runs() for agent_id in self.agents(run_id))
        return Counter(
            entry.contents.version
            for run_id, agent_id in agents
            for entry in self.find(Query(run_id=run_id, agent_id=agent_id))
            if isinstance(entry.contents, CodedContents)
        )

    @abstractmethod
    def stored_bytes(self) -> int:
        """How many bytes the engine uses for all entries here, of every run, indexes included.

        An estimate from a sample where the engine keeps no sum.
        """

    # -- reading, by name ---------------------------------------------------------------------

    def by_step(self, run_id: str, agent_id: str, step: int) -> list[MemoryEntry]:
        """The entries of one step, by memory id."""
        return self.by_step_range(run_id, agent_id, step, step)

    def by_step_range(
        self, run_id: str, agent_id: str, first: int, last: int, limit: int | None = None
    ) -> list[MemoryEntry]:
        """The entries of the steps ``first`` to ``last``, both included, by step."""
        return self.find(
            Query(run_id=run_id, agent_id=agent_id, steps=(first, last), order=Order.STEP,
                  limit=limit)
        )  # fmt: skip

    def by_time_range(
        self, run_id: str, agent_id: str, first: float, last: float, limit: int | None = None
    ) -> list[MemoryEntry]:
        """The entries with a timestamp of ``first`` to ``last``, both included, oldest first."""
        return self.find(Query(run_id=run_id, agent_id=agent_id, times=(first, last), limit=limit))

    def recent(self, run_id: str, agent_id: str, count: int = 10) -> list[MemoryEntry]:
        """The entries with the latest timestamps, newest first."""
        return self.find(Query(run_id=run_id, agent_id=agent_id, order=Order.NEWEST, limit=count))

    def oldest(self, run_id: str, agent_id: str, count: int = 10) -> list[MemoryEntry]:
        """The entries with the earliest timestamps, oldest first."""
        return self.find(Query(run_id=run_id, agent_id=agent_id, limit=count))

    def by_type(
        self, run_id: str, agent_id: str, memory_type: MemoryType, limit: int | None = None
    ) -> list[MemoryEntry]:
        """The entries of one type, newest first."""
        return self.find(
            Query(run_id=run_id, agent_id=agent_id, memory_type=memory_type, order=Order.NEWEST,
                  limit=limit)
        )  # fmt: skip

    def by_importance(
        self, run_id: str, agent_id: str, least: float = 0.0, limit: int | None = None
    ) -> list[MemoryEntry]:
        """The entries at least that important, the most important first."""
        return self.find(
            Query(run_id=run_id, agent_id=agent_id, importance=(least, 1.0),
                  order=Order.IMPORTANCE, limit=limit)
        )  # fmt: skip


def clearing_marks(run_id: str, agents: Iterable[str] | None = None) -> list[EntryKey]:
    """Keys of no entry, which are forgotten and released to note when something was cleared.

    So whoever brings entries from elsewhere later can tell by ``LongTermMemory.forgotten`` that
    they are older than that.

    Args:
        run_id: The run.
        agents: Its agents that are cleared; None: the run as a whole.
    """
    names = [""] if agents is None else agents
    return [EntryKey(run_id, name, _mark(run_id, name)) for name in names]


def _mark(run_id: str, agent_id: str) -> str:
    """The id of a mark: a UUIDv8 that nothing else makes."""
    name = f"cleared\0{len(run_id)}:{run_id}\0{agent_id}"
    digits = hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
    return f"{digits[:12]}8{digits[13:16]}8{digits[17:]}"


class LongTermMemory(MemoryRepository):
    """The last tier: a repository that also remembers what was forgotten."""

    @abstractmethod
    def forget(self, keys: Iterable[EntryKey], at: float, released_at: float | None = None) -> int:
        """Remove entries for good: in one transaction, mark their keys and delete their rows.

        A marked key (a tombstone) is refused by every later ``add``, so that no late write and
        no move in flight brings the entry back. Forgetting a key that was never here marks it.

        Args:
            keys: What to forget.
            at: When, in seconds since 1970.
            released_at: From when on the keys may be stored anew, as by ``release``, which may
                lie ahead: whoever dies before releasing them has not closed them for ever. None:
                not before they are released.

        Returns:
            How many rows were deleted.
        """

    def recode(self, entries: Sequence[MemoryEntry]) -> list[bool]:
        """Code the contents of entries again, as those that come are coded now.

        So what has been exact may be within the bounds of a code that was fitted since. Contents
        that lie on lattices which that code has not stay as they are.

        Args:
            entries: As they were read.

        Returns:
            For each, whether it was stored: False when it is not here, or has changed.
        """
        return [False] * len(entries)

    @abstractmethod
    def take_over(self, entries: Sequence[MemoryEntry], read_at: float) -> list[Added]:
        """Store entries that were read from the tier above, unless they were forgotten since."""

    @abstractmethod
    def release(self, keys: Iterable[EntryKey], at: float) -> None:
        """Let forgotten keys be stored anew, but for copies that were read before.

        For what is cleared and may come again, as when a reproducible run is run again.

        Args:
            keys: Keys that were forgotten, and whose entries have been removed in every tier.
            at: The time, in seconds since 1970.
        """

    @abstractmethod
    def forgotten(self, keys: Iterable[EntryKey]) -> dict[EntryKey, float | None]:
        """Those of the keys that were forgotten, and when they were released.

        Returns:
            For each, the time of its release in seconds since 1970; None: it is not released.
        """

    def forks(self, run_id: str) -> list[str]:  # noqa: ARG002  # engines that keep no family
        """The runs that were forked from a run, sorted."""
        return []
