"""The values that pictures are made of. Frozen, no I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent_memory.values.entry import MemoryEntry, MemoryType, Tier
from agent_memory.values.query import Hit

MOST_ENTRIES = 10_000
"""How many entries a picture is made of; of more it shows an even sample, and says so."""


EVENTS = ("born", "died")
"""What the ``event`` of an action may be that a timeline marks."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """How much of what is there a picture shows.

    Attributes:
        shown: How many are shown.
        total: How many there are.
        noun: Of what.
    """

    shown: int
    total: int
    noun: str = "entries"

    @property
    def note(self) -> str:
        """A sentence about a sample; empty where everything is shown."""
        if self.shown >= self.total:
            return ""
        return f"{self.shown:,} of {self.total:,} {self.noun} are shown, an even sample"


@dataclass(frozen=True, slots=True)
class AgentSummary:
    """An agent of a run in a few numbers.

    Attributes:
        agent_id: The agent.
        entries: How many entries each tier holds, in the order of the tiers.
        first_step: The lowest step.
        last_step: The highest step.
        last_timestamp: When the latest entry was, in the unit of the memory's clock.
    """

    agent_id: str
    entries: tuple[int, int, int]
    first_step: int
    last_step: int
    last_timestamp: float

    @property
    def total(self) -> int:
        """How many entries there are in all tiers together."""
        return sum(self.entries)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run in a few numbers; see ``AgentSummary``.

    Attributes:
        run_id: The run.
        agents: How many agents have entries.
        entries: How many entries each tier holds, in the order of the tiers.
        first_step: The lowest step.
        last_step: The highest step.
        last_timestamp: When the latest entry was, in the unit of the memory's clock.
    """

    run_id: str
    agents: int
    entries: tuple[int, int, int]
    first_step: int
    last_step: int
    last_timestamp: float


@dataclass(frozen=True, slots=True)
class Moment:
    """An entry as a point of a timeline.

    Attributes:
        memory_id: Its id.
        agent_id: Whose.
        step: Its step.
        memory_type: Its type.
        tier: Where it lies.
        importance: 0 to 1.
        pinned: Whether it stays in its tier.
        is_exact: Whether its contents are what was stored, to the last bit.
        event: "born" or "died" where it says so, else empty.
    """

    memory_id: str
    agent_id: str
    step: int
    memory_type: MemoryType
    tier: Tier
    importance: float
    pinned: bool
    is_exact: bool
    event: str = ""

    @classmethod
    def of(cls, hit: Hit) -> Moment:
        """The point that stands for an entry."""
        entry = hit.entry
        return cls(
            *(entry.memory_id, entry.agent_id, entry.step_number, entry.memory_type, hit.tier),
            *(entry.importance_score, entry.pinned, is_exact(entry), event_of(entry)),
        )


def event_of(entry: MemoryEntry) -> str:
    """Whether an action is a birth or a death, as those of Mesa's agents are stored."""
    if entry.memory_type is not MemoryType.ACTION:
        return ""
    event = entry.contents.get("event")
    return str(event) if isinstance(event, str) and event in EVENTS else ""


def is_exact(entry: MemoryEntry) -> bool:
    """Whether an entry's contents are what was stored, to the last bit."""
    return not entry.error_bounds or not any(entry.error_bounds.values())


@dataclass(frozen=True, slots=True)
class Life:
    """What an agent remembers, in the order of steps.

    Attributes:
        run_id: The run.
        agent_id: The agent.
        hits: Its entries, or a sample of them.
        sampled: How many of how many.
        moments: The points of its timeline, one for each entry.
    """

    run_id: str
    agent_id: str
    hits: tuple[Hit, ...]
    sampled: Sampled
    moments: tuple[Moment, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make the points."""
        object.__setattr__(self, "moments", tuple(map(Moment.of, self.hits)))


@dataclass(frozen=True, slots=True)
class Point:
    """A number of a history.

    Attributes:
        step: Its step.
        value: The number; it may be infinite or NaN.
        bound: How far it may be from what was stored; 0 is exact.
        tier: Where its entry lies.
    """

    step: int
    value: float
    bound: float
    tier: Tier

    @property
    def is_finite(self) -> bool:
        """Whether it has a place on an axis."""
        return math.isfinite(self.value) and math.isfinite(self.bound)


@dataclass(frozen=True, slots=True)
class Line:
    """How a number of an agent went.

    Attributes:
        agent_id: Whose.
        path: Which number of its contents.
        points: In the order of steps.
        sampled: How many values of how many.
    """

    agent_id: str
    path: str
    points: tuple[Point, ...]
    sampled: Sampled


@dataclass(frozen=True, slots=True)
class Lines:
    """Some of the numbers of an agent.

    Attributes:
        lines: Those that are shown.
        more: The paths of further numbers, which are not shown.
    """

    lines: tuple[Line, ...]
    more: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """How many entries of some steps a tier holds.

    Attributes:
        first_step: The first of the steps.
        last_step: The last of them.
        tier: The tier.
        entries: How many.
    """

    first_step: int
    last_step: int
    tier: Tier
    entries: int


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Which tier holds the entries of which steps.

    Attributes:
        whose: The run or agent.
        held: By steps and tier; without those that are empty.
        sampled: How many entries of how many were counted.
        agents: Of how many agents of how many, for a run.
    """

    whose: str
    held: tuple[Held, ...]
    sampled: Sampled
    agents: Sampled


@dataclass(frozen=True, slots=True)
class Look:
    """What the tiers held at a time, and how fast that changed since the look before.

    Attributes:
        at: When, in seconds since 1970.
        entries: How many entries each tier held, in the order of the tiers.
        stores: Entries stored a second, less those that were forgotten; None at the first look.
        moves: Moves to the next tier a second; None at the first look.
    """

    at: float
    entries: tuple[int, int, int]
    stores: float | None = None
    moves: float | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """Where contents say where an agent is.

    Attributes:
        x: The path of the first coordinate.
        y: The path of the second.
        is_guessed: Whether it was found by its name, and not declared.
    """

    x: str
    y: str
    is_guessed: bool

    @property
    def note(self) -> str:
        """How the position was found, as a sentence."""
        how = "guessed from its name" if self.is_guessed else "as declared"
        return f"position: {self.x}, {self.y} ({how})"


@dataclass(frozen=True, slots=True)
class Place:
    """An agent on the plane.

    Attributes:
        agent_id: The agent.
        memory_id: The entry that says so.
        x: The first coordinate.
        y: The second.
        step: The step of that entry, which may be before the one that was asked for.
        tier: Where that entry lies.
        value: The attribute to colour by; None where there is none.
    """

    agent_id: str
    memory_id: str
    x: float
    y: float
    step: int
    tier: Tier
    value: Any = None


@dataclass(frozen=True, slots=True)
class World:
    """The agents of a run at a step.

    Attributes:
        step: The step.
        places: Those that have a position.
        position: Where it was found; None where there is none.
        colour: The path of the attribute to colour by; empty for none.
        numbers: The paths of numbers to colour by.
        sampled: How many agents of how many are shown.
    """

    step: int
    places: tuple[Place, ...]
    position: Position | None
    colour: str
    numbers: tuple[str, ...]
    sampled: Sampled


@dataclass(frozen=True, slots=True)
class MomentDetail:
    """A memory with what surrounds it.

    Attributes:
        hit: The memory.
        window: What the agent remembers from just before it to just after it, itself included.
        neighbours: The most similar memories of the agent, with their scores.
        bounds: By path, how far a number may be from what was stored.
    """

    hit: Hit
    window: tuple[Hit, ...]
    neighbours: tuple[Hit, ...]
    bounds: Mapping[str, float]
