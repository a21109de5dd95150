"""A memory whose tiers are soon full, and the steps that it holds."""

from __future__ import annotations

from typing import Any

from agent_memory import AgentMemorySystem, Order, Query

SMALL = {
    "stm_config": {"memory_limit": 5},
    "im_config": {"memory_limit": 5},
    "cleanup_interval": 1,
}


def steps_of(system: AgentMemorySystem, agent: str, **filters: Any) -> list[int]:
    hits = system.recall(Query(agent_id=agent, order=Order.STEP, **filters), touch=False)
    return [hit.entry.step_number for hit in hits]
