"""The constants of docs/scaling.md, and how much several simulations store together.

    python -m benchmarks.scale [--write] [--rows 10000 100000 1000000]

Bytes and commands of an entry in each tier; processor time of storing an entry and of moving it
down, by how many rows long-term memory holds; entries a second of 1, 2 and 4 simulations on one
server, beside what ``benchmarks.scale_model`` foretells out of the processor time of one. Every
figure is of states of fifteen fields, stored by an encoder that is not trained. ``--write`` keeps
them in ``scale.json``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import redis

from agent_memory import AgentMemorySystem, MemoryConfig
from agent_memory.connections.embedded.server import EmbeddedServer
from benchmarks.beside import server_seconds
from benchmarks.bulk_moves import config_of
from benchmarks.entries import new_entries, trader_states
from benchmarks.long_term import multiply
from benchmarks.measuring import ONE_THREAD
from benchmarks.scale_model import Machine, bottleneck, entries_per_second

FILE = Path(__file__).with_name("scale.json")

FEW, MANY_STEPS = 50, 100
"""Agents and steps whose bytes are measured."""
AGENTS, STEPS = 250, 20
"""Agents and steps of a simulation whose time is measured."""
SIMULATIONS = (1, 2, 4)
ROUNDS = 3
STORED = 20_000
"""Entries that the simulations store together, however many they are."""
ROWS = (10_000, 100_000, 1_000_000)

_MANY = 10**9


@dataclass(frozen=True, slots=True)
class Point:
    """What so many simulations did on one server.

    Attributes:
        simulations: How many.
        entries_per_second: Stored by all together, by the clock.
        client_us: Processor time of the simulations for an entry, in microseconds.
        server_us: That of the server.
        processors: How many the machine has.
        others: How many of them other programs kept busy.
    """

    simulations: int
    entries_per_second: float
    client_us: float
    server_us: float
    processors: int
    others: float


def foretold(point: Point, alone: Point) -> float:
    """Entries a second of a point by the model, out of the processor time of one simulation."""
    return entries_per_second(machine_of(point, alone), point.simulations)


def machine_of(point: Point, alone: Point) -> Machine:
    """The machine of a point, whose requests take what they took one simulation."""
    return Machine(
        alone.client_us * 1e-6, alone.server_us * 1e-6, AGENTS, point.processors, point.others
    )


@contextmanager
def opened(folder: Path, config: MemoryConfig) -> Iterator[tuple[AgentMemorySystem, redis.Redis]]:
    """A memory, and a plain client of its server."""
    with (
        AgentMemorySystem(config, upkeep=False) as memory,
        EmbeddedServer.open(folder) as server,
        closing(redis.Redis(unix_socket_path=server.socket_path)) as client,
    ):
        yield memory, client


# -- constants ------------------------------------------------------------------------------------


def constants() -> dict[str, float]:
    """Bytes and commands of an entry, by tier."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        with opened(folder, config_of(folder)) as (memory, client):
            memory.store_step(0, _states(FEW))
            told = {"short-term memory, bytes an entry": _held(client)}
            commands, net = _commands(client), _received(client)
            _simulated(memory, FEW, 1, MANY_STEPS)
            stored = FEW * (MANY_STEPS - 1)
            told["commands of the server for a stored entry"] = (
                _commands(client) - commands
            ) / stored
            told["bytes sent for a stored entry"] = (_received(client) - net) / stored
            before = told["short-term memory, bytes an entry"]
            told["short-term memory, bytes an entry"] = (_held(client) - before) / stored
        empty = _emptied_server_bytes()
        for tier, limits in (("intermediate", (1, _MANY)), ("long-term", (1, 1))):
            with opened(folder, config_of(folder, *limits)) as (memory, client):
                commands = _commands(client)
                moved = memory.maintain()
                count = moved.stm_to_im if tier == "intermediate" else moved.im_to_ltm
                told[f"commands for an entry that moves to {tier} memory"] = (
                    _commands(client) - commands
                ) / max(count, 1)
                if tier == "intermediate":
                    kept = FEW * told["short-term memory, bytes an entry"]
                    told["intermediate memory, bytes an entry"] = (
                        _held(client) - kept - empty
                    ) / count
        with closing(sqlite3.connect(folder / "agent_memory.db")) as raw:
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (pages,) = raw.execute("SELECT sum(pgsize) FROM dbstat").fetchone()
            (rows,) = raw.execute("SELECT count(*) FROM agent_ltm_entries").fetchone()
        told["long-term memory on SQLite, bytes a row"] = pages / rows
    return {name: round(value, 2) for name, value in told.items()}


def _emptied_server_bytes() -> float:
    """What a server holds that has no entry."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        with opened(folder, config_of(folder)) as (_, client):
            return _held(client)


def _states(agents: int) -> dict[str, Any]:
    return {f"a{place}": state for place, state in enumerate(trader_states(agents))}


def _simulated(memory: AgentMemorySystem, agents: int, first: int, last: int) -> None:
    states = _states(agents)
    for step in range(first, last):
        memory.store_step(step, states)


def _held(client: redis.Redis) -> float:
    told: Any = client.info("memory")
    return float(told["used_memory"])


def _received(client: redis.Redis) -> float:
    told: Any = client.info("stats")
    return float(told["total_net_input_bytes"])


def _commands(client: redis.Redis) -> float:
    told: Any = client.info("commandstats")
    return float(sum(one["calls"] for one in told.values()))


# -- moves, by rows that are there ----------------------------------------------------------------


def moves(rows: Sequence[int]) -> Iterator[dict[str, float]]:
    """Processor time of a move through both tiers, in microseconds an entry, by rows there."""
    for number in rows:
        with TemporaryDirectory() as name:
            folder = Path(name)
            with opened(folder, config_of(folder)) as (memory, _):
                memory.ltm.add_many(new_entries(trader_states(1_000), "old"))
            with closing(sqlite3.connect(folder / "agent_memory.db", isolation_level=None)) as raw:
                multiply(raw, number // 1_000)
            yield {"rows": number, **_moved(folder)}


def _moved(folder: Path) -> dict[str, float]:
    took: dict[str, list[float]] = {"client_us": [], "server_us": []}
    config = config_of(folder, 1, 1)
    with opened(folder, config) as (memory, client):
        for first in range(0, 4 * STEPS, STEPS):
            _simulated(memory, AGENTS, first, first + STEPS)
            used, own = server_seconds(client), time.process_time()
            moved = memory.maintain().im_to_ltm
            own = time.process_time() - own
            took["client_us"].append(1e6 * own / moved)
            took["server_us"].append(1e6 * (server_seconds(client) - used) / moved)
    # The first has what a process does once.
    return {name: round(median(each[1:]), 1) for name, each in took.items()}


# -- several simulations --------------------------------------------------------------------------


def rounds() -> Iterator[list[Point]]:
    """Let 1, 2 and 4 simulations store in turn, each for its own agents."""
    for _ in range(ROUNDS):
        yield [*_points()]


def ratios(told: Sequence[Sequence[Point]]) -> dict[int, float]:
    """How many times what was measured the model foretells, by simulations: the rounds' median.

    Processor times are those of one simulation in the same round.
    """
    return {
        each[0].simulations: median(
            foretold(point, alone[0]) / point.entries_per_second
            for point, alone in zip(each, told, strict=True)
        )
        for each in zip(*told, strict=True)
    }


def _points() -> Iterator[Point]:
    for simulations in SIMULATIONS:
        with TemporaryDirectory() as name:
            folder = Path(name)
            with opened(folder, config_of(folder)) as (_, client):
                yield _point(folder, client, simulations)


def _point(folder: Path, client: redis.Redis, simulations: int) -> Point:
    spawning = multiprocessing.get_context("spawn")
    barrier, results = spawning.Barrier(simulations + 1), spawning.SimpleQueue()
    steps = STORED // AGENTS // simulations
    every = [
        spawning.Process(target=_simulation, args=(folder, number, steps, barrier, results))
        for number in range(simulations)
    ]
    for one in every:
        one.start()
    barrier.wait()  # until each has opened the memory
    begun, used, busy = time.monotonic(), server_seconds(client), _busy()
    barrier.wait()
    ended = [results.get() for _ in every]
    took = max(end for end, _ in ended) - begun
    server, busy = server_seconds(client) - used, _busy() - busy
    for one in every:
        one.join()
    own = sum(processor for _, processor in ended)
    stored = steps * AGENTS * simulations
    return Point(
        simulations,
        round(stored / took, 1),
        round(1e6 * own / stored, 2),
        round(1e6 * server / stored, 2),
        os.cpu_count() or 1,
        round(max(busy - own - server, 0.0) / took, 3),
    )


def _simulation(folder: Path, number: int, steps: int, barrier: Barrier, results: Any) -> None:
    """Store the steps of agents of one's own; tell when it ended and the processor time."""
    states = {f"s{number}-{agent}": state for agent, state in _states(AGENTS).items()}
    with AgentMemorySystem(config_of(folder), upkeep=False) as memory:
        for step in range(3):  # what a process does once
            memory.store_step(step, states)
        barrier.wait()
        barrier.wait()
        own = time.process_time()
        for step in range(3, steps + 3):
            memory.store_step(step, states)
        results.put((time.monotonic(), time.process_time() - own))


def _busy() -> float:
    """Processor time of all programs of the machine, in seconds."""
    told = psutil.cpu_times()
    return float(told.user + told.nice + told.system + told.irq + told.softirq + told.steal)


def main() -> None:
    """Print what is measured, and keep it if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help="keep it in scale.json")
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, help="up to 10000000")
    asked = parser.parse_args()
    os.environ |= ONE_THREAD
    whole: dict[str, Any] = {"constants": constants(), "rounds": [], "moves": []}
    for name, value in whole["constants"].items():
        print(f"{name}: {value:.4g}", flush=True)
    measured = []
    for points in rounds():
        measured.append(points)
        whole["rounds"].append([asdict(point) for point in points])
        for point in points:
            bound = bottleneck(machine_of(point, points[0]), point.simulations)
            print(f"{point}; {bound} bound them", flush=True)
    for simulations, ratio in ratios(measured).items():
        print(f"{simulations} simulations: the model foretells {ratio:.2f}x", flush=True)
    for one in moves(asked.rows):
        whole["moves"].append(one)
        print(f"moves through both tiers, {one}", flush=True)
    if asked.write:
        FILE.write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
