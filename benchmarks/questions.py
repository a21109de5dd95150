"""What questions take beside the same without us.

python -m benchmarks.questions [rows of the large sample, 1000000 unless given]
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgpack
import numpy as np

from agent_memory import AgentMemorySystem, MemoryConfig, Order
from agent_memory.models.redis import STORED, agent_prefix
from agent_memory.values.sealing import unsealed
from benchmarks.entries import new_entries, trader_states
from benchmarks.long_term import long_term_memory, multiply
from benchmarks.measuring import Figure, paired, slower, tell
from benchmarks.plain_redis import memory_and_client

STEPS = 10_000
AGENTS = 1_000
FEW, DRAWS, ASKED = 10_000, 256, 30

_CONTENTS, _EMBEDDING = STORED.index("contents"), STORED.index("embedding")


def figures(rows: int = 1_000_000) -> Iterator[Figure]:
    """Measure all of them."""
    yield _newest()
    yield _history()
    yield _everyone()
    yield _sampled(rows)


def _newest() -> Figure:
    """The newest ten of an agent, by us and by redis-py with MessagePack."""
    with memory_and_client() as (memory, client, _):
        memory.stm.add_many(new_entries(trader_states(1_000), "a0"))
        prefix = agent_prefix("agent_memory:stm", "default", "a0")

        def plain() -> list[Any]:
            with client.pipeline(transaction=False) as pipe:
                for name in client.zrevrange(f"{prefix}times", 0, 9):
                    pipe.hmget(prefix + name.decode(), *STORED)
                found = pipe.execute()
            return [
                (
                    *values,
                    msgpack.unpackb(unsealed(values[_CONTENTS]), strict_map_key=False),
                    np.frombuffer(values[_EMBEDDING], np.float32),
                )
                for values in found
            ]

        def ours() -> list[Any]:
            return memory.recall(agent_id="a0", order=Order.NEWEST, limit=10, touch=False)

        assert len(plain()) == len(ours()) == 10
        return slower("newest 10 of an agent, against redis-py and MessagePack",
                       paired(ours, plain, 10 * ASKED), 1.0)  # fmt: skip


def _history() -> Figure:
    """One number over all steps, and the same entries recalled step by step."""
    with TemporaryDirectory() as folder:
        config = MemoryConfig(
            path=Path(folder),
            engine="embedded",
            stm_config={"memory_limit": STEPS // 4},
            im_config={"memory_limit": STEPS // 4},
        )
        with AgentMemorySystem(config) as memory:
            states = trader_states(STEPS)
            memory.train_encoder(states[: STEPS // 10])
            for first in range(0, STEPS, 1_000):
                memory.stm.add_many(_from(first, states[first : first + 1_000]))
            memory.maintain()
            assert sum(memory.ltm.encodings.code_versions().values()) >= 0.4 * STEPS
            path = next(name for name, value in states[0].items() if isinstance(value, float))
            some = [*range(0, STEPS, STEPS // 200)]

            def whole() -> float:
                begin = time.process_time()
                assert len(memory.history("a0", path)) == STEPS
                return (time.process_time() - begin) / STEPS

            def one_by_one() -> float:
                begin = time.process_time()
                for step in some:
                    memory.recall(agent_id="a0", steps=(step, step), touch=False)
                return (time.process_time() - begin) / len(some)

            def at_once() -> float:
                begin = time.process_time()
                memory.recall(agent_id="a0", order=Order.STEP, touch=False)
                return (time.process_time() - begin) / STEPS

            rounds = [(whole(), one_by_one(), at_once()) for _ in range(5)]
    ours, theirs, bulk = (statistics.median(times) for times in zip(*rounds, strict=True))
    ratio = theirs / ours
    return Figure(
        f"history of a number over {STEPS:,} steps, half of them coded in long-term memory, "
        "against recalling them one after the other",
        "5x faster",
        f"{ratio:.1f}x",
        ratio >= 5,
        f"{1e6 * ours:.0f} us of this process a step; recalling all of them at once takes "
        f"{bulk / ours:.2f}x",
    )


def _from(first: int, states: list[dict[str, Any]]) -> list[Any]:
    return [
        replace(entry, step_number=first + entry.step_number) for entry in new_entries(states, "a0")
    ]


def _everyone() -> Figure:
    """Everyone at a step out of long-term memory, and the bare SELECT of the same rows."""
    with long_term_memory() as (memory, raw):
        states = trader_states(20)
        for agent in range(AGENTS):
            memory.ltm.add_many(new_entries(states, f"a{agent}"))
        steps = itertools.cycle(range(20))

        def bare() -> list[Any]:
            return raw.execute(_EVERYONE, (next(steps),)).fetchall()

        def ours() -> list[Any]:
            step = next(steps)
            return memory.recall(steps=(step, step), touch=False)

        assert len(bare()) == len(ours()) == AGENTS
        ratio = paired(ours, bare, ASKED)
    return slower(
        f"everyone at a step, {AGENTS:,} agents in long-term memory, against the bare SELECT",
        ratio,
        1.5,
    )


_EVERYONE = (
    "SELECT entry.*, agent.name, run.name FROM agent_ltm_agents AS agent "
    "JOIN agent_ltm_runs AS run ON run.id = agent.run_id "
    "JOIN agent_ltm_entries AS entry ON entry.agent_ref = agent.id "
    "WHERE run.name = 'default' AND entry.step_number = ? ORDER BY timestamp, memory_id"
)


def _sampled(rows: int) -> Figure:
    """Some draws out of many entries of one agent, and out of few."""
    took = [_draws(number) for number in (FEW, rows)]
    (few, _, _), (many, first, updated) = took
    return Figure(
        f"sample({DRAWS}) out of {rows:,} entries of an agent, against {FEW:,}",
        "1.3x its time",
        f"{many / few:.2f}x",
        many / few <= 1.3,
        f"{1e3 * many:.1f} ms; {1e3 * updated:.1f} once importances were set; first {first:.1f} s",
    )


def _draws(rows: int) -> tuple[float, float, float]:
    """How long a draw takes, the first, and one after importances were set; seconds."""
    with long_term_memory() as (memory, raw):
        memory.ltm.add_many(new_entries(trader_states(1_000), "a0"))
        multiply(raw, rows // 1_000)

        def draw(seed: int) -> float:
            begin = time.perf_counter()
            batch = memory.sample(DRAWS, seed=seed)
            took = time.perf_counter() - begin
            if seed > ASKED:
                memory.update_importance({hit.entry.key: seed / 100 for hit in batch.hits})
            return took

        first, *again = (draw(seed) for seed in range(ASKED))
        after = [draw(seed) for seed in range(ASKED + 1, ASKED + 10)]
        return statistics.median(again), first, statistics.median(after[1:])


if __name__ == "__main__":
    tell(figures(*map(int, sys.argv[1:])))
