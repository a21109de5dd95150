"""What tests of outages look at: a clock of their own, what is stored, what waits."""

from __future__ import annotations

from agent_memory import AgentMemorySystem, Order, Query


class Ticks:
    """A clock that stands still unless it is moved on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def store(system: AgentMemorySystem, *steps: int, agent: str = "ant") -> None:
    for step in steps:
        assert system.store_agent_state(agent, {"step": step}, step)


def steps_of(system: AgentMemorySystem, agent: str = "ant") -> list[int]:
    """The steps that an agent remembers; fails when a tier holds what another holds too."""
    query = Query(agent_id=agent, order=Order.STEP)
    hits = system.recall(query, touch=False)
    held = sum(tier.count("default", agent) for tier in (system.stm, system.im, system.ltm))
    assert held == len(hits)
    return [hit.entry.step_number for hit in hits]


def waiting(system: AgentMemorySystem) -> int:
    spool = system.status.spool
    assert spool is not None
    return spool.entries
