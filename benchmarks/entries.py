"""The entries the benchmarks store: states of fifteen fields, as a trader of the demo has them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from agent_memory import MemoryEntry, MemoryType
from agent_memory.embeddings.registry import UNTRAINED
from agent_memory.embeddings.version_zero import VersionZero
from agent_memory.values.identity import MemoryIds

_new_id = MemoryIds()
_encoder = VersionZero()


def trader_states(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Make states of one trader over time.

    Args:
        count: How many.
        seed: Of the random generator.
    """
    random = np.random.default_rng(seed)
    walk = random.normal(size=(count, 6)).cumsum(axis=0)
    return [
        {
            "pos": (int(step % 50), int(step * 7 % 50)),
            "sugar": float(values[0]),
            "spice": float(values[1]),
            "metabolism_sugar": 2,
            "metabolism_spice": 3,
            "vision": 4,
            "welfare": float(values[2]),
            "mrs": float(values[3]),
            "price": float(values[4]),
            "energy": float(values[5]),
            "age": step,
            "alive": True,
            "partners": [step % 11, step % 7],
            "strategy": "trade",
            "target": None,
        }
        for step, values in enumerate(walk)
    ]


def new_entries(
    states: Sequence[dict[str, Any]], agent_id: str, run_id: str = "default"
) -> list[MemoryEntry]:
    """Make an entry of each state, with ids and times of now and the vector it is found by."""
    vectors = _encoder.encode(states)
    return [
        MemoryEntry(
            memory_id=_new_id(),
            run_id=run_id,
            agent_id=agent_id,
            step_number=step,
            timestamp=time.time(),
            memory_type=MemoryType.STATE,
            contents=state,
            embedding=vector,
            encoder_version=UNTRAINED,
        )
        for step, (state, vector) in enumerate(zip(states, vectors, strict=True))
    ]
