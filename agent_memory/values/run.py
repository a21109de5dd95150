"""What is known of a run: what it was begun with, how it ended, and what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from agent_memory.errors import InvalidEntry
from agent_memory.values.checks import checked_step
from agent_memory.values.entry import Tier
from agent_memory.values.identity import checked_run_id
from agent_memory.values.quoting import quoted, short_repr

RUNNING: Final = "running"
FINISHED: Final = "finished"
FAILED: Final = "failed"
FORGOTTEN: Final = "forgotten"

Existing = Literal["resume", "refuse", "replace"]
"""What becomes of a run that is there already when it is begun."""
Ending = Literal["finished", "failed"]
"""How a run ended."""

_EXISTING = ("resume", "refuse", "replace")
_MOST_BITS = 13_000  # of a seed; Python refuses to write more than 4,300 digits


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What is recorded of a run beside its entries.

    Attributes:
        run_id: The run.
        parent: The run it was forked from.
        fork_step: At which step that was.
        seed: Its random seed.
        parameters: What it was begun with, as JSON values; None: nobody recorded it.
        status: "running", "finished", "failed" or "forgotten".
        created_at: When it was first met, in seconds since 1970.
    """

    run_id: str
    parent: str | None = None
    fork_step: int | None = None
    seed: int | None = None
    parameters: Mapping[str, Any] | None = None
    status: str = RUNNING
    created_at: float = 0.0


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run: what it was begun with, how it stands, and what the memory holds of it.

    Attributes:
        run_id: The run.
        parent: The run it was forked from.
        seed: Its random seed.
        parameters: What it was begun with.
        status: "running" until somebody says that it ended: "finished" or "failed".
        agents: How many agents have entries.
        first_step: The lowest step, without the steps of pinned entries unless all are pinned;
            None: there are no entries.
        last_step: The highest step.
        entries: How many entries by tier; a tier that holds none is left out.
        created_at: When it was first met, in seconds since 1970; None: nobody recorded it.
        fork_step: At which step of its parent it begins.

    Examples:
        >>> walk = memory.run("walk-1", parameters={"ants": 20}, seed=7)
        >>> walk.store_agent_state("ant-1", {"food": 1.0}, 0)
        True
        >>> {run.run_id: run.seed for run in memory.runs()}
        {'default': None, 'walk-1': 7}
    """

    __repr__ = short_repr()

    run_id: str
    parent: str | None = None
    seed: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    status: str = RUNNING
    agents: int = 0
    first_step: int | None = None
    last_step: int | None = None
    entries: Mapping[Tier, int] = field(default_factory=dict)
    created_at: float | None = None
    fork_step: int | None = None

    @property
    def total(self) -> int:
        """How many entries there are in all tiers together."""
        return sum(self.entries.values())

    def to_dict(self) -> dict[str, Any]:
        """It as a flat dict, a row of a frame: entries by tier as ``stm``, ``im`` and ``ltm``.

        Examples:
            >>> row = memory.runs()[0].to_dict()
            >>> row["run_id"], row["stm"], row["ltm"]
            ('default', 10, 0)
        """
        return {
            "run_id": self.run_id,
            "parent": self.parent,
            "seed": self.seed,
            "status": self.status,
            "agents": self.agents,
            "first_step": self.first_step,
            "last_step": self.last_step,
            **{tier.name.lower(): self.entries.get(tier, 0) for tier in Tier},
            "parameters": dict(self.parameters),
        }


def checked_seed(seed: object) -> int | None:
    """Return a seed as an int; its digits may be given as text.

    Raises:
        InvalidEntry: It is no int.
    """
    if seed is None:
        return None
    if isinstance(seed, str) and seed.removeprefix("-").isdecimal() and len(seed) < _MOST_BITS // 4:
        return int(seed)
    try:
        number = seed.__index__()  # type: ignore[attr-defined]  # what has none is refused
    except (AttributeError, TypeError):
        number = None
    if type(number) is not int or type(seed) is bool or number.bit_length() > _MOST_BITS:
        raise InvalidEntry(
            f"seed: an int is needed, not {quoted(seed)}; name what else a run was seeded with "
            "among its parameters"
        )
    return number


def checked_existing(exists: object) -> Existing:
    """Return what becomes of a run that is there already.

    Raises:
        InvalidEntry: It is no such word.
    """
    for known in _EXISTING:
        if exists == known:
            return known  # type: ignore[return-value]  # one of the words
    raise InvalidEntry(f'exists: "resume", "refuse" or "replace" is needed, not {quoted(exists)}')


def checked_parent(run_id: str, parent: object, fork_step: object) -> tuple[str | None, int | None]:
    """Return the parent of a run, and the step at which it was forked.

    Raises:
        InvalidEntry: They have no meaning.
    """
    if parent is None:
        if fork_step is not None:
            raise InvalidEntry("fork_step: it is a step of the parent, and there is no parent")
        return None, None
    name = checked_run_id(parent)
    if name == run_id:
        raise InvalidEntry(f"parent: run {quoted(name)} cannot be its own")
    return name, None if fork_step is None else checked_step(fork_step)
