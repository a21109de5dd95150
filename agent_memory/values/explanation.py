"""How a question is answered: tier by tier the index, and how much is expected and read."""

from __future__ import annotations

from dataclasses import dataclass

from agent_memory.values.entry import Tier


@dataclass(frozen=True, slots=True)
class TierPlan:
    """How one tier answers a question.

    Attributes:
        tier: Which tier.
        way: The index that it goes by, or "scan" and of what.
        expected: How many entries that gives: counted by the index, or as the database estimates.
        read: How many entries were read and decoded for the answer.
        found: How many of them answer.
        details: What the engine itself says, line by line.

    Examples:
        >>> plan = memory.explain(agent_id="ant-1", steps=(2, 4)).tiers[0]
        >>> plan.way, plan.expected, plan.read, plan.found
        ('sorted sets steps 2.0 to 4.0', 3, 3, 3)
    """

    tier: Tier
    way: str
    expected: int
    read: int
    found: int
    details: tuple[str, ...] = ()

    def __repr__(self) -> str:
        way = self.way if len(self.way) <= 80 else f"{self.way[:77]}..."
        return (
            f"TierPlan({self.tier.name}: {way}; {self.expected} expected, {self.read} read, "
            f"{self.found} found)"
        )


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a question was answered; ``print`` shows it whole.

    Attributes:
        tiers: Each tier's part, the richest first.
        found: How many entries answer, each once.

    Examples:
        >>> memory.explain(agent_id="ant-1", steps=(2, 4))
        Explanation(3 found; STM 3 of 3 read, IM 0 of 0, LTM 0 of 0)
    """

    tiers: tuple[TierPlan, ...]
    found: int

    def __repr__(self) -> str:
        parts = [
            f"{plan.tier.name} {plan.read} of {plan.expected}{'' if place else ' read'}"
            for place, plan in enumerate(self.tiers)
        ]
        return f"Explanation({self.found} found; {', '.join(parts)})"

    def __str__(self) -> str:
        lines = [f"{self.found} entries answer"]
        for plan in self.tiers:
            lines.append(
                f"{plan.tier.name:<4}{plan.expected:>9} expected{plan.read:>9} read"
                f"{plan.found:>9} found  {plan.way}"
            )
            lines += [f"        {detail}" for detail in plan.details]
        return "\n".join(lines)
