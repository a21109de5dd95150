"""Two agents remember one event under its id: each has an entry of its own, in every tier."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import pytest

from agent_memory import (
    AgentMemorySystem,
    EntryNotFound,
    MemoryConfig,
    MemoryEntry,
    Order,
    Query,
    Tier,
)
from agent_memory.testing.samples import a_memory_id, an_entry
from tests import engines
from tests.memories import Opener

AGENTS = ("buyer", "seller")
EVENTS = 6  # of which each tier holds two of each agent
LIMITS: dict[str, Any] = {
    "stm_config": {"memory_limit": 2},
    "im_config": {"memory_limit": 2},
    "cleanup_interval": 1_000,
}
on_every_engine = engines.usually_on("embedded", "tcp and postgresql")


def event(agent: str, number: int, **fields: Any) -> MemoryEntry:
    return an_entry(
        run_id="default",
        agent_id=agent,
        memory_id=a_memory_id(number),
        step_number=number,
        timestamp=time.time() + number,
        contents={"role": agent, "price": number},
        **fields,
    )


def trade(system: AgentMemorySystem, *agents: str) -> None:
    """Store the events, and let them move down."""
    for number in range(EVENTS):
        for agent in agents or AGENTS:
            system.stm.add(event(agent, number))
    system.maintain()
    if not agents:
        for number, tier in enumerate((Tier.LTM, Tier.IM, Tier.STM)):
            for agent in AGENTS:
                assert place_of(system, agent, 2 * number) is tier


def place_of(system: AgentMemorySystem, agent: str, number: int) -> Tier | None:
    hit = system.fetch(agent, a_memory_id(number), touch=False)
    return None if hit is None else hit.tier


def held(system: AgentMemorySystem, agent: str) -> dict[int, MemoryEntry]:
    """What an agent remembers, by the number of the event; all of it its own."""
    hits = system.recall(Query(agent_id=agent, order=Order.STEP), touch=False)
    found = {hit.entry.step_number: hit.entry for hit in hits}
    assert len(found) == len(hits)
    for number, entry in found.items():
        assert entry.contents == {"role": agent, "price": number}
    return found


@on_every_engine
def test_agents_that_share_ids_keep_all_of_theirs_on_the_way_down(open_memory: Opener) -> None:
    system = open_memory(**LIMITS)
    trade(system)
    for agent in AGENTS:
        assert [*held(system, agent)] == [*range(EVENTS)]
        for number in range(EVENTS):
            hit = system.fetch(agent, a_memory_id(number))
            assert hit is not None
            assert hit.entry.contents["role"] == agent
    system.maintain()
    assert {entry.retrieval_count for entry in held(system, "buyer").values()} == {1}
    assert system.check().findings == ()


@on_every_engine
def test_what_is_done_to_an_agents_entry_leaves_the_other_of_its_id_alone(
    open_memory: Opener,
) -> None:
    system = open_memory(**LIMITS)
    trade(system)
    untouched = held(system, "seller")
    buyer = system.get_memory_agent("buyer")
    for number in range(EVENTS):
        memory_id = a_memory_id(number)
        assert system.pin("buyer", memory_id).pinned
        assert system.unpin("buyer", memory_id).revision == 2
        assert system.set_importance("buyer", memory_id, 0.25).importance_score == 0.25
        system.fetch("buyer", memory_id)
    system.maintain()
    assert held(system, "seller") == untouched
    stores = (buyer.ltm_store, buyer.im_store, buyer.stm_store)
    for number, store in zip((0, 2, 4), stores, strict=True):
        assert store.delete(a_memory_id(number))
        assert not store.delete(a_memory_id(number))
    for number in (1, 3, 5):
        receipt = system.forget("buyer", memory_id=a_memory_id(number))
        assert (receipt.entries, receipt.agents, receipt.verified) == (1, ("buyer",), True)
        assert sum(receipt.removed.values()) == 1
    assert held(system, "buyer") == {}
    assert held(system, "seller") == untouched
    assert system.check().findings == ()


@on_every_engine
@pytest.mark.parametrize("number", [0, 2, 4], ids=["in ltm", "in im", "in stm"])
def test_an_id_that_only_another_has_is_nobodys_to_forget_or_change(
    open_memory: Opener, number: int
) -> None:
    system = open_memory(**LIMITS)
    trade(system)
    before, memory_id = held(system, "seller"), a_memory_id(number)
    system.forget("buyer", memory_id=memory_id)
    for whose, run in (("buyer", "default"), ("stranger", "default"), ("seller", "another")):
        receipt = system.forget(whose, run=run, memory_id=memory_id)
        assert (receipt.entries, receipt.agents, receipt.verified) == (0, (), True)
        assert not any(receipt.removed.values())
        view = system.run(run)
        assert view.fetch(whose, memory_id) is None
        with pytest.raises(EntryNotFound):
            view.pin(whose, memory_id)
    assert held(system, "seller") == before
    # What was forgotten for another keeps neither this one from moving nor new ones from coming.
    system.stm.add(event("seller", number + 100))
    system.stm.add(event("seller", number + 200))
    system.maintain()
    assert len(held(system, "seller")) == EVENTS + 2


@on_every_engine
def test_an_id_that_is_forgotten_for_all_is_forgotten_for_each_and_counted(
    open_memory: Opener,
) -> None:
    system = open_memory(**LIMITS)
    trade(system)
    for number, tier in ((0, "ltm"), (2, "im"), (4, "stm")):
        receipt = system.forget(memory_id=a_memory_id(number))
        assert (receipt.entries, receipt.agents) == (2, tuple(sorted(AGENTS)))
        assert receipt.removed[tier] == sum(receipt.removed.values()) == 2
    for agent in AGENTS:
        assert [*held(system, agent)] == [1, 3, 5]
    # The ids may come again.
    trade(system, "buyer")
    assert [*held(system, "buyer")] == [*range(EVENTS)]


@on_every_engine
def test_a_run_that_is_forgotten_takes_no_shared_id_of_another_along(open_memory: Opener) -> None:
    system = open_memory(**LIMITS)
    trade(system)
    night = system.run("night")
    for number in range(EVENTS):
        entry = event("seller", number)
        night.stm.add(MemoryEntry(**_fields(entry) | {"run_id": "night"}))
    night.maintain()
    assert system.forget("buyer").entries == EVENTS
    assert system.forget(run="night").entries == EVENTS
    assert [*held(system, "seller")] == [*range(EVENTS)]


def _fields(entry: MemoryEntry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in entry.__slots__}


@on_every_engine
def test_a_backup_holds_the_entries_of_both_and_what_was_forgotten_of_one(
    open_memory: Opener, tmp_path: Path
) -> None:
    system = open_memory(**LIMITS)
    trade(system)
    system.ltm.forget([event("buyer", 0).key], at=1.0)
    before = {agent: held(system, agent) for agent in AGENTS}
    assert [len(entries) for entries in before.values()] == [EVENTS - 1, EVENTS]
    receipt = system.backup(tmp_path / "saved")
    assert sum(receipt.entries.values()) == 2 * EVENTS - 1
    target = MemoryConfig(engine="embedded", search=False, path=tmp_path / "target", **LIMITS)
    restored = AgentMemorySystem.restore(tmp_path / "saved", target)
    assert restored.verified
    assert restored.entries == receipt.entries
    with AgentMemorySystem(target, upkeep=False) as found:
        assert {agent: held(found, agent) for agent in AGENTS} == before
        keys = [event(agent, 0).key for agent in AGENTS]
        assert found.ltm.forgotten(keys) == {keys[0]: None}
        assert found.check().findings == ()


def test_what_waits_for_two_agents_under_one_id_is_stored_for_both(tmp_path: Path) -> None:
    config = MemoryConfig(path=tmp_path / "memory", engine="embedded", search=False, **LIMITS)
    with AgentMemorySystem(config) as system:
        intake = system._resources.intake
        assert intake._spool is not None
        for agent, number in itertools.product(AGENTS, range(3)):
            intake._spool.put(event(agent, number), time.time())
        receipt = system.forget("buyer", memory_id=a_memory_id(0))
        assert (receipt.removed["spool"], receipt.entries, receipt.agents) == (1, 1, ("buyer",))
        # Forgotten for one after it was spooled: dropped for that one alone.
        system.ltm.forget([event("buyer", 1).key], at=time.time())
        intake.replay()
        assert [*held(system, "buyer")] == [2]
        assert [*held(system, "seller")] == [0, 1, 2]


@engines.usually_on("fakeredis")  # it waits to look again, on every engine
def test_a_check_tells_apart_what_was_forgotten_of_one_and_what_another_has(
    open_memory: Opener,
) -> None:
    system = open_memory(**LIMITS)
    trade(system)
    for number in (2, 4):
        system.ltm.forget([event("buyer", number).key], at=1.0)
    assert place_of(system, "buyer", 4) is Tier.STM
    report = system.check(repair=True)
    assert [finding.kind.value for finding in report.findings] == ["forgotten"] * 2
    assert system.check().findings == ()
    assert sorted(held(system, "buyer")) == [0, 1, 3, 5]
    assert sorted(held(system, "seller")) == [*range(EVENTS)]
