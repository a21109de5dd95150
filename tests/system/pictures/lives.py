"""Memories to make pictures of, with what makes pictures hard."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from agent_memory import AgentMemorySystem, MemoryConfig

MARKUP = "<img src=x onerror='window.bad=1'><script>window.bad=1</script>\"'&"
AGENT = f"ant/1 {MARKUP}"
STEPS = 60


def opened(folder: Path, **config: Any) -> AgentMemorySystem:
    """A memory in this process whose entries lie in all tiers after a while."""
    return AgentMemorySystem(
        MemoryConfig(
            engine="fake", ltm_url=f"sqlite:///{folder / 'ltm.db'}", path=folder,
            stm_config={"memory_limit": 20}, im_config={"memory_limit": 20}, cleanup_interval=5,
            **config,
        )
    )  # fmt: skip


def live(memory: AgentMemorySystem, agent: str = AGENT, steps: int = STEPS) -> None:
    """States with markup everywhere, and with numbers that no axis has a place for."""
    odd = (math.nan, math.inf, -math.inf, 1.0)
    for step in range(steps):
        state = {
            "food": math.sin(step / 9), "at": (step % 10, step // 10), MARKUP: MARKUP,
            "odd": odd[step % 4], "home": {"a.b": step}, "mood": "calm" if step % 2 else MARKUP,
        }  # fmt: skip
        memory.store_agent_state(agent, state, step, priority=step / steps)
    memory.store_agent_action(agent, {"go": MARKUP}, steps - 1)
    memory.maintain()
