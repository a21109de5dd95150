"""No value that is accepted keeps others from moving: each type of docs/contents.md in every tier.

All of them lie in one memory, each under a declared path, before and after a code is fitted to
them; they are moved, coded again, checked, backed up and restored.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_memory import AgentMemorySystem, MemoryConfig, Query, Tier
from agent_memory.testing import same
from agent_memory.values.attributes import is_scalar, plain
from agent_memory.values.contents import pack, unpack
from tests import engines
from tests.values.test_contents import example_values

LIMITS: list[Any] = [
    *(10**5000, -(10**5000), 10**400, 2**1024, 2**63, -(2**63) - 1),
    *(np.timedelta64(3), np.timedelta64(3, "Y"), np.timedelta64(2**62, "as")),
    *(np.datetime64(2**62, "Y"), np.array([1, 2], "m8"), np.array(["NaT"], "m8")),
    *(dt.datetime(1, 1, 1, tzinfo=dt.UTC), dt.timedelta.max, dt.time.max, dt.date.min),
    *(decimal.Decimal("1e999999"), decimal.Decimal("sNaN"), decimal.Decimal(10**5000)),
    *(5e-324, 1.7e308, np.float32(3e38), np.uint64(2**64 - 1), complex(math.inf, math.nan)),
    *("\ud800", "a\0b", "x" * 5_000, b"\0" * 500, np.str_("\ud800\0"), np.bytes_(b"\0")),
    *({10**5000: 1}, {math.nan: 1}, {"\ud800": 1}, {"a.b": 1, "": 2}, {"x" * 70_000: 1}),
    *([np.timedelta64(1), np.timedelta64(1, "s")], np.zeros((3, 0), bool), list(range(3_000))),
]


def contents_of(value: Any) -> dict[str, Any]:
    return {"v": value, "w": {"v": value}}


@pytest.mark.parametrize("engine", engines.parameters(["fake", "embedded"], ["embedded"]))
def test_each_type_is_declared_trained_on_moved_and_backed_up(engine: Any, tmp_path: Path) -> None:
    def config(name: str) -> MemoryConfig:
        return MemoryConfig(
            path=tmp_path / name, engine=engine, search=False, indexed_attributes=("v", "w.v"),
            stm_config={"memory_limit": 1}, im_config={"memory_limit": 1}, cleanup_interval=10**6,
        )  # fmt: skip

    values = [*example_values(), *LIMITS]
    stored: dict[int, dict[str, Any]] = {}

    def store(system: AgentMemorySystem) -> None:
        for value in values:
            step = len(stored)
            assert system.store_agent_state("ant", contents_of(value), step)
            stored[step] = unpack(pack(contents_of(value)))

    def moved_and_found(system: AgentMemorySystem) -> None:
        system.maintain()
        counts = system.statistics()
        assert counts[Tier.STM].entries == counts[Tier.IM].entries == 1
        assert counts[Tier.LTM].entries == len(stored) - 2
        entries = {hit.entry.step_number: hit.entry for hit in system.recall(Query(agent_id="ant"))}
        for step, contents in stored.items():
            assert entries[step].error_bounds or same(dict(entries[step].contents), contents)
        assert not system.check().findings

    with AgentMemorySystem(config("first"), upkeep=False) as system:
        store(system)
        moved_and_found(system)
        for step, contents in stored.items():
            value = plain(contents["v"])
            if is_scalar(value):
                asked = Query(agent_id="ant", attributes={"w.v": value})
                assert step in {hit.entry.step_number for hit in system.recall(asked, touch=False)}
        system.train_encoder(network=False)
        store(system)
        moved_and_found(system)
        assert system.encoders.recode().left == 0
        moved_and_found(system)
        system.backup(tmp_path / "backup")
    if engine == "embedded":
        AgentMemorySystem.restore(tmp_path / "backup", config("second"))
        with AgentMemorySystem(config("second"), upkeep=False) as system:
            moved_and_found(system)


def test_an_int_of_more_digits_than_are_spelled_is_found_by_its_size(tmp_path: Path) -> None:
    config = MemoryConfig(
        path=tmp_path, engine="fake", indexed_attributes=("n",), cleanup_interval=10**6,
        stm_config={"memory_limit": 1}, im_config={"memory_limit": 1},
    )  # fmt: skip
    numbers = [3, 10**5000, -(10**5000), 10**400, 2**60, 5]
    with AgentMemorySystem(config, upkeep=False) as system:
        for step, number in enumerate(numbers):
            system.store_agent_state("ant", {"n": number}, step)
        system.maintain()
        asked: Any
        for asked in (*numbers, (0, 10), (0, 10**6000), (10**300, 10**4999), (-(10**6000), 0)):
            hits = system.recall(Query(agent_id="ant", attributes={"n": asked}), touch=False)
            least, greatest = asked if isinstance(asked, tuple) else (asked, asked)
            expected = {step for step, number in enumerate(numbers) if least <= number <= greatest}
            assert {hit.entry.step_number for hit in hits} == expected
