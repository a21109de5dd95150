"""What a simulation hands over, at its worst: a typed error or a right result, within bounds."""

from __future__ import annotations

import dataclasses
import enum
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from agent_memory import (
    AgentMemorySystem,
    AutoencoderEmbeddingEngine,
    MemoryConfig,
    MemoryStoreError,
    Query,
    Vector,
    VectorStore,
)
from agent_memory.errors import ConfigError, InvalidEntry
from agent_memory.values.contents import MAX_DEPTH, pack, unpack
from agent_memory.values.quoting import quoted
from tests.engines import parameters


@pytest.fixture(scope="module")
def system() -> Iterator[AgentMemorySystem]:
    limits: dict[str, Any] = {
        "stm_config": {"memory_limit": 2},
        "im_config": {"memory_limit": 1},
        "cleanup_interval": 2,
        "max_entry_bytes": 1_000_000,
        "indexed_attributes": ("v",),
    }
    with AgentMemorySystem(MemoryConfig(engine="fake", **limits)) as system:
        for step in range(8):
            system.store_agent_state("there", {"v": step}, step)
        yield system


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def shared(levels: int) -> list[Any]:
    value = [1]
    for _ in range(levels):
        value = [value, value]  # type: ignore[list-item]
    return value


def cyclic() -> list[Any]:
    value: list[Any] = []
    value += [value, value]
    return value


HUGE = 10**5_000


class Fails:
    """An object whose every look at it raises."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class FailsToTell:
    def __repr__(self) -> str:
        raise RuntimeError("repr")


class FailsToList(dict[str, Any]):
    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("iter")

    def items(self) -> Any:
        raise RuntimeError("items")

    def values(self) -> Any:
        raise RuntimeError("values")


class LiesOfItsLength(dict[str, Any]):
    def __len__(self) -> int:
        return 10**12


class Endless(Mapping[int, int]):
    def __getitem__(self, key: int) -> int:
        return key

    def __iter__(self) -> Iterator[int]:
        key = 0
        while True:
            yield key
            key += 1

    def __len__(self) -> int:
        return 1


class FailsToCount(int):
    def __int__(self) -> int:
        raise RuntimeError("int")

    def __repr__(self) -> str:
        raise RuntimeError("repr")


class Executes:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("something was executed",))


@dataclasses.dataclass
class FailsToGive:
    field: int = 1

    def __getattribute__(self, name: str) -> Any:
        if name == "field":
            raise OSError("no such field")
        return super().__getattribute__(name)


class Named(enum.Enum):
    X = "x"


REFUSED: dict[str, Any] = {
    "cyclic": cyclic(),
    "1,000 deep": nested(1_000),
    "100,000 deep": nested(100_000),
    "lists that share their parts": shared(60),
    "a list a million times": [[0] * 1_000] * 1_000_000,
    "a text 10,000 times": ["x" * 1_000_000] * 10_000,
    "an array that repeats a number": np.broadcast_to(np.float32(0), (10**6, 10**6)),
    "50 MB of text": "x" * 50_000_000,
    "50 MB of bytes": b"x" * 50_000_000,
    "an endless mapping": Endless(),
    "an object that fails": Fails(),
    "no repr": FailsToTell(),
    "no items": FailsToList(a=1),
    "no field": FailsToGive(),
    "what pickle would execute": Executes(),
    "an array of such": np.array([Executes()], object),
    "a generator": (step for step in [1]),
    "keys that become one": {Named.X: 1, "x": 2},
}


@pytest.mark.parametrize(
    "name", parameters([*REFUSED], REFUSED.keys() - {"lists that share their parts"})
)
def test_what_cannot_be_stored_is_refused_in_bounded_memory_and_leaves_nothing(
    system: AgentMemorySystem, name: str
) -> None:
    value = REFUSED[name]
    tracemalloc.start()
    try:
        with pytest.raises(InvalidEntry):
            system.store_agent_state("nobody", {"v": value}, 1)
        with pytest.raises(InvalidEntry):
            system.recall(Query(agent_id="there"), near={"v": value})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100 * 1024 * 1024
    assert system.recall(Query(agent_id="nobody")) == []


STORED: dict[str, tuple[Any, Any]] = {
    "as deep as may be": (nested(MAX_DEPTH - 2), nested(MAX_DEPTH - 2)),
    "NULs": ("\0a\0", "\0a\0"),
    "a lone surrogate": ("\ud800", "\ud800"),
    "an int of 5,000 digits": (HUGE, HUGE),
    "such a key": ({HUGE: 1}, {HUGE: 1}),
    "such a member": ({-HUGE}, {-HUGE}),
    "a length that lies": (LiesOfItsLength(a=1), {"a": 1}),
    "shared but small": (shared(5), shared(5)),
    "arrays without bytes": (np.zeros((0, 10**9), np.int8), np.zeros((0, 10**9), np.int8)),
}


@pytest.mark.parametrize("name", STORED)
def test_what_is_odd_but_sound_comes_back(system: AgentMemorySystem, name: str) -> None:
    (value, expected), agent = STORED[name], name
    assert system.store_agent_state(agent, {"v": value}, 1)
    (hit,) = system.recall(Query(agent_id=agent), near={"v": 1})
    if isinstance(expected, np.ndarray):
        assert hit.entry.contents["v"].shape == expected.shape
    else:
        assert hit.entry.contents["v"] == expected


def test_whatever_depth_is_accepted_can_be_read_back() -> None:
    # One version of MessagePack packs 1,023 levels and unpacks 1,022.
    for levels in (*range(490, 530), *range(1_010, 1_030)):
        contents = {"v": nested(levels)}
        try:
            packed = pack(contents)
        except InvalidEntry:
            continue
        assert unpack(packed) == contents


ODD: dict[str, Any] = {
    "huge": HUGE, "negative": -HUGE, "beyond any double": 10**400,
    "no repr": FailsToTell(), "no int": FailsToCount(3), "nan": float("nan"), "inf": float("inf"),
    "none": None, "text": "x", "surrogate": "\ud800", "nul": "\0", "list": [1], "dict": {},
    "bytes": b"a", "array": np.array([1, 2]), "complex": 1j, "no items": FailsToList(a=1),
    "cyclic": cyclic(), "long": "x" * 2_000, "glob": "*?[a]:{}",
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_every_argument_is_taken_or_refused_by_a_typed_error(
    system: AgentMemorySystem, name: str
) -> None:
    value = ODD[name]
    agent = system.get_memory_agent("there")
    pair: Any
    calls: list[Any] = [
        lambda: system.store_agent_state(value, {"v": 1}, 1),
        lambda: system.store_agent_state("odd", value, 1),
        lambda: system.store_agent_state("odd", {"v": 1}, value),
        lambda: system.store_agent_state("odd", {"v": 1}, 1, value),
        lambda: system.recall(Query(agent_id="there"), near=value),
        lambda: system.recall(Query(agent_id="there"), near=Vector([value] * 32)),
        lambda: system.recall(Query(agent_id="there", attributes={"v": value})),
        lambda: system.recall(Query(agent_id="there", attributes={"v": (0, value)})),
        lambda: system.fetch("there", value),
        lambda: system.forget("nobody", memory_id=value),
        lambda: system.reconstruct(value),
        lambda: AgentMemorySystem.open(value, read_only=True),
        lambda: AgentMemorySystem.restore(value, {"engine": "fake"}),
        lambda: AgentMemorySystem.restore("there is none", value),
        lambda: system.train_encoder(value, epochs=1, network=False, activate=False),
        lambda: VectorStore(2).load(value),
        lambda: AutoencoderEmbeddingEngine().load_model(value),
    ]
    calls += [
        lambda field=field: Query(**{"agent_id": "there", field: value})
        for field in ("agent_id", "run_id", "limit", "memory_type", "order")
    ]
    for field in ("steps", "times", "importance"):
        for pair in (value, (0, value), (value, 1)):
            calls.append(
                lambda field=field, pair=pair: system.recall(
                    Query(**{"agent_id": "there", field: pair})
                )
            )
    for store in (agent.stm_store, agent.im_store, agent.ltm_store):
        calls += [store.get, store.get_by_step, store.get_recent, store.delete, store.store]
    reported: list[int] = []
    for call in calls:
        try:
            call(value) if getattr(call, "__self__", None) is not None else call()
        except MemoryStoreError as error:
            reported.append(len(str(error)))
    assert max(reported, default=0) < 5_000
    assert system.recall(Query(agent_id="there", limit=3)), "the others are there"


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize(
    "part", ["", "stm_config", "im_config", "ltm_config", "autoencoder_config"]
)
def test_every_setting_is_taken_or_refused_by_a_typed_error(part: str, name: str) -> None:
    value = ODD[name]
    kind: Any = MemoryConfig
    if part:
        kind = MemoryConfig.model_fields[part].annotation
    reported: list[int] = []
    for field in kind.model_fields:
        given = {part: {field: value}} if part else {field: value}
        try:
            MemoryConfig(**given)
        except ConfigError as error:
            reported.append(len(str(error)))
    assert max(reported, default=0) < 5_000


@pytest.mark.long
def test_numbers_that_would_end_the_process_in_the_driver_never_get_there() -> None:
    # hiredis ends the process by a segmentation fault when it packs such an int.
    code = (
        "from agent_memory import *\n"
        "for given in ({'stm_config': {'db': 10**5000}, 'im_config': {'db': 10**5000}},):\n"
        "    try: AgentMemorySystem(MemoryConfig(engine='fake', **given))\n"
        "    except ConfigError: print('refused')\n"
        "try: MemoryEntry(memory_id='0'*32, run_id='r', agent_id='a', step_number=1, timestamp=1.0,"
        " memory_type='state', contents={}, revision=10**5000)\n"
        "except InvalidEntry: print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "refused\nrefused\n"), done.stderr


NO_FILES: dict[str, Any] = {
    "none": None, "number": 5, "bytes": b"x", "NUL": "a\0b", "half a character": "\ud800",
    "fails": Fails(),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_FILES)
def test_a_file_that_no_system_has_and_what_is_no_configuration_are_refused(
    system: AgentMemorySystem, name: str
) -> None:
    value = NO_FILES[name]
    calls: list[Callable[[], object]] = [
        lambda: VectorStore(2).save(value),
        lambda: VectorStore(2).load(value),
        lambda: AutoencoderEmbeddingEngine().save_model(value),
        lambda: AutoencoderEmbeddingEngine().load_model(value),
        lambda: system.backup(value),
        lambda: AgentMemorySystem.restore(value, {"engine": "fake"}),
        *([] if name == "none" else [lambda: AgentMemorySystem(value)]),
    ]
    for call in calls:
        with pytest.raises(ConfigError):
            call()


def test_quoting_takes_anything() -> None:
    assert quoted("x" * 500) == "'" + "x" * 79
    assert quoted(HUGE) == "an object of type int"
    assert quoted(Fails()).startswith(("an object of type Fails", "<"))
