"""The contract of a tier's store: what every repository promises, whatever its engine.

A repository holds the entries of one tier, of any number of runs and agents.

* **Identity.** An ``EntryKey``, ``(run_id, agent_id, memory_id)``, names an entry, in every tier.
  Adding the same key twice is one entry; two agents may share a memory id, and have an entry each.
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

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence

from agent_memory.errors import EntryNotFound
from agent_memory.repositories.encodings import Encodings
from agent_memory.repositories.following import Changes, Stored
from agent_memory.repositories.forgettings import Forgetting, RollBack
from agent_memory.repositories.former import FormerNames
from agent_memory.repositories.moves import MoveNotes, NoMoveNotes
from agent_memory.repositories.nearest import Neighbour, Probe, nearest_ids
from agent_memory.repositories.outcomes import Added, Arrival, Gone, arrival_time, at_time
from agent_memory.repositories.querying import after_step, agent_of, run_of
from agent_memory.repositories.reading import WideAnswers
from agent_memory.repositories.upkeep import TierUpkeep
from agent_memory.repositories.writing import OtherWrites
from agent_memory.values.entry import EntryKey, MemoryEntry, Tier
from agent_memory.values.query import Order, Query


class MemoryRepository(OtherWrites, WideAnswers, FormerNames, ABC):
    """The entries of one tier. See the module for what every method promises."""

    tier: Tier
    encodings: Encodings
    """The entries' vectors and codes, and the versions that made them."""
    upkeep: TierUpkeep
    """What upkeep reads of this tier."""
    moves: MoveNotes = NoMoveNotes()
    """The notes of moves out of this tier; see ``tiers.moving``."""

    # -- writing ------------------------------------------------------------------------------

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

    def arrive(self, entries: Sequence[MemoryEntry], after: Sequence[float]) -> list[Arrival]:
        """Store entries, each as the latest of its agent, for runs whose timestamps are steps.

        Steps may start again, or come late; time goes on all the same. An entry whose
        timestamp is later than that of the latest one is stored as it is. Else it gets the latest
        timestamp if both are of one step, and one more if not.

        Args:
            entries: The entries, stored one after the other; the timestamp of each is its step.
            after: For each, the latest timestamp of its agent's entries elsewhere.

        Returns:
            For each, ``PRESENT`` with the stored timestamp, and nothing is changed, where its key
            is stored.

        Raises:
            InvalidEntry, StoreUnavailable: As ``add_many``.
        """
        return [self._arrive(entry, last) for entry, last in zip(entries, after, strict=True)]

    def _arrive(self, entry: MemoryEntry, after: float) -> Arrival:
        for stored in self.get_many([entry.key]):
            return Arrival(Added.PRESENT, stored.timestamp)
        query = Query(run_id=entry.run_id, agent_id=entry.agent_id, order=Order.NEWEST, limit=1)
        latest = [(one.timestamp, one.step_number) for one in self.find(query)]
        at = arrival_time(entry, after, latest[0] if latest else None)
        return Arrival(self.add(at_time(entry, at)), at)

    def take_over(
        self,
        entries: Sequence[MemoryEntry],
        moment: float,  # noqa: ARG002  # a tier that keeps no tombstones refuses nothing
    ) -> list[Added]:
        """Store entries that were read from the tier above; else as ``add_many``.

        Args:
            entries: The entries.
            moment: What ``LongTermMemory.moment`` gave before they were read. One whose key was
                forgotten and released since is ``STALE`` there, and is not stored.
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
    def touch(
        self, counts: Mapping[EntryKey, int], at: float, token: str | None = None
    ) -> list[EntryKey]:
        """Count retrievals: adds to ``retrieval_count`` and moves ``last_access_time`` on.

        Args:
            counts: How many retrievals to add to each entry.
            at: The time of the last of them, in the unit of timestamps.
            token: The name of this count, from ``moves.token_at`` of now. A caller whose answer was
                lost makes the same call again: it counts once, and the answer is that of the
                first, wherever the entries are by then. None: the call is not made again.

        Returns:
            The keys that are not stored here, for which nothing was done.
        """

    @abstractmethod
    def touched(self, token: str) -> None:
        """Note that the count of a name was answered in every tier, and is not made again."""

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
            copies: The entries as they are to be stored there, as for ``remove_copied``.

        Returns:
            For each, what became of it here; None where no transaction spans the two tiers, and
            nothing was done.
        """
        return None

    @abstractmethod
    def clear_agents(self, run_id: str, agents: Iterable[str]) -> int:
        """Remove all entries of some agents of a run; returns how many there were."""

    def clear_run(self, run_id: str) -> int:
        """Remove all entries of a run; returns how many there were."""
        return self.clear_agents(run_id, self.agents(run_id))

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
        """Return the entries that answer a query, in its order. The query names its runs.

        What many agents are asked takes as many requests as what one is asked, about.

        Examples:
            >>> query = Query(run_id="default", agent_id="ant-1", steps=(2, 3))
            >>> [entry.contents["food"] for entry in memory.stm.find(query)]
            [1.0, 1.5]
        """

    def find_each(self, queries: Sequence[Query]) -> list[list[MemoryEntry]]:
        """Return what answers each of some queries: ``find`` for many agents at once."""
        return [self.find(query) for query in queries]

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
        found = nearest_ids(self.encodings.vectors(query), probe, query.limit)
        whose = run_of(query), agent_of(query)
        keys = [EntryKey(*whose, memory_id) for memory_id in found]
        return [Neighbour(entry, found[entry.memory_id]) for entry in self.get_many(keys)]

    def changes(
        self, run_id: str, agent_id: str, seen: object = None, known: Collection[str] = ()
    ) -> Changes:
        """What has changed of an agent's entries since somebody asked last.

        An entry whose contents cannot be read is among them, without contents.

        Args:
            run_id: The run.
            agent_id: The agent.
            seen: What the last answer said was seen; None: nothing was.
            known: The ids of the entries that are known from the answers before.
        """
        del seen, known  # there is no record of changes here
        entries = self.find(Query(run_id=run_id, agent_id=agent_id))
        return Changes(None, True, [*map(Stored.of, entries)], [])

    def visible(self, query: Query) -> list[Query]:
        """The questions whose answers together answer a query; here it is the query itself."""
        return [query]

    @abstractmethod
    def count(self, run_id: str, agent_id: str | None = None) -> int:
        """How many entries an agent has in a run; None for all agents together.

        Examples:
            >>> memory.stm.count("default") >= 9
            True
        """

    @abstractmethod
    def agents(self, run_id: str) -> list[str]:
        """The agents that have entries in a run, sorted."""

    @abstractmethod
    def runs(self) -> list[str]:
        """The runs that have entries, sorted."""

    def keys(self, run_id: str, *agents: str, after: int = -1) -> list[EntryKey]:
        """The keys of the entries of some agents in a run, agent by agent, each by step.

        Args:
            run_id: The run.
            agents: The agents.
            after: Only entries of later steps than this one.
        """
        found = self.find_each(after_step(run_id, after, agents))
        return [entry.key for entries in found for entry in entries]


class LongTermMemory(MemoryRepository):
    """The last tier: a repository that also remembers what was forgotten.

    In ``forget``, ``release`` and ``forgotten`` a key without agent stands for that of every agent.
    """

    @abstractmethod
    def forget(self, keys: Iterable[EntryKey], at: float, released_at: float | None = None) -> int:
        """Remove entries for good: in one transaction, mark their keys and delete their rows.

        A marked key (a tombstone) is refused by every later ``add``, so that no late write and
        no move in flight brings the entry back. Forgetting a key that was never here marks it.

        Args:
            keys: What to forget.
            at: When, in seconds since 1970.
            released_at: From when on the keys may be stored again, as by ``release``. It may lie
                ahead, so that a process that dies does not close them for ever: the store
                measures the seconds from ``at`` by its own clock. None: not before ``release``.

        Returns:
            How many rows were deleted.
        """

    @abstractmethod
    def take_over(self, entries: Sequence[MemoryEntry], moment: float) -> list[Added]:
        """Store entries that were read from the tier above, unless they were forgotten since."""

    @abstractmethod
    def release(self, keys: Iterable[EntryKey], at: float) -> int:
        """Let forgotten keys be stored again, except by copies that were read before.

        Args:
            keys: Keys that were forgotten, and whose entries have been removed in every tier.
            at: The time, in seconds since 1970.

        Returns:
            How many rows were deleted: those that came in after the time of ``forget`` ran out.
        """

    def forgotten(self, keys: Iterable[EntryKey]) -> dict[EntryKey, float | None]:
        """Those of the keys that were forgotten, and when they were released; None: not yet."""
        return {key: found.released_at for key, found in self.forgettings(keys).items()}

    @abstractmethod
    def forgettings(self, keys: Iterable[EntryKey]) -> dict[EntryKey, Forgetting]:
        """Those of the keys that were forgotten, with the moments of their forgetting."""

    @abstractmethod
    def moment(self) -> float:
        """The last moment of forgetting; what is stored elsewhere from now on comes after it."""

    @abstractmethod
    def roll_back(self, run_id: str, step: int, at: float) -> None:
        """Note, at a time in seconds since 1970, that a run's steps after one are forgotten.

        Nothing is removed: it is for whoever brings such entries later.
        """

    @abstractmethod
    def roll_backs(self, runs: Iterable[str]) -> dict[str, list[RollBack]]:
        """The roll-backs of some runs; those that were never rolled back are left out."""

    def forks(
        self,
        run_id: str,  # noqa: ARG002  # engines that keep no family
        after: int = -1,  # noqa: ARG002
    ) -> list[str]:
        """The runs that were forked from a run after a step, sorted."""
        return []
