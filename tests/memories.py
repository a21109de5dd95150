"""A memory on each engine, opened with a clock that tests set, and looks into all of its tiers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent_memory import AgentMemorySystem, Order, Query

DAY = 86_400.0
YEAR = 365 * DAY
AGES: dict[str, Any] = {"stm_config": {"ttl": int(DAY)}, "im_config": {"ttl": int(7 * DAY)}}

Opener = Callable[..., AgentMemorySystem]


class Clock:
    """A clock that stands still unless it is set."""

    def __init__(self) -> None:
        self.now = 1.7e9

    def __call__(self) -> float:
        return self.now


def store(system: AgentMemorySystem, agent: str, *steps: int) -> None:
    for step in steps:
        assert system.store_agent_state(agent, {"step": step, "mood": f"m{step % 2}"}, step)


def tier_counts(system: AgentMemorySystem, *agents: str) -> tuple[int, int, int]:
    """How many entries each tier holds, each entry once, and no key with a time to live."""
    tiers = system.stm, system.im, system.ltm
    for tier in tiers:
        for name in tier.agents("default"):
            # The contract looks in more ways, each of which reads all entries again.
            found = tier.find(Query(run_id="default", agent_id=name, limit=None))
            assert {entry.key for entry in found} == {*tier.keys("default", name)}
            assert 0 < len(found) == tier.count("default", name)
    keys = [key for tier in tiers for name in agents for key in tier.keys("default", name)]
    assert len(keys) == len(set(keys)), "an entry is in two tiers"
    client = system._resources.connections.stm.client
    assert {client.pttl(key) for key in client.scan_iter(count=1_000)} <= {-1}
    stm, im, ltm = (tier.count("default") for tier in tiers)
    return stm, im, ltm


def remembered(system: AgentMemorySystem, agent: str) -> list[int]:
    """The steps of all that an agent remembers, having checked the contents."""
    hits = system.recall(Query(agent_id=agent, order=Order.STEP), touch=False)
    for hit in hits:
        step = hit.entry.step_number
        assert hit.entry.contents == {"step": step, "mood": f"m{step % 2}"}
    return [hit.entry.step_number for hit in hits]
