"""Makes entries of what callers give: an id, a time and a vector are added here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.own_spaces import OwnSpaces, OwnVector
from agent_memory.embeddings.registry import EncoderRegistry
from agent_memory.errors import InvalidEntry
from agent_memory.system.new_vectors import MadeVectors, NewVectors, entry_of
from agent_memory.values.checks import checked_importance, checked_step
from agent_memory.values.coded import CodedContents
from agent_memory.values.contents import (
    pack,
    packed_apart,
    plain_and_packed,
    plain_contents,
    unpack,
)
from agent_memory.values.entry import MemoryEntry, MemoryType
from agent_memory.values.identity import MemoryIds, Ordinals, reproducible_id
from agent_memory.values.packer import Packer

# What a new entry has in the fields behind its encoder version.
_AS_NEW = tuple(one.default for one in fields(MemoryEntry)[14:])


class Prepared(NamedTuple):
    """What an agent sees, does or meets, checked, before it is an entry with a vector."""

    memory_id: str
    agent_id: str
    step_number: int
    timestamp: float
    memory_type: MemoryType
    contents: Mapping[str, Any]
    importance_score: float
    own: OwnVector | None = None
    """The vector that was given with it."""


class MadeEntries(NamedTuple):
    """Entries of a step.

    Attributes:
        by_agent: The entries.
        packed: What ``contents.pack`` made of the contents of each, in the same order.
        refused: Why there is none for the other agents.
    """

    by_agent: dict[str, MemoryEntry]
    packed: list[bytes]
    refused: dict[str, InvalidEntry]


@dataclass
class NewEntries:
    """Makes the entries that a process stores. Threads may share it.

    Attributes:
        encoders: Make the vectors, with the version in use.
        spaces: Take vectors that are given, and make those of the user's own model.
        by_steps: Whether times are steps and ids are reproducible.
        max_bytes: How large contents may be.
        clock: Gives the time in seconds since 1970.
        ids: Makes memory ids.
        ordinals: Counts entries for reproducible ids.
    """

    encoders: EncoderRegistry
    spaces: OwnSpaces
    by_steps: bool
    max_bytes: int
    clock: Callable[[], float]
    ids: MemoryIds = field(init=False)
    _vectors: NewVectors = field(init=False)
    ordinals: Ordinals = field(init=False, default_factory=Ordinals)

    def __post_init__(self) -> None:
        """Take ids from the same clock."""
        self.ids = MemoryIds(self.clock)
        self._vectors = NewVectors(self.encoders, self.spaces)

    def of_data(
        self,
        run_id: str,
        agent_id: str,
        memory_type: MemoryType,
        data: object,
        step_number: object,
        priority: object,
        vector: object = None,
    ) -> MemoryEntry:
        """Make the entry of what an agent sees, does or meets.

        Args:
            run_id: The run.
            agent_id: The agent.
            memory_type: What kind of memory it is.
            data: A dict, dataclass or pydantic model.
            step_number: The simulation step, 0 or more.
            priority: How important it is, 0 to 1.
            vector: A vector of the user's own; None: the embedder makes one, or the encoder.

        Raises:
            InvalidEntry: The data cannot be stored, or step, priority or vector has no meaning.
            EmbedderError: The embedder fails.
        """
        step, importance = checked_step(step_number), checked_importance(priority)
        contents = self._contents(data)
        made = self._vectors.one(contents, vector, agent_id, step)
        memory_id = self._id_of(run_id, agent_id, step, memory_type, contents)
        now = self._time_of(step)
        prepared = Prepared(memory_id, agent_id, step, now, memory_type, contents, importance)
        return _entry(run_id, prepared, made)

    def of_step(
        self,
        run_id: str,
        step: int,
        memory_type: MemoryType,
        given: Mapping[str, tuple[object, object]],
        vectors: Mapping[str, object],
    ) -> MadeEntries:
        """Make the entries of what agents see, do or meet in one step; vectors in one call.

        Args:
            run_id: The run.
            step: The step.
            memory_type: What kind of memories they are.
            given: By agent, the data and how important it is.
            vectors: By agent, vectors of the user's own; the embedder makes others, or the encoder.

        Raises:
            EmbedderError: The embedder fails.
        """
        contents: dict[str, Mapping[str, Any]] = {}
        packed: list[bytes] = []
        priorities: dict[str, float] = {}
        refused: dict[str, InvalidEntry] = {}
        owns: dict[str, OwnVector] = {}
        packer = Packer()
        for agent_id, (data, priority) in given.items():
            try:
                held, message = plain_and_packed(data, packer, self.max_bytes)
                priorities[agent_id] = checked_importance(priority)
                if vectors.get(agent_id) is not None:
                    owns[agent_id] = self.spaces.given(vectors[agent_id])
            except InvalidEntry as error:
                refused[agent_id] = error
            else:
                contents[agent_id] = held
                packed.append(message)
        agents = [*contents]
        made = self._vectors.many(
            [*contents.values()],
            [owns.get(agent_id) for agent_id in agents],
            lambda place: entry_of(agents[place], step),
        )
        now = self._time_of(step)
        ids = self._ids_of_step(run_id, step, memory_type, contents)
        prepared = [
            Prepared(memory_id, agent_id, step, now, memory_type, held, priorities[agent_id])
            for memory_id, (agent_id, held) in zip(ids, contents.items(), strict=True)
        ]
        entries = dict(zip(contents, _entries(run_id, prepared, made), strict=True))
        return MadeEntries(entries, packed, refused)

    def prepared(
        self,
        run_id: str,
        agent_id: str,
        memory_type: MemoryType,
        data: object,
        step_number: object,
        priority: object,
        vector: object = None,
    ) -> Prepared:
        """Take what an agent sees, does or meets, as it is now; ``finished`` makes the entry.

        Raises:
            InvalidEntry: The data cannot be stored, or step, priority or vector has no meaning.
        """
        step, importance = checked_step(step_number), checked_importance(priority)
        own = None if vector is None else self.spaces.given(vector)
        packed = pack(self._contents(data), max_bytes=self.max_bytes)
        contents = unpack(packed)
        memory_id = self._id_of(run_id, agent_id, step, memory_type, contents)
        now = self._time_of(step)
        return Prepared(memory_id, agent_id, step, now, memory_type, contents, importance, own)

    def finished(self, run_id: str, prepared: Sequence[Prepared]) -> list[MemoryEntry]:
        """Make the entries of what was taken of a run, with their vectors, all in one call.

        Raises:
            EmbedderError: The embedder fails.
        """
        made = self._vectors.many(
            [one.contents for one in prepared],
            [one.own for one in prepared],
            lambda place: entry_of(prepared[place].agent_id, prepared[place].step_number),
        )
        return _entries(run_id, prepared, made)

    def _ids_of_step(
        self,
        run_id: str,
        step: int,
        memory_type: MemoryType,
        contents: Mapping[str, Mapping[str, Any]],
    ) -> list[str]:
        """Make the ids of what agents see, do or meet in one step."""
        if not self.by_steps:
            return self.ids.many(len(contents))
        return [
            self._id_of(run_id, agent_id, step, memory_type, held)
            for agent_id, held in contents.items()
        ]

    def _contents(self, data: object) -> Mapping[str, Any]:
        # Once, before anything is made of them: what is given back has the same features and
        # attributes, and what is endless is not gone through.
        return plain_contents(data, self.max_bytes)

    def plain(self, entry: MemoryEntry) -> MemoryEntry:
        """An entry with contents as they come back once they are stored.

        Raises:
            InvalidEntry: They cannot be stored.
        """
        plain = self.read_once(entry)
        pack(plain.contents, max_bytes=self.max_bytes)
        return plain

    def read_once(self, entry: MemoryEntry) -> MemoryEntry:
        """An entry with plain contents, whether they can be stored or not.

        Raises:
            InvalidEntry: They are too large or too deep, or their own code fails.
        """
        contents = entry.contents
        if isinstance(contents, CodedContents):
            return entry
        plain = plain_contents(contents, self.max_bytes)
        return entry if plain is contents else replace(entry, contents=plain)

    def _time_of(self, step: int) -> float:
        return float(step if self.by_steps else self.clock())

    def _id_of(
        self,
        run_id: str,
        agent_id: str,
        step: int,
        memory_type: MemoryType,
        contents: Mapping[str, Any],
    ) -> str:
        """Make an id: by chance, or where times are steps the one that the same run makes again."""
        if not self.by_steps:
            return self.ids()
        made_of = packed_apart(contents)
        ordinal = self.ordinals.next(run_id, agent_id, step)
        return reproducible_id(run_id, agent_id, step, memory_type, ordinal, made_of)

    def not_stored(self, entry: MemoryEntry) -> None:
        """Note that an entry was not acknowledged: who stores it again makes the same id."""
        if self.by_steps:
            self.ordinals.give_back(entry.run_id, entry.agent_id, entry.step_number)

    def of_dict(self, run_id: str, agent_id: str, values: object) -> MemoryEntry:
        """Make the entry of a dict as ``MemoryEntry.to_dict`` gives it.

        Args:
            run_id: The run, where the dict names none.
            agent_id: The agent, where the dict names none.
            values: The dict; memory id and timestamp may be left out too.

        Raises:
            InvalidEntry: It is not the dict of an entry.
        """
        if not isinstance(values, Mapping):
            raise InvalidEntry(
                f"entry: a MemoryEntry or dict is needed, not {type(values).__name__}"
            )
        named: dict[str, Any] = {
            "memory_id": self.ids(),
            "timestamp": values.get("step_number", 0) if self.by_steps else self.clock(),
            "run_id": run_id,
            "agent_id": agent_id,
        }
        entry = MemoryEntry.from_dict(named | dict(values))
        if self.by_steps and "memory_id" not in values:
            entry = self.plain(entry)
            kind, step = entry.memory_type, entry.step_number
            made = self._id_of(entry.run_id, entry.agent_id, step, kind, entry.contents)
            entry = replace(entry, memory_id=made)
        if entry.embedding is None or self.encoders.is_own(entry.encoder_version):
            return entry
        # A dict does not say which version made its vector: the one that it was read with.
        return replace(entry, encoder_version=self.encoders.current.version)


def _entries(run_id: str, prepared: Sequence[Prepared], vectors: MadeVectors) -> list[MemoryEntry]:
    if not prepared:
        return []
    names, agents, steps, times, *rest = zip(*(one[:-1] for one in prepared), strict=True)
    if not vectors.are_finite or not all(map(math.isfinite, times)):
        return [*map(partial(_entry, run_id), prepared, vectors.pairs)]
    count = len(prepared)
    none = repeat(0, count), repeat(0, count)
    return MemoryEntry.restored_many(
        *(names, repeat(run_id, count), agents, steps, times, *rest, *none, times, times),
        *zip(*vectors.pairs, strict=True),
        *(repeat(value, count) for value in _AS_NEW),
    )


def _entry(
    run_id: str,
    one: Prepared,
    made: tuple[NDArray[np.float32] | None, int],
) -> MemoryEntry:
    return MemoryEntry.restored(
        *(one.memory_id, run_id, *one[1:-1], 0, 0, one.timestamp, one.timestamp),
        *(*made, *_AS_NEW),
    )
