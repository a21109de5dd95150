"""What questions take by how many rows of an agent long-term memory holds.

    python -m benchmarks.by_rows [rows, 1000000 unless given]

Processor time of this process, the same questions among few rows and among many in turn.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from agent_memory import AgentMemorySystem, Order
from benchmarks.entries import trader_states
from benchmarks.long_term import long_term_memory, multiply
from benchmarks.measuring import Figure, Quartiles, tell
from benchmarks.near import fill

FEW, MANY = 10_000, 1_000_000
TARGET = 1.3
ROUNDS = 25

Ask = Callable[[AgentMemorySystem, int, int], object]
"""Asks a memory that holds so many rows; the last number says which time it is."""

_PATH = next(path for path, value in trader_states(1)[0].items() if isinstance(value, float))

QUESTIONS: Mapping[str, Ask] = {
    "newest 10 of an agent": lambda memory, _, __: memory.recall(
        agent_id="a", order=Order.NEWEST, limit=10, touch=False
    ),
    "100 steps of an agent": lambda memory, rows, turn: memory.recall(
        agent_id="a", steps=(rows // 2 + turn, rows // 2 + turn + 99), touch=False
    ),
    "everyone at a step": lambda memory, rows, turn: memory.recall(
        steps=(rows // 2 + turn, rows // 2 + turn), touch=False
    ),
    "state_at": lambda memory, rows, turn: memory.state_at("a", rows // 2 + turn, touch=False),
    "history of 1,000 steps": lambda memory, rows, turn: memory.history(
        "a", _PATH, steps=(rows // 2 + turn, rows // 2 + turn + 999)
    ),
    "count of an agent": lambda memory, _, __: memory.count(agent_id="a"),
    "sample(256)": lambda memory, _, turn: memory.sample(256, seed=turn),
}


def figures(rows: int = MANY) -> Iterator[Figure]:
    """Measure each question among few rows and among many."""
    with long_term_memory() as (few, few_raw), long_term_memory() as (many, many_raw):
        for memory, raw, number in ((few, few_raw, FEW), (many, many_raw, rows)):
            fill(memory, "a", 1_000)
            multiply(raw, number // 1_000)
        for name, ask in QUESTIONS.items():
            yield _measured(name, partial(ask, few, FEW), partial(ask, many, rows), rows)


def _measured(
    name: str, few: Callable[[int], object], many: Callable[[int], object], rows: int
) -> Figure:
    for ask in (few, many):  # what is kept is read once
        ask(0)
        ask(1)
    rounds = [(_took(few, turn), _took(many, turn)) for turn in range(2, ROUNDS + 2)]
    ratio = Quartiles.of(of_many / of_few for of_few, of_many in rounds)
    return Figure(
        f"{name}: {rows:,} rows of an agent, against {FEW:,}",
        f"{TARGET}x its time",
        f"{ratio.middle:.2f}x",
        ratio.middle <= TARGET,
        f"{ratio.low:.2f} to {ratio.high:.2f}; "
        f"{1e3 * statistics.median(took for _, took in rounds):.1f} ms",
    )


def _took(ask: Callable[[int], object], turn: int) -> float:
    begin = time.process_time()
    ask(turn)
    return time.process_time() - begin


if __name__ == "__main__":
    tell(figures(*map(int, sys.argv[1:])))
