"""A log of what was acknowledged to processes about their entries, which outlives them."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

Place = tuple[str, int]
"""What an entry is known by in a log: its agent, and a step that the agent has once."""


@dataclass(frozen=True)
class Expected:
    """What must be there, and what may, by a log.

    Attributes:
        certain: Acknowledged, and nobody began to forget them.
        possible: Somebody began to store them, and no forgetting of them was acknowledged.
        forgotten: Their forgetting was acknowledged: they must not be there.
        changes: How often an entry was changed, at least and at most.
    """

    certain: frozenset[Place]
    possible: frozenset[Place]
    forgotten: frozenset[Place]
    changes: dict[Place, tuple[int, int]]


class Acknowledgements:
    """A file in which processes note what they are about to do to entries, and that it was done.

    Several processes may write to one. What was noted is kept when the process is killed: a note
    is one write to the end of the file.

    Args:
        file: Made if it is missing.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._open = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def close(self) -> None:
        """Close the file."""
        os.close(self._open)

    def storing(self, agent: str, step: int) -> None:
        """Note that an entry is about to be stored."""
        self._note("storing", [(agent, step)])

    def stored(self, agent: str, step: int) -> None:
        """Note that its storing was acknowledged."""
        self._note("stored", [(agent, step)])

    def changing(self, agent: str, step: int) -> None:
        """Note that an entry is about to be changed."""
        self._note("changing", [(agent, step)])

    def changed(self, agent: str, step: int) -> None:
        """Note that its change was acknowledged."""
        self._note("changed", [(agent, step)])

    def forgetting(self, places: Iterable[Place]) -> None:
        """Note that entries are about to be forgotten."""
        self._note("forgetting", places)

    def forgot(self, places: Iterable[Place]) -> None:
        """Note that their forgetting was acknowledged."""
        self._note("forgot", places)

    def places(self, what: str) -> Counter[Place]:
        """How often something was noted of each entry.

        Args:
            what: The name of the method that noted it.
        """
        found: Counter[Place] = Counter()
        # A line without an end is that of a machine that died: it acknowledged nothing.
        for line in self._file.read_text().splitlines():
            noted, places = json.loads(line)
            if noted == what:
                found.update((agent, step) for agent, step in places)
        return found

    def expected(self) -> Expected:
        """What must be there now, and what may."""
        forgotten = frozenset(self.places("forgot"))
        least, most = self.places("changed"), self.places("changing")
        return Expected(
            certain=frozenset(self.places("stored").keys() - self.places("forgetting").keys()),
            possible=frozenset(self.places("storing").keys() - forgotten),
            forgotten=forgotten,
            changes={place: (least[place], most[place]) for place in most},
        )

    def _note(self, what: str, places: Iterable[Place]) -> None:
        os.write(self._open, json.dumps([what, [*places]]).encode() + b"\n")
