"""Stores many entries at once: what all agents of a step see, do or meet, or entries as they are.

A slice of at most ``AT_ONCE`` entries is checked, encoded to vectors and sent together; what cannot
be stored is refused before any of its slice is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from agent_memory.errors import EntryConflict, InvalidEntry, MemoryStoreError, StoreUnavailable
from agent_memory.retrieval.recall import fetch
from agent_memory.system.new_entries import MadeEntries, Prepared
from agent_memory.system.run_memory import RunMemory
from agent_memory.tiers.replaying import is_outage
from agent_memory.values.advice import way_out
from agent_memory.values.checks import checked_member, checked_step
from agent_memory.values.entry import EntryKey, MemoryEntry, MemoryType
from agent_memory.values.identity import checked_agent_id
from agent_memory.values.quoting import quoted
from agent_memory.values.sameness import has_contents_of
from agent_memory.values.stored import Stored
from agent_memory.values.vector import VectorLike

AT_ONCE = 1_000
"""How many entries are held in memory, and sent, at once."""

Name = str | int
"""By what a caller knows an entry: its agent, or its place in what was given."""

_T = TypeVar("_T")
_Name = TypeVar("_Name", str, int)


@dataclass
class _Outcome:
    """What becomes of the entries of a call.

    Attributes:
        raises: Whether an outage is raised as long as nothing is stored.
        is_repeated: Whether what is refused is given back, so that whoever stores it again makes
            the same ids.
    """

    raises: bool = False
    is_repeated: bool = True
    accepted: list[EntryKey] = field(default_factory=list)
    refused: dict[Name, MemoryStoreError] = field(default_factory=dict)

    def as_stored(self) -> Stored:
        return Stored(tuple(self.accepted), self.refused)


class BulkStoring:
    """Stores many entries of one run at once.

    Args:
        run: The run.
        is_due: Counts an agent's entry, and says whether the agent's upkeep is due.
    """

    def __init__(self, run: RunMemory, is_due: Callable[[str], bool]) -> None:
        self._run = run
        self._resources = run.resources
        self._is_due = is_due

    def store_step(
        self,
        step_number: int,
        data: Mapping[Any, object],
        memory_type: MemoryType | str,
        priority: float | Mapping[Any, float],
        vector: Mapping[Any, VectorLike] | None = None,
    ) -> Stored:
        """Store what agents see, do or meet in a step; see ``AgentDirectory.store_step``."""
        self._resources.check_writable("nothing was stored")
        self._resources.batches.store_gathered()
        step = checked_step(step_number)
        kind = checked_member("memory_type", MemoryType, memory_type)
        given = _by_agent("data", data)
        priorities = _priorities(given, priority)
        vectors = _vectors(given, vector)
        outcome = self._begin()

        def made(agents: Sequence[str]) -> MadeEntries:
            entries = self._resources.new_entries.of_step(
                self._run.run_id,
                step,
                kind,
                {agent: (given[agent], priorities[agent]) for agent in agents},
                vectors,
            )
            outcome.refused.update(entries.refused)
            return entries

        slices = map(made, _slices(given))
        are_new = self._makes_new_ids
        for entries in slices if self._resources.config.embedder is None else self._all(slices):
            self._store(entries.by_agent, outcome, are_new=are_new, packed=entries.packed)
        return outcome.as_stored()

    @property
    def _makes_new_ids(self) -> bool:
        """Whether ids that are made here are random, so that no store can hold them."""
        return not self._resources.new_entries.by_steps

    def _all(self, slices: Iterable[MadeEntries]) -> list[MadeEntries]:
        """All slices, before any is sent: an embedder may fail in the last one."""
        made: list[MadeEntries] = []
        try:
            for entries in slices:
                made.append(entries)  # noqa: PERF402 - what is made is kept where the next one fails
        except BaseException:
            for entries in made:
                self._not_stored(entries.by_agent.values(), _Outcome())
            raise
        return made

    def store_many(
        self,
        entries: Iterable[MemoryEntry | Mapping[str, object]],
        vector: Iterable[VectorLike | None] | None = None,
    ) -> Stored:
        """Store entries as they are; see ``AgentDirectory.store_many``."""
        self._resources.check_writable("nothing was stored")
        self._resources.batches.store_gathered()
        outcome = self._begin()
        for slice_ in _slices(enumerate(_paired(entries, vector))):
            made: dict[int, MemoryEntry] = {}
            named = []
            for place, (given, own) in slice_:
                try:
                    made[place] = self._entry_of(given, own)
                except InvalidEntry as error:
                    outcome.refused[place] = error
                else:
                    # Under an id that is made here there is nothing else.
                    if isinstance(given, MemoryEntry) or "memory_id" in given:
                        named.append(place)
            self._settle_conflicts(made, named, outcome)
            self._store(made, outcome, are_new=self._makes_new_ids and not named)
        return outcome.as_stored()

    def store_prepared(self, prepared: Sequence[Prepared]) -> tuple[Stored, list[MemoryEntry]]:
        """Store what a batch has gathered, in one request; ``count`` tells upkeep of it.

        Returns:
            What became of it, refused by place, and the entries that are stored.
        """
        outcome = _Outcome(is_repeated=False)
        entries = self._resources.new_entries.finished(self._run.run_id, prepared)
        stored = self._send(dict(enumerate(entries)), outcome)
        return outcome.as_stored(), stored

    def count(self, entries: Sequence[MemoryEntry]) -> None:
        """Tell upkeep of entries that are stored, and do what is due of it."""
        self._run.stored(*entries)
        due = {entry.agent_id for entry in entries if self._is_due(entry.agent_id)}
        if due:
            # The entries are stored by now: a lower tier that is away must not deny it.
            self._resources.upkeep.attempt_while_storing(lambda: self._run.consolidate(*due))

    def _begin(self) -> _Outcome:
        return _Outcome(raises=self._resources.config.on_store_error == "raise")

    def _entry_of(
        self, given: MemoryEntry | Mapping[str, object], vector: VectorLike | None
    ) -> MemoryEntry:
        run_id = self._run.run_id
        entry = given
        if not isinstance(entry, MemoryEntry):
            entry = self._resources.new_entries.of_dict(run_id, "", given)
        if entry.run_id != run_id:
            raise InvalidEntry(
                f"run_id: {quoted(entry.run_id)} is not this run, {quoted(run_id)}: "
                "store it by run(run_id).store_many"
            )
        if vector is not None:
            numbers, version = self._resources.new_entries.spaces.given(vector)
            entry = replace(entry, embedding=numbers, encoder_version=version)
        return self._resources.new_entries.read_once(entry)

    def _settle_conflicts(
        self, made: dict[int, MemoryEntry], named: Sequence[int], outcome: _Outcome
    ) -> None:
        """Take out entries under whose given ids others are stored; or those, if replaced.

        While a tier is away nobody can look there, and entries are stored all the same.
        """
        tiers = self._resources.tiers
        with suppress(StoreUnavailable):
            hits = fetch(tiers, list(dict.fromkeys(made[place].key for place in named)))
            there = {hit.entry.key: (hit.entry, f"is stored in {hit.tier.name}") for hit in hits}
            replaced: set[EntryKey] = set()
            for place in named:
                entry = made[place]
                other, where = there.setdefault(entry.key, (entry, "was given before it"))
                if other is entry or not _is_another(other, entry):
                    continue
                if self._run.replaces:
                    replaced.add(entry.key)
                    there[entry.key] = entry, where
                    continue
                self._not_stored([made.pop(place)], outcome)
                outcome.refused[place] = EntryConflict(
                    f"another entry {entry.memory_id} of agent {quoted(entry.agent_id)} {where}, "
                    "and stays: leave memory_id out to store this one beside it, or begin the run "
                    'with exists="replace"'
                )
            for tier in tiers if replaced else ():
                tier.remove_many(replaced)
            self._keep_last(made, replaced)

    @staticmethod
    def _keep_last(made: dict[int, MemoryEntry], replaced: set[EntryKey]) -> None:
        last = {entry.key: place for place, entry in made.items()}
        for place, entry in list(made.items()):
            if entry.key in replaced and last[entry.key] != place:
                del made[place]

    def _store(
        self,
        entries: Mapping[_Name, MemoryEntry],
        outcome: _Outcome,
        *,
        are_new: bool,
        packed: Sequence[bytes] | None = None,
    ) -> None:
        """Store a slice, and tell upkeep of it."""
        self.count(self._send(entries, outcome, are_new=are_new, packed=packed))

    def _send(
        self,
        entries: Mapping[_Name, MemoryEntry],
        outcome: _Outcome,
        *,
        are_new: bool = False,
        packed: Sequence[bytes] | None = None,
    ) -> list[MemoryEntry]:
        """Store a slice; one that is refused for itself does not keep the others out.

        Args:
            entries: The slice.
            outcome: What becomes of it.
            are_new: Whether nobody can have stored any of them; where it is sent again, somebody
                may have.
            packed: What ``contents.pack`` made of the contents of each; None: it is done later.

        Returns:
            The entries that are stored.
        """
        sent = list(entries.values())
        if not sent:
            return sent
        try:
            store = partial(self._resources.intake.store_many, are_new=are_new, packed=packed)
            self._resources.outages.watched(store, sent)
        except MemoryStoreError as error:
            if not is_outage(error) and len(sent) > 1:
                parts = self._parts(entries, outcome)
                return [entry for part in parts for entry in self._send(part, outcome)]
            self._not_stored(sent, outcome)
            if outcome.raises and is_outage(error) and not outcome.accepted:
                # Not where it would hide what is stored already.
                raise
            outcome.refused.update(dict.fromkeys(entries, error))
            return []
        except BaseException:
            self._not_stored(sent, outcome)
            raise
        outcome.accepted += [entry.key for entry in sent]
        return sent

    def _parts(
        self, entries: Mapping[_Name, MemoryEntry], outcome: _Outcome
    ) -> Iterator[Mapping[_Name, MemoryEntry]]:
        """Those of a refused slice that may be stored, together or one by one."""
        sound = dict(entries)
        for name, entry in entries.items():
            try:
                self._resources.new_entries.plain(entry)
            except InvalidEntry as error:
                outcome.refused[name] = error
                self._not_stored([sound.pop(name)], outcome)
        if len(sound) < len(entries):
            yield sound
        else:
            yield from ({name: entry} for name, entry in sound.items())

    def _not_stored(self, entries: Iterable[MemoryEntry], outcome: _Outcome) -> None:
        if outcome.is_repeated:
            for entry in entries:
                self._resources.new_entries.not_stored(entry)


def _is_another(stored: MemoryEntry, given: MemoryEntry) -> bool:
    """Whether an entry is no copy of the one that is stored under its id, and no later one."""
    if given.revision > stored.revision:
        return False
    try:
        return not has_contents_of(stored, given)
    except InvalidEntry:
        return False  # which storing it will say


def _by_agent(name: str, given: object) -> dict[str, object]:
    """What was given, by checked agent id.

    Raises:
        InvalidEntry: It is no mapping, or two keys mean one agent.
    """
    if not isinstance(given, Mapping):
        raise InvalidEntry(
            f"{name}: a dict by agent id is needed, not {quoted(given)}"
            f"{way_out(given, by_agent=True)}"
        )
    found = {checked_agent_id(agent): value for agent, value in given.items()}
    if len(found) < len(given):
        raise InvalidEntry(f"{name}: two of the keys mean one agent, such as 1 and '1'")
    return found


def _priorities(data: Mapping[str, object], priority: object) -> Mapping[str, object]:
    if not isinstance(priority, Mapping):
        return dict.fromkeys(data, priority)
    found = _by_agent("priority", priority)
    for agent in data.keys() - found.keys():
        raise InvalidEntry(f"priority: there is none for the agent {quoted(agent)}")
    return found


def _vectors(data: Mapping[str, object], vector: object) -> Mapping[str, object]:
    if vector is None:
        return {}
    found = _by_agent("vector", vector)
    for agent in found.keys() - data.keys():
        raise InvalidEntry(f"vector: there is no data of the agent {quoted(agent)}")
    return found


def _paired(
    entries: Iterable[MemoryEntry | Mapping[str, object]],
    vector: Iterable[VectorLike | None] | None,
) -> Iterable[tuple[MemoryEntry | Mapping[str, object], VectorLike | None]]:
    if vector is None:
        return ((entry, None) for entry in entries)
    if isinstance(vector, (str, Mapping)):
        raise InvalidEntry(f"vector: one for each entry is needed, not {quoted(vector)}")
    given, vectors = [*entries], [*vector]
    if len(given) != len(vectors):
        raise InvalidEntry(f"vector: {len(vectors)} for {len(given)} entries")
    return zip(given, vectors, strict=True)


def _slices(given: Iterable[_T]) -> Iterator[list[_T]]:
    rest = iter(given)
    while slice_ := list(islice(rest, AT_ONCE)):
        yield slice_
