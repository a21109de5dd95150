"""Compares a whole memory with what was acknowledged to processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.repositories.contract import MemoryRepository
from agent_memory.testing.acknowledged import Expected, Place
from agent_memory.testing.storing import everything
from agent_memory.testing.tally import count
from agent_memory.values.deprecation import OldName
from agent_memory.values.entry import MemoryEntry

_VECTOR_TOLERANCE = 0.01  # of the largest number; a step of the int8 grid is 1/127


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found wrong, in words, each once.

    Attributes:
        losses: Acknowledged and not found, or not whole, or a change that is gone.
        doubles: In two places.
        resurrections: Forgotten and found.
        ghosts: Found though nobody stored them, or counted or indexed though not there.
        leaks: Found where another's are asked for, or left behind with nobody to own them.
    """

    losses: tuple[str, ...] = ()
    doubles: tuple[str, ...] = ()
    resurrections: tuple[str, ...] = ()
    ghosts: tuple[str, ...] = ()
    leaks: tuple[str, ...] = ()

    def __add__(self, other: Findings) -> Findings:
        return Findings(
            self.losses + other.losses,
            self.doubles + other.doubles,
            self.resurrections + other.resurrections,
            self.ghosts + other.ghosts,
            self.leaks + other.leaks,
        )

    def __bool__(self) -> bool:
        return any(self.by_kind().values())

    def by_kind(self) -> dict[str, tuple[str, ...]]:
        """What was found, by the names that ``tally`` counts under."""
        return {name: getattr(self, name) for name in self.__slots__}

    told = OldName("assert_none")

    def assert_none(self, when: str = "") -> None:
        """Count what was found, and fail if that is anything.

        Args:
            when: What was done before, for the message.

        Raises:
            AssertionError: Something was found.
        """
        for kind, found in self.by_kind().items():
            count(kind, len(found))
        if self:
            lines = [f"{kind}: {one}" for kind, found in self.by_kind().items() for one in found]
            raise AssertionError("\n".join([when, *lines[:20]]))


@dataclass(frozen=True)
class Memories:
    """What a test stored, and how to look at it.

    Attributes:
        run_id: Of which run.
        contents_of: The contents of an entry, by its agent and step.
        vector_of: The vector that an entry should have, float32 of the width of its tier; None:
            vectors are not looked at.
    """

    run_id: str
    contents_of: Callable[[str, int], Mapping[str, Any]]
    vector_of: Callable[[MemoryEntry], NDArray[np.float32] | None] | None = None

    def whole(self, tiers: Sequence[MemoryRepository], expected: Expected) -> Findings:
        """Compare all that settled tiers hold with what was acknowledged.

        Args:
            tiers: The repositories; nobody else is at work, and upkeep was done.
            expected: From the log; see ``Acknowledgements``.
        """
        listed: Counter[Place] = Counter()
        findings = Findings()
        for tier in tiers:
            entries, found = self._listed(tier)
            findings += found
            for entry in entries:
                listed[entry.agent_id, entry.step_number] += 1
                findings += self._as_stored(entry, tier) + _changes(entry, expected)
        return findings + compared(listed, expected)

    def _listed(self, tier: MemoryRepository) -> tuple[list[MemoryEntry], Findings]:
        """All entries of a tier; what its counts, orders and lists disagree about."""
        try:
            return everything(tier, self.run_id), Findings()
        except AssertionError as disagreement:
            complaint = f"{tier.tier.name} counts, lists and indexes disagree: {disagreement}"
            found = [
                entry
                for agent_id in tier.agents(self.run_id)
                for entry in tier.get_many(tier.keys(self.run_id, agent_id))
            ]
            return found, Findings(ghosts=(complaint[:500],))

    def _as_stored(self, entry: MemoryEntry, tier: MemoryRepository) -> Findings:
        """Whether an entry's contents and vector are whole, and its own."""
        name = f"{entry.agent_id} {entry.step_number} in {tier.tier.name}"
        if entry.contents != self.contents_of(entry.agent_id, entry.step_number):
            return Findings(losses=(f"contents of {name}: {entry.contents}",))
        wanted = None if self.vector_of is None else self.vector_of(entry)
        if wanted is not None and not _alike(wanted, entry.embedding):
            return Findings(losses=(f"vector of {name}",))
        return Findings()


def compared(found: Mapping[Place, int], expected: Expected) -> Findings:
    """Compare the places of what was found, and how often, with what was acknowledged."""
    there = found.keys()
    return Findings(
        losses=_words(expected.certain - there),
        doubles=_words({place for place, number in found.items() if number > 1}),
        resurrections=_words(there & expected.forgotten),
        ghosts=_words(there - expected.possible - expected.forgotten),
    )


def _changes(entry: MemoryEntry, expected: Expected) -> Findings:
    place = entry.agent_id, entry.step_number
    least, most = expected.changes.get(place, (0, 0))
    text = f"{place}: {entry.revision} changes, and {least} to {most} were made"
    if entry.revision < least:
        return Findings(losses=(text,))
    return Findings(doubles=(text,)) if entry.revision > most else Findings()


def _words(places: set[Place] | frozenset[Place]) -> tuple[str, ...]:
    return tuple(f"{agent} {step}" for agent, step in sorted(places))


def _alike(wanted: NDArray[np.float32], found: NDArray[np.float32] | None) -> bool:
    if found is None or found.shape != wanted.shape:
        return False
    largest = float(np.max(np.abs(wanted), initial=0.0))
    return bool(np.allclose(found, wanted, rtol=0, atol=_VECTOR_TOLERANCE * largest))
