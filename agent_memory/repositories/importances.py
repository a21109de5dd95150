"""How important the entries of a tier are, and of which steps: what sampling chooses by.

No contents are read for it. What was read is kept by the engines, and checked at each use.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from agent_memory.errors import EntryConflict, EntryNotFound
from agent_memory.values.entry import EntryKey, MemoryEntry
from agent_memory.values.query import Query

ENTRY_BYTES = 48
"""How many bytes ``Importances`` takes of an entry."""

_ID = np.dtype("S32")
_ATTEMPTS = 1_000  # each of which another change of the same entry has won


class Importances(NamedTuple):
    """The entries of one agent in one tier, by id; never changed, so that the same one says so.

    Attributes:
        ids: Their memory ids, ascending, of shape (n,). Two that share this array are of the same
            entries.
        importance: Of each, float64 of shape (n,).
        steps: Of each, int64 of shape (n,).
    """

    ids: NDArray[np.bytes_]
    importance: NDArray[np.float64]
    steps: NDArray[np.int64]

    @classmethod
    def of(
        cls, ids: Sequence[bytes], importance: Iterable[float], steps: Iterable[int]
    ) -> Importances:
        """Of entries in any order."""
        names = np.array(ids, _ID)
        order = np.argsort(names, kind="stable")
        return cls(
            names[order],
            np.fromiter(importance, np.float64, len(names))[order],
            np.fromiter(steps, np.int64, len(names))[order],
        )

    @classmethod
    def of_entries(cls, entries: Sequence[MemoryEntry]) -> Importances:
        """Of whole entries."""
        return cls.of(
            [entry.memory_id.encode() for entry in entries],
            (entry.importance_score for entry in entries),
            (entry.step_number for entry in entries),
        )

    def places_of(self, ids: NDArray[np.bytes_]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Where some ids are, of shape (k,), and whether they are there at all."""
        if not len(self.ids):
            return np.zeros(len(ids), np.intp), np.zeros(len(ids), bool)
        places = np.searchsorted(self.ids, ids).clip(max=len(self.ids) - 1)
        return places, self.ids[places] == ids

    def with_changes(
        self, came: Mapping[bytes, tuple[float, int]], gone: Collection[bytes] = ()
    ) -> Importances:
        """The same after some entries came, changed or went."""
        names = np.array([*came], _ID)
        given = np.array([*came.values()], np.float64).reshape(len(came), 2)
        places, there = self.places_of(names)
        importance = self.importance.copy()
        importance[places[there]] = given[there, 0]
        _, leaves = self.places_of(np.array([*gone], _ID))
        if there.all() and not leaves.any():
            return Importances(self.ids, importance, self.steps)
        kept = ~np.isin(self.ids, np.array([*gone], _ID))
        new = ~there
        ids = np.concatenate([self.ids[kept], names[new]])
        order = np.argsort(ids, kind="stable")
        steps = np.concatenate([self.steps[kept], given[new, 1].astype(np.int64)])
        importance = np.concatenate([importance[kept], given[new, 0]])
        return Importances(ids[order], importance[order], steps[order])


class ImportanceIndex(Protocol):
    """The importances of a tier's entries."""

    def of(self, run_id: str, agents: Sequence[str]) -> dict[str, Importances]:
        """Those of some agents of a run; agents without entries may be left out.

        In about one request, however many agents there are.
        """

    def set(self, wanted: Mapping[EntryKey, float]) -> list[EntryKey]:
        """Set how important some entries are, whatever their revision, which rises by one.

        In one request, whatever the number of agents and entries.

        Returns:
            The keys that are not stored here.

        Raises:
            StoreReadOnly: The store was opened read-only.
            StoreUnavailable: It did not acknowledge; any part may have been set.
        """


class _Entries(Protocol):
    def get_many(self, keys: Sequence[EntryKey]) -> list[MemoryEntry]: ...
    def find(self, query: Query) -> list[MemoryEntry]: ...
    def replace(self, entry: MemoryEntry) -> MemoryEntry: ...


class ReadImportances:
    """The importances of a tier that keeps none: read entry by entry.

    Args:
        entries: The tier.
    """

    def __init__(self, entries: _Entries) -> None:
        self._entries = entries

    def of(self, run_id: str, agents: Sequence[str]) -> dict[str, Importances]:
        """Those of some agents of a run."""
        return {
            agent_id: Importances.of_entries(
                self._entries.find(Query(run_id=run_id, agent_id=agent_id))
            )
            for agent_id in agents
        }

    def set(self, wanted: Mapping[EntryKey, float]) -> list[EntryKey]:
        """Set how important some entries are; returns the keys that are not stored here."""
        return [key for key, importance in wanted.items() if not self._set(key, importance)]

    def _set(self, key: EntryKey, importance: float) -> bool:
        for _ in range(_ATTEMPTS):
            found = self._entries.get_many([key])
            if not found:
                return False
            try:
                self._entries.replace(replace(found[0], importance_score=importance))
            except EntryConflict:
                continue  # another change was faster
            except EntryNotFound:
                return False
            return True
        raise EntryConflict(f"entry {key.memory_id} was changed by others {_ATTEMPTS} times")
