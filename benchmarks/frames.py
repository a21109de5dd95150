"""What a frame of long-term memory costs, beside pandas reading the same rows undecoded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from sqlalchemy import select

from agent_memory import AgentMemorySystem, MemoryConfig
from agent_memory.testing import an_entry
from benchmarks.measuring import Figure, compare

AGENTS, STEPS = 10, 10_000
RATE, SHARE = 200_000, 0.5


def figures() -> Iterator[Figure]:
    """Measure 100,000 rows of long-term memory to Arrow."""
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'ltm.db'}"
        config = MemoryConfig(engine="fake", ltm_url=url)
        with AgentMemorySystem(config, upkeep=False) as memory:
            for agent in range(AGENTS):
                memory.ltm.add_many([_entry(agent, step) for step in range(STEPS)])
            yield _to_arrow(memory)


def _entry(agent: int, step: int) -> Any:
    contents = {
        "energy": step * 3,
        "position": (step * 0.5, 2.5 + agent),
        "mood": "calm" if step % 3 else "wild",
        "home": {"food": step / 7, "doors": step % 5},
    }
    return an_entry(
        run_id="default",
        agent_id=f"a{agent}",
        step_number=step,
        timestamp=float(step),
        compression_level=2,
        contents=contents,
    )


def _to_arrow(memory: AgentMemorySystem) -> Figure:
    def as_bytes() -> None:
        with memory.sql_engine.connect() as connection:
            read = pd.read_sql(select(memory.models.LtmEntry.__table__), connection)
        assert len(read) == AGENTS * STEPS

    def as_columns() -> None:
        assert memory.to_arrow().read_all().num_rows == AGENTS * STEPS

    ratio = compare(lambda: as_columns, lambda: as_bytes, rounds=3)
    rate = AGENTS * STEPS / ratio.our_seconds
    return Figure(
        "100,000 rows of long-term memory to Arrow, decoded",
        f"{RATE:,} rows/s, or at most 2x of pandas.read_sql of the bytes",
        f"{rate:,.0f} rows/s, {1 / ratio.median:.1f}x",
        rate >= RATE or ratio.median >= SHARE,
        ratio.spread,
    )
