"""Many entries are stored by one call: in one request all that can be, and the rest is reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from agent_memory import (
    AgentMemorySystem,
    CommandRefused,
    InvalidEntry,
    MemoryClosed,
    MemoryConfig,
    MemoryType,
    Order,
    Query,
    Stored,
    StoreReadOnly,
)
from agent_memory.repositories.outcomes import Added
from agent_memory.repositories.redis.repository import RedisRepository
from agent_memory.system import bulk_storing
from agent_memory.testing import an_entry
from agent_memory.values.extent import Extent, measure
from tests import engines
from tests.memories import Opener

pytestmark = engines.usually_on("embedded")


@pytest.fixture
def opened(memory_config: dict[str, Any]) -> Iterator[Opener]:
    systems: list[AgentMemorySystem] = []

    def open_with(*, read_only: bool = False, **more: Any) -> AgentMemorySystem:
        whole = MemoryConfig(**memory_config, **more)
        systems.append(AgentMemorySystem(whole, read_only=read_only))
        return systems[-1]

    yield open_with
    for system in systems:
        system.close()


@pytest.fixture
def system(opened: Opener) -> AgentMemorySystem:
    return opened()


def steps_of(system: AgentMemorySystem, agent: str) -> list[int]:
    hits = system.recall(Query(agent_id=agent, order=Order.STEP), touch=False)
    return [hit.entry.step_number for hit in hits]


def the_one(system: AgentMemorySystem, agent: str) -> Any:
    (hit,) = system.recall(Query(agent_id=agent), touch=False)
    return hit.entry


def test_a_step_stores_what_single_stores_would(system: AgentMemorySystem) -> None:
    states = {f"ant-{number}": {"food": number / 2, "at": (number, 1)} for number in range(30)}
    stored = system.store_step(4, states, priority=0.5)
    assert stored
    assert [key.agent_id for key in stored.accepted] == list(states)
    for key in stored.accepted:
        alone = f"{key.agent_id} alone"
        assert system.store_agent_state(alone, states[key.agent_id], 4, 0.5)
        together, single = the_one(system, key.agent_id), the_one(system, alone)
        assert together.key == key
        assert together.contents == single.contents == states[key.agent_id]
        assert np.array_equal(together.embedding, single.embedding)
        for name in ("step_number", "memory_type", "importance_score", "encoder_version"):
            assert getattr(together, name) == getattr(single, name), name


def test_a_bad_state_is_told_by_its_agent_and_keeps_no_other_out(
    system: AgentMemorySystem,
) -> None:
    states: dict[str, Any] = {f"ant-{number}": {"food": number} for number in range(1_000)}
    states["ant-7"] = {"food": object()}
    states["ant-8"] = 3
    states["ant-9"] = {"deep": [[{"food": object()}]]}
    stored = system.store_step(0, states)
    assert not stored
    assert len(stored.accepted) == 997
    assert sorted(map(str, stored.refused)) == ["ant-7", "ant-8", "ant-9"]
    assert all(isinstance(error, InvalidEntry) for error in stored.refused.values())
    assert "contents.food" in str(stored.refused["ant-7"])
    assert "contents.deep[0][0].food" in str(stored.refused["ant-9"])
    assert [steps_of(system, agent) for agent in ("ant-6", "ant-7")] == [[0], []]


@dataclass
class Cow:
    mood: str


def test_priorities_types_and_kinds_of_data_are_those_of_single_stores(
    system: AgentMemorySystem,
) -> None:
    assert system.store_step(
        1, {1: Cow("calm"), 2: {"mood": "wild"}}, "action", {"1": 0.25, "2": 1}
    )
    first, second = the_one(system, "1"), the_one(system, "2")
    assert (first.memory_type, first.importance_score) == (MemoryType.ACTION, 0.25)
    assert (second.contents, second.importance_score) == ({"mood": "wild"}, 1.0)
    refused = system.store_step(2, {1: {"mood": "calm"}, 2: {"mood": "x"}}, priority={1: 2, 2: 1})
    assert "importance" in str(refused.refused["1"])
    assert [key.agent_id for key in refused.accepted] == ["2"]


def test_an_interaction_of_two_agents_is_one_call(system: AgentMemorySystem) -> None:
    met = {"kind": "trade", "price": 2.5}
    assert system.store_step(3, {"buyer": met, "seller": met}, type="interaction")
    for agent in ("buyer", "seller"):
        assert the_one(system, agent).memory_type is MemoryType.INTERACTION


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda system: system.store_step(-1, {"a": {}}), "step"),
        (lambda system: system.store_step("x", {"a": {}}), "step"),
        (lambda system: system.store_step(1, [("a", {})]), "data"),
        (lambda system: system.store_step(1, {"": {}}), "agent_id"),
        (lambda system: system.store_step(1, {1: {}, "1": {}}), "two of the keys"),
        (lambda system: system.store_step(1, {"a": {}}, "dream"), "memory_type"),
        (lambda system: system.store_step(1, {"a": {}, "b": {}}, priority={"a": 1}), "'b'"),
    ],
)
def test_what_has_no_meaning_is_refused_and_nothing_is_stored(
    system: AgentMemorySystem, call: Callable[[AgentMemorySystem], object], named: str
) -> None:
    with pytest.raises(InvalidEntry, match=named):
        call(system)
    assert system.stm.agents("default") == []


def test_what_may_be_stored_already_is_looked_for(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries under ids made for the call are not watched: those given, or sent again, are."""
    ways: list[str] = []
    is_refused = False
    for name in ("add_new", "add_many"):
        store = getattr(RedisRepository, name)

        def storing(
            self: RedisRepository, *given: Any, store: Any = store, way: str = name
        ) -> list[Added]:
            ways.append(way)
            added: list[Added] = store(self, *given)
            if is_refused and way == "add_new":
                raise CommandRefused("after a part was stored")
            return added

        monkeypatch.setattr(RedisRepository, name, storing)
    system = opened()
    states = {f"a{number}": {"n": number} for number in range(9)}
    assert system.store_step(1, states)
    unnamed = an_entry(run_id="default").to_dict()
    del unnamed["memory_id"]
    assert system.store_many([unnamed])
    assert ways == ["add_new", "add_new"]
    assert system.store_many([an_entry(run_id="default")])
    assert system.store_many([an_entry(run_id="default").to_dict()])
    assert ways[2:] == ["add_many", "add_many"]
    is_refused = True
    assert len(system.store_step(2, states).accepted) == 9
    assert ways[4:] == ["add_new", *["add_many"] * 9]
    assert steps_of(system, "a3") == [1, 2]


def test_contents_of_a_step_are_measured_once(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is checked is packed at once, so that nobody can change it in between."""
    seen: list[object] = []

    def measured(contents: object, *limits: int) -> Extent:
        seen.append(contents)
        return measure(contents, *limits)

    system = opened()
    monkeypatch.setattr("agent_memory.values.contents.measure", measured)
    states = {f"a{number}": {"n": number, "at": (number, 1)} for number in range(9)}
    assert system.store_step(1, states)
    assert seen == [*states.values()]
    monkeypatch.undo()
    assert {agent: the_one(system, agent).contents for agent in states} == states


def test_an_empty_step_stores_nothing(system: AgentMemorySystem) -> None:
    assert system.store_step(1, {}) == Stored()
    assert system.store_many([]) == Stored()


def test_entries_are_stored_as_they_are_and_bad_ones_are_told_by_their_place(
    system: AgentMemorySystem,
) -> None:
    given: list[Any] = [
        an_entry(run_id="default", agent_id="ant", step_number=5),
        an_entry(run_id="another", agent_id="ant", step_number=6),
        {"agent_id": "ant", "step_number": 7, "memory_type": "state", "contents": {"n": 1}},
        {"step_number": 8, "memory_type": "state", "contents": {"n": 1}},
        "no entry",
    ]
    stored = system.store_many(given)
    assert sorted(stored.refused) == [1, 3, 4]
    assert "run" in str(stored.refused[1])
    assert steps_of(system, "ant") == [5, 7]
    assert system.store_many(given[:1]).accepted == stored.accepted[:1]
    assert steps_of(system, "ant") == [5, 7]


def test_slices_are_stored_one_after_the_other(
    system: AgentMemorySystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_storing, "AT_ONCE", 7)
    stored = system.store_step(0, {f"ant-{number}": {"n": number} for number in range(30)})
    assert len(stored.accepted) == 30
    assert system.stm.count("default") == 30


def test_upkeep_is_counted_for_each_agent(opened: Opener) -> None:
    system = opened(stm_config={"memory_limit": 3}, cleanup_interval=2)
    for step in range(8):
        assert system.store_step(step, {"ant": {"n": step}, "bee": {"n": step}})
    for agent in ("ant", "bee"):
        assert system.stm.count("default", agent) == 3
        assert steps_of(system, agent) == list(range(8))


def test_with_steps_as_time_the_same_step_is_stored_once(opened: Opener) -> None:
    states = {"ant": {"n": 1}, "bee": {"n": 2}}
    for _ in range(2):
        system = opened(clock="steps")
        assert system.store_step(3, states)
        assert system.store_step(4, states)
        assert [steps_of(system, agent) for agent in states] == [[3, 4], [3, 4]]


def test_a_memory_that_is_closed_or_read_only_refuses(opened: Opener) -> None:
    system = opened()
    system.store_step(0, {"ant": {"n": 0}})
    system.close()
    with pytest.raises(MemoryClosed):
        system.store_step(1, {"ant": {"n": 1}})
    if system.config.engine == "fake":
        return  # which is gone once it is closed
    opened()
    with opened(read_only=True) as reader, pytest.raises(StoreReadOnly):
        reader.store_step(1, {"ant": {"n": 1}})


def test_with_steps_as_time_episodes_are_stored_as_by_single_stores(opened: Opener) -> None:
    alone, together = (opened(clock="steps", run_id=run) for run in ("alone", "together"))
    for episode in range(3):
        for step in (0, 1, 2, 5):
            states = {agent: {"episode": min(episode, 1), "n": step} for agent in ("ant", "bee")}
            assert together.store_step(step, states)
            for agent, state in states.items():
                assert alone.store_agent_state(agent, state, step)
    for agent in ("ant", "bee"):
        found = [
            [
                (hit.entry.timestamp, hit.entry.step_number, hit.entry.contents)
                for hit in system.recall(Query(agent_id=agent))
            ]
            for system in (alone, together)
        ]
        assert found[0] == found[1]
        assert len(found[0]) == 8
