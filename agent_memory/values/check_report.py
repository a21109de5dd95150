"""What a look through a whole memory found, in values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from agent_memory.values.quoting import short_repr


class Kind(StrEnum):
    """What sort of fault a finding is."""

    UNREADABLE = "unreadable"
    """An entry whose stored bytes cannot be read."""
    NEWER = "newer"
    """What a newer version of the package has stored; it is left as it is."""
    VECTOR = "vector"
    """A vector that is damaged, of a wrong width, or not what its encoder makes."""
    VERSION = "version"
    """A version of the encoder that entries name and that is not registered, or damaged."""
    LEVEL = "level"
    """A compression level that its tier does not have."""
    INDEX = "index"
    """An entry that is missing in an index, or has another place there than it should."""
    ATTRIBUTES = "attributes"
    """An entry that is not indexed by a declared attribute as it should be."""
    ORPHAN = "orphan"
    """A place in an index, a log or a list of what is no entry, or no agent."""
    KEY = "key"
    """A key that is of a wrong type, that would expire, or that nobody knows."""
    TWICE = "twice"
    """An entry that stands in two tiers, and is not on its way."""
    FORGOTTEN = "forgotten"
    """An entry that was forgotten, and is there."""
    TOMBSTONE = "tombstone"
    """A forgotten key that stays closed for no reason."""
    MOVE = "move"
    """A move that was broken off."""
    STUCK = "stuck"
    """An entry that the tier below cannot store: it answers, and cannot leave its tier."""
    SEARCH = "search"
    """An index of the query engine that does not hold what it should."""
    DATABASE = "database"
    """What the database says of its own file and references."""
    SCHEMA = "schema"
    """Tables that are not those of their revision."""
    FOLDER = "folder"
    """What a folder records of how it was made."""
    SPOOL = "spool"
    """What waits to be stored and cannot be."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault.

    Attributes:
        kind: What sort it is.
        place: Where it is: tier, agent, entry, key or file.
        means: What is wrong, and what that costs.
        by_hand: How to mend it by hand, or what to do next; empty where nothing is left to do.
        repaired: Whether it was mended.

    Examples:
        >>> from agent_memory import Finding
        >>> print(Finding("index", "stm default/ant-1", "an entry is missing in an index"))
        FOUND  index: stm default/ant-1: an entry is missing in an index
    """

    kind: Kind
    place: str
    means: str
    by_hand: str = ""
    repaired: bool = False

    def __str__(self) -> str:
        state = "mended" if self.repaired else "FOUND"
        advice = f"; to mend it: {self.by_hand}" if self.by_hand and not self.repaired else ""
        return f"{state}  {self.kind}: {self.place}: {self.means}{advice}"


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What ``AgentMemorySystem.check`` looked at, and what it found.

    Attributes:
        looked_at: How many things of each sort were looked at.
        findings: What was found, at most ``MOST_FINDINGS``.
        found: How many findings there were of each kind.
        left: How many of them are not repaired.
        unfinished: What could not be looked at, and why.

    Examples:
        >>> report = memory.check()
        >>> report.sound, report.findings
        (True, ())
    """

    __repr__ = short_repr("left", "found", "unfinished")

    looked_at: Mapping[str, int]
    findings: tuple[Finding, ...]
    found: Mapping[Kind, int]
    left: int
    unfinished: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong, or nothing any more, and all was looked at."""
        return self.left == 0 and not self.unfinished


MOST_FINDINGS = 1_000
"""How many findings a report lists; it counts them all."""
