"""What ``near`` takes in long-term memory, by how many rows an agent has there.

    python -m benchmarks.near [rows ...]

prints a table of Markdown, all columns measured in turn in one run. Beside ours stand NumPy with
the matrix kept (exact, ids and contents read by their rows), and where they are installed usearch
(half precision; and with exact vectors ranked again) and sqlite-vec, with the contents read.
"""

from __future__ import annotations

import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from agent_memory import AgentMemorySystem, MemoryConfig, Query, Vector
from agent_memory.compression.levels import ContentsCodec
from agent_memory.embeddings.comparable import comparable
from agent_memory.embeddings.int8_grid import on_int8_grid
from agent_memory.embeddings.version_zero import VersionZero
from benchmarks.entries import new_entries, trader_states

SIZES = (10_000, 100_000)
ASKED, FOUND = 40, 10
FEW = 1_000
"""How many rows the agent has that stands beside the large one."""

_AT_ONCE = 10_000
_CANDIDATES = 16 * FOUND
_WIDTH = 32


class Took(NamedTuple):
    """What a question took, in seconds: by the clock, and of the processor in this process."""

    clock: float
    processor: float


def summed(questions: Sequence[Took]) -> str:
    """The median and the quartiles of some questions."""
    clock, processor = (
        [1e3 * one for one in statistics.quantiles(times, n=4)]
        for times in zip(*questions, strict=True)
    )
    return (
        f"{clock[1]:.1f} ms ({clock[0]:.1f} to {clock[2]:.1f}), "
        f"of the processor {processor[1]:.1f} ms"
    )


def fill(memory: AgentMemorySystem, agent_id: str, rows: int, seed: int = 0) -> None:
    """Store rows as moves do: vectors of 32 numbers on the grid of bytes."""
    encoder = VersionZero()
    is_biased = bool(encoder.bias(_WIDTH))
    states = trader_states(rows, seed)
    for first in range(0, rows, _AT_ONCE):
        entries = new_entries(states[first : first + _AT_ONCE], agent_id)
        memory.ltm.add_many(
            [
                replace(
                    entry,
                    step_number=step,
                    compression_level=2,
                    embedding=on_int8_grid(encoder.carry(vector, _WIDTH), biased=is_biased),
                )
                for step, entry in enumerate(entries, first)
                if (vector := entry.embedding) is not None
            ]
        )


class Plain:
    """NumPy: the scaled numbers of all states in a matrix, and SQLite for the contents.

    Args:
        file: The database.
        states: The states, by row.
    """

    def __init__(self, file: Path, states: list[dict[str, Any]]) -> None:
        values = [comparable(state).values for state in states]
        paths = [path for path, one in values[0].items() if isinstance(one, float)]
        matrix = np.array([[one[path] for path in paths] for one in values])
        deviation = matrix.std(axis=0)
        self._paths, self._scale = paths, 1.0 / np.where(deviation > 0, deviation, 1.0)
        self.matrix = (matrix * self._scale).astype(np.float32)
        self._squares = np.square(self.matrix).sum(axis=1)
        self._codec = ContentsCodec()
        self._database = sqlite3.connect(file)
        found = self._database.execute(
            "SELECT e.id FROM agent_ltm_entries e JOIN agent_ltm_agents a ON a.id = e.agent_ref "
            "WHERE a.name = 'large' ORDER BY e.step_number"
        )
        self._rows = [row for (row,) in found]

    def asked(self, state: dict[str, Any]) -> Any:
        """The vector of a state."""
        values = comparable(state).values
        return (np.array([values[path] for path in self._paths]) * self._scale).astype(np.float32)

    def near(self, state: dict[str, Any]) -> list[int]:
        """The steps of the nearest, whose contents are read."""
        asked = self.asked(state)
        far = self._squares - 2.0 * (self.matrix @ asked)
        places = np.argpartition(far, FOUND)[:FOUND]
        places = places[np.argsort(far[places])]
        self.read(places.tolist())
        return [int(place) for place in places]

    def read(self, places: list[int]) -> None:
        """Read the contents of some steps."""
        rows = [self._rows[place] for place in places]
        marks = ",".join("?" * len(rows))
        select = f"SELECT contents, step_number FROM agent_ltm_entries WHERE id IN ({marks})"  # noqa: S608 - marks
        for contents, step in self._database.execute(select, rows):
            self._codec.decode(contents, step)


def peers(matrix: Any) -> Iterator[tuple[str, Callable[[Any], list[int]]]]:
    """What else finds the rows of vectors, where it is installed."""
    try:
        from usearch.index import Index  # noqa: PLC0415 - may be missing
    except ImportError:
        pass
    else:
        index = Index(ndim=matrix.shape[1], metric="l2sq", dtype="f16")
        index.add(np.arange(len(matrix)), matrix)
        yield "usearch, f16, ids", lambda asked: index.search(asked, FOUND).keys.tolist()

        def ranked_again(asked: Any) -> list[int]:
            places = index.search(asked, _CANDIDATES).keys.astype(np.intp)
            far = np.square(matrix[places] - asked).sum(axis=1)
            found: list[int] = places[np.argsort(far)[:FOUND]].tolist()
            return found

        yield "usearch, f16, exact vectors ranked again", ranked_again
    try:
        import apsw  # noqa: PLC0415 - may be missing; many a Python's sqlite3 loads no extension
        import sqlite_vec  # noqa: PLC0415 - may be missing
    except ImportError:
        return
    database = apsw.Connection(":memory:")
    database.enable_load_extension(True)
    database.load_extension(sqlite_vec.loadable_path())
    database.execute(f"CREATE VIRTUAL TABLE v USING vec0(e float[{matrix.shape[1]}])")
    database.executemany("INSERT INTO v(e) VALUES (?)", ((row.tobytes(),) for row in matrix))
    yield (
        "sqlite-vec, ids",
        lambda asked: [
            row - 1
            for (row,) in database.execute(
                "SELECT rowid FROM v WHERE e MATCH ? ORDER BY distance LIMIT ?",
                (asked.tobytes(), FOUND),
            )
        ],
    )


def measured(folder: Path, rows: int) -> Iterator[tuple[str, str]]:
    """What was asked, and what it took."""
    config = MemoryConfig(path=folder, engine="embedded", search=False)
    with AgentMemorySystem(config) as memory:
        fill(memory, "large", rows)
        fill(memory, "small", FEW, seed=1)
    states = trader_states(rows)
    plain = Plain(folder / "agent_memory.db", states)
    random = np.random.default_rng(0)
    asked = [states[place] for place in random.integers(0, rows, ASKED).tolist()]
    with AgentMemorySystem(config) as memory:
        large = Query(agent_id="large", limit=FOUND)
        small = Query(agent_id="small", limit=FOUND)
        encoder = VersionZero()
        turned = [Vector(encoder.carry(encoder.encode_one(state), _WIDTH)) for state in asked]
        begin = time.perf_counter()
        memory.recall(large, near=asked[0])
        yield "first question near a state", f"{time.perf_counter() - begin:.1f} s"
        begin = time.perf_counter()
        memory.recall(large, near=turned[0])
        yield "first question near a vector", f"{time.perf_counter() - begin:.1f} s"
        ways: dict[str, Callable[[int], object]] = {
            "near a state": lambda at: memory.recall(large, near=asked[at]),
            "NumPy, the matrix kept, with contents": lambda at: plain.near(asked[at]),
            "near a vector": lambda at: memory.recall(large, near=turned[at]),
            f"near a state, of {FEW:,} rows beside them": (
                lambda at: memory.recall(small, near=asked[at])
            ),
        }
        for name, ask in peers(plain.matrix):
            ways[name] = lambda at, ask=ask: plain.read(ask(plain.asked(asked[at])))  # type: ignore[misc]
        took: dict[str, list[Took]] = {name: [] for name in ways}
        for at in range(ASKED):
            for name, way in ways.items():
                clock, processor = time.perf_counter(), time.process_time()
                way(at)
                took[name].append(
                    Took(time.perf_counter() - clock, time.process_time() - processor)
                )
        for name, questions in took.items():
            yield name, summed(questions[1:])
        own_first = [memory.recall(large, near=state)[0].entry.contents == state for state in asked]
        yield "own state first", f"{sum(own_first)} of {ASKED}"


def main() -> None:
    """Print a table."""
    sizes = [int(size) for size in sys.argv[1:]] or SIZES
    print("| rows | what | time |\n|---|---|---|")
    for rows in sizes:
        with TemporaryDirectory() as folder:
            for what, told in measured(Path(folder), rows):
                print(f"| {rows:,} | {what} | {told} |", flush=True)


if __name__ == "__main__":
    main()
