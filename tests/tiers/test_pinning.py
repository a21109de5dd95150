"""Pinned entries stay in their tier, and keep nobody else from moving."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from agent_memory import AgentMemorySystem, Query, Tier
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.repositories.redis import scripts as redis_scripts
from agent_memory.repositories.redis.entries import HashMapper
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.tiers.consolidation import Moves
from tests import engines
from tests.memories import DAY, YEAR, Clock, Opener, remembered, store, tier_counts

LIMITS: dict[str, Any] = {
    "stm_config": {"memory_limit": 4, "ttl": int(DAY)},
    "im_config": {"memory_limit": 4, "ttl": int(7 * DAY)},
}


def ids(system: AgentMemorySystem, agent: str = "ant") -> dict[int, str]:
    hits = system.recall(Query(agent_id=agent), touch=False)
    return {hit.entry.step_number: hit.entry.memory_id for hit in hits}


def pin(system: AgentMemorySystem, agent: str, *steps: int) -> None:
    known = ids(system, agent)
    for step in steps:
        assert system.pin(agent, known[step]).pinned


def steps(system: AgentMemorySystem, agent: str = "ant") -> tuple[list[int], ...]:
    """The steps of an agent's entries, by tier."""
    return tuple(
        [entry.step_number for entry in tier.find(Query(run_id="default", agent_id=agent))]
        for tier in (system.stm, system.im, system.ltm)
    )


def test_over_a_limit_the_others_leave_and_the_pinned_stay_in_their_tiers(
    open_memory: Opener,
) -> None:
    system = open_memory(**LIMITS)
    store(system, "ant", *range(8))
    pin(system, "ant", 0, 3)
    assert system.maintain() == Moves(stm_to_im=4)
    assert steps(system) == ([0, 3, 6, 7], [1, 2, 4, 5], [])
    pin(system, "ant", 1)
    store(system, "ant", 8, 9, 10)
    assert system.maintain() == Moves(stm_to_im=3, im_to_ltm=3)
    assert steps(system) == ([0, 3, 9, 10], [1, 6, 7, 8], [2, 4, 5])
    assert remembered(system, "ant") == [*range(11)]
    tier_counts(system, "ant")


def test_a_tier_whose_entries_are_all_pinned_exceeds_its_limit_and_moves_none(
    open_memory: Opener,
) -> None:
    system = open_memory(**LIMITS)
    store(system, "ant", *range(6))
    pin(system, "ant", *range(6))
    assert system.maintain() == Moves()
    store(system, "ant", 6, 7)
    assert system.maintain() == Moves(stm_to_im=2)
    assert steps(system) == ([*range(6)], [6, 7], [])


def test_an_entry_that_is_unpinned_leaves_with_the_next_upkeep_if_it_is_due(
    open_memory: Opener, clock: Clock
) -> None:
    system = open_memory(**LIMITS)
    store(system, "ant", *range(3))
    pin(system, "ant", 0, 1)
    clock.now += YEAR
    assert system.maintain() == Moves(stm_to_im=1, im_to_ltm=1)
    assert system.maintain() == Moves()
    assert steps(system) == ([0, 1], [], [2])
    system.unpin("ant", ids(system)[0])
    assert system.maintain() == Moves(stm_to_im=1, im_to_ltm=1)
    assert steps(system) == ([1], [], [0, 2])


def test_age_in_steps_moves_no_pinned_entry(open_memory: Opener) -> None:
    system = open_memory(stm_config={"max_age_steps": 10}, im_config={"max_age_steps": 20})
    store(system, "ant", *range(5))
    pin(system, "ant", 0, 4)
    store(system, "bee", 100)
    assert system.maintain() == Moves(stm_to_im=3, im_to_ltm=3)
    assert steps(system) == ([0, 4], [], [1, 2, 3])


def test_a_clock_that_is_set_back_moves_no_pinned_entry(open_memory: Opener, clock: Clock) -> None:
    system = open_memory(**LIMITS)
    clock.now += YEAR
    store(system, "ant", 0, 1)
    pin(system, "ant", 0)
    clock.now -= YEAR
    for _ in range(4):
        system.maintain()
        clock.now += 2 * DAY
    assert steps(system) == ([0], [1], [])


def test_the_least_important_leave_first_but_for_those_that_are_pinned(
    open_memory: Opener,
) -> None:
    system = open_memory(**LIMITS, demote_first="least_important")
    for step, importance in enumerate((0.1, 0.9, 0.2, 0.8, 0.3, 0.7)):
        assert system.store_agent_state(
            "ant", {"step": step, "mood": f"m{step % 2}"}, step, importance
        )
    pin(system, "ant", 0, 1)
    assert system.maintain() == Moves(stm_to_im=2)
    assert steps(system)[:2] == ([0, 1, 3, 5], [2, 4])
    # Setting the importance says who is next.
    system.set_importance("ant", ids(system)[3], 0.05)
    store(system, "ant", 6)
    assert system.maintain() == Moves(stm_to_im=1)
    assert steps(system)[:2] == ([0, 1, 5, 6], [2, 3, 4])


@engines.usually_on("embedded")
def test_a_bound_on_the_servers_memory_moves_no_pinned_entry(open_memory: Opener) -> None:
    system = open_memory(redis_max_bytes=1)
    budget = system._run.budget
    assert budget is not None
    budget.used = lambda: 0
    store(system, "ant", *range(600))
    pin(system, "ant", 0, 550)
    budget.used = lambda: 2  # never enough, whatever moves
    system.maintain()
    assert steps(system)[:2] == ([0, 550], [])
    assert tier_counts(system, "ant") == (2, 0, 598)
    assert system.maintain() == Moves()


DROP: dict[str, Any] = {**LIMITS, "on_expiry": "drop"}


def test_a_pinned_entry_over_its_age_is_not_dropped_and_every_question_shows_it(
    open_memory: Opener, clock: Clock
) -> None:
    system = open_memory(**DROP)
    store(system, "ant", *range(4))
    pin(system, "ant", 0, 2)
    clock.now += DAY + 1
    store(system, "ant", 4)
    for maintained in (False, True):
        if maintained:
            assert system.maintain() == Moves(dropped=2)
        assert [*ids(system)] == [0, 2, 4]
        newest = system.recall(Query(agent_id="ant", order="newest", limit=2))  # type: ignore[arg-type]  # text becomes an order
        assert [hit.entry.step_number for hit in newest] == [4, 2]
        unpinned = system.recall(Query(agent_id="ant", pinned=False))
        assert [hit.entry.step_number for hit in unpinned] == [4]
        alike = system.recall(Query(agent_id="ant"), near={"step": 0, "mood": "m0"})
        assert sorted(hit.entry.step_number for hit in alike) == [0, 2, 4]
        assert system.get_memory_agent("ant").stm_store.count() == 3
        assert system.fetch("ant", ids(system)[0]) is not None
    system.unpin("ant", ids(system)[0])
    assert [*ids(system)] == [2, 4]
    assert system.maintain() == Moves(dropped=1)
    assert tier_counts(system, "ant") == (2, 0, 0)


def test_an_entry_that_is_pinned_at_the_moment_it_would_be_dropped_stays(
    open_memory: Opener, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = open_memory(**DROP)
    store(system, "ant", *range(3))
    known = ids(system)
    clock.now += DAY - 1
    removing = RedisChannel.run

    def late(channel: RedisChannel, script: Any, *given: Any, **options: Any) -> Any:
        if script is redis_scripts.REMOVE:
            monkeypatch.undo()
            clock.now -= 2
            system.pin("ant", known[1])
            clock.now += 2
        return removing(channel, script, *given, **options)

    clock.now += 2
    monkeypatch.setattr(RedisChannel, "run", late)
    assert system.maintain() == Moves(dropped=2)
    assert [*ids(system)] == [1]
    assert tier_counts(system, "ant") == (1, 0, 0)


def test_an_entry_that_is_pinned_while_it_moves_down_stays_and_leaves_no_copy_below(
    open_memory: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = open_memory(stm_config={"memory_limit": 1}, im_config={"memory_limit": 1})
    store(system, "ant", *range(4))
    known = ids(system)
    taking = LtmRepository.take_over

    def late(repository: LtmRepository, *given: Any) -> Any:
        outcome = taking(repository, *given)
        monkeypatch.undo()
        system.pin("ant", known[0])
        return outcome

    monkeypatch.setattr(LtmRepository, "take_over", late)
    system.maintain()
    assert steps(system) == ([3], [0], [1, 2])
    assert tier_counts(system, "ant") == (1, 1, 2)


def test_a_copy_below_that_a_crash_left_of_an_entry_that_was_pinned_since_is_settled(
    open_memory: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = open_memory(stm_config={"memory_limit": 1}, im_config={"memory_limit": 1})
    store(system, "ant", *range(3))
    known = ids(system)

    class Crash(BaseException):
        pass

    def crash(*_: object) -> None:
        raise Crash

    monkeypatch.setattr(type(system.im), "remove_copied", crash)
    with pytest.raises(Crash):
        system.maintain()
    monkeypatch.undo()
    assert steps(system)[2] == [0]
    system.pin("ant", known[0])
    system.maintain()
    assert steps(system) == ([2], [0], [1])
    assert tier_counts(system, "ant") == (1, 1, 1)


def test_upkeep_reads_no_pinned_entry(open_memory: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    system = open_memory(stm_config={"memory_limit": 250}, cleanup_interval=10_000)
    store(system, "ant", *range(250))
    pin(system, "ant", *range(200))
    store(system, "ant", *range(250, 255))
    read: list[Any] = []
    one, many = HashMapper.decode, HashMapper.decode_many

    def counted_one(mapper: HashMapper, values: Any) -> Any:
        read.append(values)
        return one(mapper, values)

    def counted(mapper: HashMapper, replies: Any) -> Any:
        replies = [values for values in replies if any(values)]
        read.extend(replies)
        return many(mapper, replies)

    monkeypatch.setattr(HashMapper, "decode", counted_one)
    monkeypatch.setattr(HashMapper, "decode_many", counted)
    assert system.maintain() == Moves(stm_to_im=5)
    assert len(read) == 5
    assert system.maintain() == Moves()
    assert len(read) == 5


def test_a_pinned_entry_is_forgotten_like_any_other(open_memory: Opener) -> None:
    system = open_memory(**LIMITS)
    store(system, "ant", *range(12))
    pin(system, "ant", 0)
    system.maintain()
    pin(system, "ant", *range(12))
    known = ids(system)
    assert system.forget("ant", memory_id=known[0]).entries == 1
    assert system.forget(query=Query(agent_id="ant", pinned=True, limit=3)).entries == 3
    assert system.get_memory_agent("ant").clear_memory() is True
    assert tier_counts(system, "ant") == (0, 0, 0)
    client = system._resources.connections.stm.client
    assert not [key for key in client.scan_iter(count=1_000) if b"/ant}" in key]


def test_a_pin_outlives_the_process(open_memory: Opener) -> None:
    with open_memory(**LIMITS) as system:
        if system.redis_engine.kind == "fake":
            pytest.skip("a fake server is its opener's own")
        store(system, "ant", *range(12))
        pin(system, "ant", 0)
        system.maintain()
        pin(system, "ant", 1)
    again = open_memory(**LIMITS)
    pinned = again.recall(Query(agent_id="ant", pinned=True))
    assert [(hit.entry.step_number, hit.tier) for hit in pinned] == [(0, Tier.STM), (1, Tier.LTM)]


def test_the_models_tell_what_is_pinned(open_memory: Opener) -> None:
    system = open_memory(**LIMITS)
    store(system, "ant", *range(12))
    pin(system, "ant", 0)
    system.maintain()
    pin(system, "ant", 1)
    entry = system.models.LtmEntry
    with system.sql_engine.connect() as connection:
        found = connection.execute(select(entry.step_number).where(entry.pinned)).scalars().all()
        assert found == [1]
        rows = connection.execute(select(entry.pinned, entry.embedding_coding)).all()
    assert sorted(row[0] for row in rows).count(True) == 1
    assert {row[1] for row in rows} == {1}
    if system.redis_engine.has_query_engine:
        model = system.models.StmEntry
        reported = {
            one.step_number: one.pinned for one in model.find(model.agent_id == "ant").all()
        }
        assert reported.pop(0) is True
        assert not any(reported.values())
