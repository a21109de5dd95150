"""What a frame of long-term memory costs, beside pandas reading the same rows undecoded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from sqlalchemy import select

from agent_memory import AgentMemorySystem, MemoryConfig
from agent_memory.testing import an_entry
from benchmarks.measuring import Figure

AGENTS, STEPS = 10, 10_000
RATE, SHARE, ROUNDS = 200_000, 2, 5


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

    rounds = [(_seconds(as_columns), _seconds(as_bytes)) for _ in range(ROUNDS + 1)][1:]
    ratios = sorted(ours / theirs for ours, theirs in rounds)
    ratio, rate = median(ratios), AGENTS * STEPS / median(ours for ours, _ in rounds)
    return Figure(
        "100,000 rows of long-term memory to Arrow, decoded",
        f"{RATE:,} rows/s, and at most {SHARE}x of pandas.read_sql of the bytes",
        f"{rate:,.0f} rows/s, {ratio:.2f}x, of processor time",
        rate >= RATE and ratio <= SHARE,
        f"{ratios[0]:.2f} to {ratios[-1]:.2f} over the rounds",
    )


def _seconds(work: Callable[[], object]) -> float:
    """Seconds of processor time, with the collector of garbage at work as users have it."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


if __name__ == "__main__":
    for figure in figures():
        print(f"{figure.name}: {figure.measured} (target {figure.target}); {figure.note}")
