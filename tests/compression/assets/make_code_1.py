"""How ``code_1.msgpack`` was made at commit 2232af7: a code of the first format, and rows of it."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from agent_memory.compression.codes import Codes, Uncoded
from agent_memory.compression.fitted.artifact import to_bytes
from agent_memory.compression.fitting.fit import fit_code
from agent_memory.values.contents import pack

RANDOM = random.Random(1)
VERSION = 3


def contents(step: int) -> dict[str, Any]:
    return {
        "x": RANDOM.uniform(-1, 1),
        "at": (RANDOM.uniform(0, 9), step % 4),
        "mood": RANDOM.choice(["calm", "alert"]),
        "age": step + 9,
        "scan": np.array([RANDOM.uniform(0, 5) for _ in range(6)], np.float32),
        "note": "n" * RANDOM.randrange(3),
        "nothing": None,
    }


def vector_of(state: dict[str, Any]) -> Any:
    return np.array([state["x"], state["at"][0] / 9], np.float32)


class Registered:
    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def code(self, version: int) -> bytes | None:
        return self._raw if version == VERSION else None


def main(file: Path) -> None:
    learned = [contents(step) for step in range(300)]
    raw = to_bytes(fit_code(learned, vectors=np.array([*map(vector_of, learned)])))
    codes = Codes(Registered(raw))
    codes.use(VERSION)
    odd = [
        {**contents(1), "x": 7.5},
        {**contents(2), "note": "a long note " * 40},
        {**contents(3), "nothing": np.zeros((50, 50), np.uint8)},
        {**contents(4), "x": 1.04},
        {**contents(5), "x": float("nan")},
    ]
    rows = []
    for step, state in enumerate([*learned[:20], *odd]):
        for level in (1, 2):
            vector = vector_of(state) if level == 2 else None
            if vector is not None and not np.isfinite(vector).all():
                vector = None
            stored: Any = codes.encode(Uncoded(state, step, level, vector, VERSION))
            back = pack(dict(codes.decode(stored, step, vector)))
            beside = None if vector is None else vector.tobytes()
            rows.append([step, level, beside, stored, pack(state), back])
    file.write_bytes(msgpack.packb({"version": VERSION, "code": raw, "rows": rows}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
