"""How ``code_2.msgpack`` was made: a code of the second format, and rows of every further format.

Rows that a code has no choice for have values beside its message, and those that are as short
without the code are sealed or squeezed.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from agent_memory.compression.codes import Codes
from agent_memory.compression.fitted.artifact import to_bytes
from agent_memory.compression.fitting.fit import fit_code
from agent_memory.compression.levels import ContentsCodec
from agent_memory.values.contents import pack
from agent_memory.values.entry import MemoryEntry, MemoryType

RANDOM = random.Random(2)
VERSION = 3


def contents(step: int) -> dict[str, Any]:
    frame = np.zeros((18, 18), np.uint8)
    frame[step % 13 : step % 13 + 5, 3 * step % 13 : 3 * step % 13 + 5] = 200
    seen = {"frame": frame, "seen": [RANDOM.randrange(900) for _ in range(step % 9)]}
    return {
        "x": RANDOM.uniform(-1, 1),
        "at": (RANDOM.uniform(0, 9), step % 4),
        "mood": RANDOM.choice(["calm", "alert"]),
        "age": step + 9,
        "scan": np.array([RANDOM.uniform(0, 5) for _ in range(6)], np.float32),
        "nothing": None,
        **(seen if step % 3 == 0 else {}),
    }


def vector_of(state: dict[str, Any]) -> Any:
    return np.array([state["x"], state["at"][0] / 9], np.float32)


class Registered:
    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def code(self, version: int) -> bytes | None:
        return self._raw if version == VERSION else None


def entry_of(state: dict[str, Any], step: int, level: int, vector: Any) -> MemoryEntry:
    return MemoryEntry(
        memory_id=f"{step:032x}",
        run_id="run",
        agent_id="ant",
        step_number=step,
        timestamp=float(step),
        memory_type=MemoryType.STATE,
        contents=state,
        compression_level=level,
        embedding=vector,
        encoder_version=None if vector is None else VERSION,
    )


def main(file: Path) -> None:
    learned = [contents(step) for step in range(300)]
    raw = to_bytes(fit_code(learned, vectors=np.array([*map(vector_of, learned)])))
    codes = Codes(Registered(raw))
    codes.use(VERSION)
    codec = ContentsCodec(codes=codes, beside_vectors=True)
    odd: list[dict[str, Any]] = [
        {**contents(1), "x": 7.5},
        {**contents(2), "nothing": "a long note " * 40},
        {**contents(3), "at": (float("nan"), 2)},
        {"another": "shape"},
        {"another": "long shape " * 50},
    ]
    rows = []
    for step, state in enumerate([*learned[:12], *odd]):
        for level in (0, 1, 2):
            vector = vector_of(state) if level == 2 and "x" in state else None
            if vector is not None and not np.isfinite(vector).all():
                vector = None
            stored = codec.encode(entry_of(state, step, level, vector))
            back = pack(dict(codec.decode(stored, step, vector)))
            beside = None if vector is None else vector.tobytes()
            rows.append([step, level, beside, stored, pack(state), back])
    file.write_bytes(msgpack.packb({"version": VERSION, "code": raw, "rows": rows}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
