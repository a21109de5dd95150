"""Stores, steps and questions beside what others would use, those that are installed.

    pip install torchrl langgraph-checkpoint-sqlite mem0ai sqlite-vec usearch apsw
    python -m benchmarks.peers [--write]

Ten rounds of 1,000 entries, ours and the peer in turn; what is dear goes by fewer a round, and says
how many. By processor time of this process and of the server where there is one. A peer stores what
it can hold: its durability and what it leaves out stand in its row.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import redis
from redis_om import HashModel

from agent_memory import AgentMemorySystem, Order, Vector
from agent_memory.embeddings.version_zero import VersionZero
from benchmarks.beside import Prepare, figure, in_turn
from benchmarks.bulk_moves import config_of
from benchmarks.entries import trader_states
from benchmarks.measuring import ONE_THREAD, Figure
from benchmarks.near import Plain, fill, peers
from benchmarks.plain_redis import memory_and_client
from benchmarks.results import Row, written

AGENTS, FEW, FOUND, ASKED = 1_000, 100, 10, 10
ROUNDS = 10
SIZES = (10_000, 100_000)

_SAME = "both: appended, synced once a second"
_NUMBERS = [name for name, value in trader_states(1)[0].items() if type(value) in (int, float)]

Compared = Iterator[tuple[Figure, str]]
"""Figures, and the durability of ours and of the peer."""

Ways = dict[str, Prepare]


def compared() -> Compared:
    """Measure all of them."""
    with TemporaryDirectory() as folder, memory_and_client() as (memory, client, _):
        yield from _steps(memory, client, Path(folder))
        yield from _singles(memory, client, Path(folder))
        yield from _newest(memory, Path(folder))
    yield from _collectors()
    for rows in SIZES:
        with TemporaryDirectory() as folder:
            yield from _near(Path(folder), rows)


def _ready(work: Callable[[], object]) -> Prepare:
    """What needs no preparation."""
    return lambda: work


# -- steps of a thousand agents -------------------------------------------------------------------


def _steps(memory: AgentMemorySystem, client: redis.Redis, folder: Path) -> Compared:
    steps = count()
    states = {f"a{place}": state for place, state in enumerate(trader_states(AGENTS))}
    model = _model(client)
    ways: Ways = {
        "ours": _ready(lambda: memory.store_step(next(steps), states)),
        "redis-om": _ready(
            lambda: model.add([_filled(model, *one, next(steps)) for one in states.items()])
        ),
    }
    durability = {"redis-om": f"{_SAME}; the peer keeps JSON, no index, no vector"}
    targets: dict[str, float] = {}
    with suppress(ImportError):
        ways |= _replay_buffers(client, folder, states)
        durability["TorchRL StoreStorage.extend"] = f"{_SAME}; the peer keeps numbers and vector"
        durability["TorchRL LazyMemmapStorage.extend"] = (
            "ours: appended, synced once a second; the peer: a mapped file, never synced, numbers "
            "and vector"
        )
        targets["TorchRL StoreStorage.extend"] = 0.6
    with suppress(ImportError):
        ways["LangGraph SqliteStore.batch"] = _batches(folder / "steps.db", states)
        durability["LangGraph SqliteStore.batch"] = (
            "ours: appended, synced once a second; the peer: SQLite synced at each batch, no vector"
        )
    costs = in_turn(ways, ROUNDS, client)
    for name, told in durability.items():
        peer = "redis-om .add" if name == "redis-om" else name
        yield (
            figure(
                f"store_step of {AGENTS:,} agents, against {peer}",
                costs,
                targets.get(name),
                (1e-3 * AGENTS, "us an entry"),
                plain=name,
            ),
            told,
        )


def _model(client: redis.Redis) -> Any:
    """A model of Redis-OM with the fields of an entry."""
    path = client.connection_pool.connection_kwargs["path"]

    class Remembered(HashModel, index=True):  # type: ignore[misc, call-arg]  # untyped
        agent_id: str
        step_number: int
        memory_type: str
        importance_score: float
        contents: str

        class Meta:
            global_key_prefix = "peer"
            database = redis.Redis(unix_socket_path=path, decode_responses=True)

    return Remembered


def _filled(model: Any, agent: str, state: Mapping[str, Any], step: int) -> Any:
    return model(
        agent_id=agent,
        step_number=step,
        memory_type="state",
        importance_score=1.0,
        contents=json.dumps(state),
    )


def _replay_buffers(client: redis.Redis, folder: Path, states: Mapping[str, Any]) -> Ways:
    """TorchRL's storages, of the numbers of the states and the vectors made by our encoder."""
    import torch  # noqa: PLC0415 - may be missing
    from tensordict import TensorDict  # noqa: PLC0415
    from torchrl.data import LazyMemmapStorage, ReplayBuffer  # noqa: PLC0415
    from torchrl.data.replay_buffers.storages import StoreStorage  # noqa: PLC0415

    torch.set_num_threads(1)
    encoder = VersionZero()
    most = 20 * AGENTS
    path = client.connection_pool.connection_kwargs["path"]
    storages = {
        "TorchRL StoreStorage.extend": StoreStorage(most, unix_socket_path=path),
        "TorchRL LazyMemmapStorage.extend": LazyMemmapStorage(most, scratch_dir=folder / "mapped"),
    }

    def extended(buffer: Any) -> None:
        some = [*states.values()]
        numbers = np.array([[state[name] for name in _NUMBERS] for state in some])
        buffer.extend(
            TensorDict(
                {
                    "numbers": torch.from_numpy(numbers),
                    "vector": torch.from_numpy(np.ascontiguousarray(encoder.encode(some))),
                },
                batch_size=[len(some)],
            )
        )

    def way(storage: Any) -> Prepare:
        buffer = ReplayBuffer(storage=storage, batch_size=1)
        return _ready(lambda: extended(buffer))

    return {name: way(storage) for name, storage in storages.items()}


def _batches(file: Path, states: Mapping[str, Any]) -> Prepare:
    from langgraph.store.base import PutOp  # noqa: PLC0415 - may be missing

    store, steps = _langgraph(file), count()

    def work() -> None:
        step = str(next(steps))
        store.batch([PutOp((agent,), step, state) for agent, state in states.items()])

    return _ready(work)


def _langgraph(file: Path) -> Any:
    """LangGraph's store, as its own ``from_conn_string`` opens it."""
    import sqlite3  # noqa: PLC0415 - with it

    from langgraph.store.sqlite import SqliteStore  # noqa: PLC0415 - may be missing

    store = SqliteStore(sqlite3.connect(file, check_same_thread=False, isolation_level=None))
    store.setup()
    return store


# -- single stores --------------------------------------------------------------------------------


def _singles(memory: AgentMemorySystem, client: redis.Redis, folder: Path) -> Compared:
    states, steps = trader_states(FEW), count()
    model = _model(client)

    def each(store: Callable[[dict[str, Any]], object]) -> Prepare:
        return _ready(lambda: [store(state) for state in states])

    ways = {
        "ours": each(lambda state: memory.store_agent_state("one", state, next(steps))),
        "redis-om .save": each(lambda state: _filled(model, "one", state, next(steps)).save()),
    }
    durability = {"redis-om .save": f"{_SAME}; the peer keeps JSON, no index, no vector"}
    with suppress(ImportError):
        store = _langgraph(folder / "singles.db")
        name = "LangGraph SqliteStore.put"
        ways[name] = each(lambda state: store.put(("one",), str(next(steps)), state))
        durability[name] = (
            "ours: appended, synced once a second; the peer: SQLite synced at each, no vector"
        )
    with suppress(ImportError):
        adding = _mem0(folder)
        name = "mem0 add, infer=False"
        ways[name] = each(lambda state: adding(json.dumps(state), next(steps)))
        durability[name] = (
            "ours: appended, synced once a second; the peer: Qdrant in the process and SQLite, "
            "synced at each; the vector is ready"
        )
    costs = in_turn(ways, ROUNDS, client)
    for name, told in durability.items():
        what = f"a single store ({FEW * ROUNDS:,} of them), against {name}"
        yield figure(what, costs, None, (1e-3 * FEW, "us each"), plain=name), told


def _mem0(folder: Path) -> Callable[[str, int], object]:
    """mem0 without a language model: its vectors are ready, since ours are measured elsewhere."""
    os.environ |= {"MEM0_TELEMETRY": "False", "MEM0_DIR": str(folder / "mem0")}
    from mem0 import Memory  # noqa: PLC0415 - may be missing

    places = {"path": str(folder / "qdrant"), "embedding_model_dims": 384, "on_disk": True}
    unused = {"provider": "openai", "config": {"api_key": "unused"}}
    memory = Memory.from_config(
        {
            "vector_store": {"provider": "qdrant", "config": places},
            "history_db_path": str(folder / "mem0.db"),
            "llm": unused,
            "embedder": unused,
        }
    )
    vector = np.random.default_rng(0).normal(size=384).tolist()
    memory.embedding_model.embed = lambda *_, **__: vector

    def add(text: str, step: int) -> object:
        return memory.add(text, agent_id="one", metadata={"step": step}, infer=False)

    return add


# -- questions ------------------------------------------------------------------------------------


def _newest(memory: AgentMemorySystem, folder: Path) -> Compared:
    """The newest of an agent's entries, which the single stores left behind."""
    with suppress(ImportError):
        store = _langgraph(folder / "singles.db")
        ways: Ways = {
            "ours": _ready(
                lambda: [
                    memory.recall(agent_id="one", order=Order.NEWEST, limit=FOUND)
                    for _ in range(ASKED)
                ]
            ),
            "plain": _ready(
                lambda: [store.search(("one",), limit=FOUND) for _ in range(ASKED)],
            ),
        }
        name = f"newest {FOUND} of an agent, against LangGraph SqliteStore.search"
        yield figure(name, in_turn(ways, ROUNDS), None, (ASKED, "ms a question")), "reads"


def _collectors() -> Compared:
    """Mesa's own collector, of the same attributes as ours, in lists of the process."""
    from mesa import DataCollector  # noqa: PLC0415 - it takes a while
    from mesa.examples.advanced.wolf_sheep.model import WolfSheep  # noqa: PLC0415
    from mesa.experimental.devs import ABMSimulator  # noqa: PLC0415

    from agent_memory.integrations.mesa import MemoryCollector  # noqa: PLC0415

    with memory_and_client() as (memory, client, _):
        model = WolfSheep(seed=1, simulator=ABMSimulator())
        ours = MemoryCollector(model, memory)
        theirs = DataCollector(
            agent_reporters={
                "pos": lambda agent: agent.cell.coordinate,
                "energy": lambda agent: getattr(agent, "energy", None),
                "fully_grown": lambda agent: getattr(agent, "fully_grown", None),
                "kind": lambda agent: type(agent).__name__,
            }
        )

        def prepare() -> Callable[[], object]:
            model.step()
            return ours.collect

        ways: Ways = {"ours": prepare, "plain": _ready(lambda: theirs.collect(model))}
        costs = in_turn(ways, 3 * ROUNDS, client)
        name = f"MemoryCollector, WolfSheep of {len(model.agents)} agents, against DataCollector"
        durability = "ours: appended, synced once a second; the peer: none, lists of the process"
        yield figure(name, costs, None, plain="plain"), durability


def _near(folder: Path, rows: int) -> Compared:
    """The nearest in long-term memory, with their contents out of SQLite on either side."""
    states = trader_states(rows)
    with AgentMemorySystem(config_of(folder), upkeep=False) as memory:
        fill(memory, "large", rows)
        plain = Plain(folder / "agent_memory.db", states)
        encoder = VersionZero()
        places = np.random.default_rng(0).integers(0, rows, ASKED).tolist()
        some = [states[place] for place in places]
        turned = [Vector(encoder.carry(encoder.encode_one(state), 32)) for state in some]

        def ours(asked: list[Any]) -> Prepare:
            return _ready(
                lambda: [memory.recall(agent_id="large", near=one, limit=FOUND) for one in asked]
            )

        ways = {"a state": ours(some), "a Vector": ours(turned)}
        found: dict[str, Callable[[Any], object]] = {"NumPy, the matrix kept": plain.near}
        for name, search in peers(plain.matrix):
            found[name] = partial(_read, plain, search)
        for name, near in found.items():
            ways[name] = _ready(lambda near=near: [near(state) for state in some])  # type: ignore[misc]
        costs = in_turn(ways, ROUNDS)
    for name in found:
        for asked in ("a state", "a Vector"):
            what = f"near {asked} among {rows:,} rows, contents read, against {name}"
            row = figure(what, costs, None, (ASKED, "ms a question"), ours=asked, plain=name)
            yield row, "reads; the index of the peer is in the process"


def _read(plain: Plain, search: Callable[[Any], list[int]], state: dict[str, Any]) -> None:
    plain.read(search(plain.asked(state)))


def main() -> None:
    """Print each row, and write them if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help="put them into results.json")
    asked = parser.parse_args()
    os.environ |= ONE_THREAD
    rows = []
    for one, durability in compared():
        rows.append(Row.of(one, durability))
        print(f"{rows[-1].name}: {rows[-1].ratio} ({durability}; {rows[-1].note})", flush=True)
    if asked.write:
        written(rows, "peers")


if __name__ == "__main__":
    main()
