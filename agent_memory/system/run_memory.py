"""What all agents of one run share: the opened memory, the demotions, and the run's time."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent_memory.system.open_batches import BatchOfRun
from agent_memory.system.resources import Resources
from agent_memory.tiers.budget import MOST_WHILE_STORING, STORES_BETWEEN_LOOKS, Budget
from agent_memory.tiers.consolidation import Consolidation, Moves
from agent_memory.values.entry import MemoryEntry


@dataclass
class RunMemory:
    """One run of an opened memory.

    Attributes:
        resources: What is open.
        run_id: The run.
        consolidation: Moves entries down.
        budget: Keeps the Redis server within ``redis_max_bytes``; None without such a bound.
        latest_step: The highest step stored through this object; -1 before the first.
        owner: What must live as long as this does.
        open_batch: Where stores of the run are gathered, if anywhere.
        is_recorded: Whether this object has begun the run with a record, and is to say its end.
        replaces: Whether an entry that is stored under the id of another takes its place.
    """

    resources: Resources
    run_id: str
    consolidation: Consolidation = field(init=False)
    budget: Budget | None = field(init=False, default=None)
    latest_step: int = -1
    owner: object = None
    open_batch: BatchOfRun = field(default_factory=BatchOfRun)
    is_recorded: bool = False
    replaces: bool = False

    def __post_init__(self) -> None:
        """Build what is not given."""
        opened = self.resources
        self.consolidation = Consolidation(*opened.tiers, opened.encoder.compression, opened.config)
        if opened.config.redis_max_bytes is not None:
            self.budget = Budget(
                opened.config.redis_max_bytes,
                opened.used_bytes,
                self.consolidation.demotions,
            )

    def stored(self, *entries: MemoryEntry) -> None:
        """Note that entries were stored."""
        self.latest_step = max(self.latest_step, *(entry.step_number for entry in entries), -1)
        self.resources.steps.stored(entries)
        if self.resources.intake.arrivals.has_unsure:
            self.resources.upkeep.attempt_while_storing(self.merge_repeats)
        if self.budget is not None and self._is_time_to_look(len(entries)):
            # As with the limits of an agent: the entries are stored by now.
            self.resources.upkeep.attempt_while_storing(self._keep_budget)

    def begin_again(self, run_id: str | None = None, latest_step: int = -1) -> None:
        """Count on nothing that was stored of a run before some of it was forgotten.

        Args:
            run_id: The run; None: this one.
            latest_step: The highest step that may be left.
        """
        name = self.run_id if run_id is None else run_id
        if name == self.run_id:
            self.latest_step = min(self.latest_step, latest_step)
        self.resources.new_entries.ordinals.forget(name)
        self.resources.intake.arrivals.forget(name)
        self.resources.steps.forget(name)

    def keep_budget(self, most: int | None = None) -> Moves:
        """Make room on the server, if there is a bound and it is passed; see ``Budget``."""
        moved = Moves() if self.budget is None else self.budget.keep(most)
        self.consolidation.count(moved)
        return moved

    def merge_repeats(self) -> None:
        """Move entries down that were stored again though a tier below had them."""
        opened = self.resources
        opened.intake.arrivals.merge(self.consolidation.demotions)

    def consolidate(self, *agents: str) -> Moves:
        """Move down what has to leave of some agents of the run."""
        at_step: dict[int | None, list[str]] = {}
        for agent_id in agents:
            at_step.setdefault(self.resources.steps.of(self.run_id, agent_id), []).append(agent_id)
        moved = Moves()
        for step, together in at_step.items():
            moved += self.consolidation.consolidate(self.run_id, together, self.now(), step)
        return moved

    def now(self) -> float:
        """The time in the unit of timestamps: seconds since 1970, or steps."""
        if self.resources.config.clock == "steps":
            latest = self.resources.intake.arrivals.latest(self.run_id)
            return max(float(self.latest_step), latest, 0.0)
        return self.resources.clock()

    def _is_time_to_look(self, stored: int) -> bool:
        """Count what was stored, and say whether the budget is to be looked at again."""
        numbers = [next(self.resources.stores) for _ in range(stored)]
        return any(number % STORES_BETWEEN_LOOKS == 0 for number in numbers)

    def _keep_budget(self) -> None:
        self.keep_budget(MOST_WHILE_STORING)
