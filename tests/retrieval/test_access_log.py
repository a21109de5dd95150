"""A retrieval is counted once, whatever answer is lost while the counts are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import pytest
import redis

from agent_memory import AgentMemorySystem, Hit, InvalidEntry, Query, StoreUnavailable, Tier
from agent_memory.repositories.in_memory import InMemoryRepository
from agent_memory.retrieval.access_log import AccessLog
from agent_memory.testing import IoPoints
from agent_memory.testing.samples import an_entry
from agent_memory.values.entry import EntryKey
from tests import engines
from tests.memories import Opener, store

STEPS = 6  # of which each tier holds two
LIMITS = {"stm_config": {"memory_limit": 2}, "im_config": {"memory_limit": 2}}


def lose(where: str, *, with_server: bool) -> None:
    """End a request as a connection does that breaks before the answer has come.

    SQLite's commit ends in this process: there is no answer to lose.
    """
    if "redis" in where:
        raise redis.exceptions.ConnectionError("lost")
    if with_server or "after sql commit" not in where:
        raise StoreUnavailable("lost")


def flush(system: AgentMemorySystem, passed: Callable[[str], None]) -> None:
    """Write the counts, again after each error, as upkeep does."""
    channels = system._resources.connections.channels
    with IoPoints(passed) as points, points.operation("flush"):
        for _ in range(10):
            for channel in channels:
                channel.breaker.returned()  # nobody waits until it is worth asking again
            try:
                system._services.access_log.flush()
            except StoreUnavailable:
                continue
            return
    raise AssertionError("the counts cannot be written")


@pytest.mark.parametrize("in_a_row", [1, 5])
@engines.usually_on("embedded", "tcp and postgresql")
def test_a_retrieval_is_counted_once_whatever_answers_are_lost(
    open_memory: Opener, in_a_row: int
) -> None:
    system = open_memory(**LIMITS)
    store(system, "ant", *range(STEPS))
    system.maintain()
    assert [tier.count("default") for tier in system._resources.tiers] == [2, 2, 2]
    with_server = system.sql_engine.dialect.name == "postgresql"
    everything = Query(agent_id="ant")
    for point in count():
        passed = 0

        def at_the_point(where: str, point: int = point) -> None:
            nonlocal passed
            passed += 1
            if point < passed <= point + in_a_row:
                lose(where, with_server=with_server)

        before = {hit.entry.key: hit.entry for hit in system.recall(everything, touch=False)}
        system.recall(everything)
        flush(system, at_the_point)
        for hit in system.recall(everything, touch=False):
            counted = hit.entry.retrieval_count - before[hit.entry.key].retrieval_count
            assert counted == 1, f"{hit.tier.name}, point {point}"
        if passed <= point:
            break
    assert point > 8


def test_retrievals_of_a_long_outage_wait_in_a_bounded_number_of_batches() -> None:
    class Away(InMemoryRepository):
        is_away = True

        def touch(
            self, counts: Mapping[EntryKey, int], at: float, token: str | None = None
        ) -> list[EntryKey]:
            if self.is_away:
                raise StoreUnavailable("away")
            return super().touch(counts, at, token)

    tier = Away(Tier.STM)
    entry = an_entry()
    tier.add(entry)
    log = AccessLog([tier])
    for _ in range(100):
        log.record([Hit(entry, Tier.STM)], at=1.0)
        with pytest.raises(StoreUnavailable):
            log.flush()
    assert len(log._unwritten) < 20
    tier.is_away = False
    log.flush()
    assert tier.get(entry.key).retrieval_count == 100


@engines.usually_on("embedded", "tcp and postgresql")
def test_a_server_too_full_to_count_retrievals_is_read_all_the_same(
    open_memory: Opener,
) -> None:
    system = open_memory(**LIMITS)
    store(system, "ant", *range(STEPS))
    client = system._resources.connections.stm.client
    try:
        client.config_set("maxmemory", 1)
    except redis.exceptions.ResponseError:
        pytest.skip("fakeredis has no bound on its memory")
    try:
        query = Query(agent_id="ant")
        before = system.recall(query)
        system._services.access_log._waiting.update(dict.fromkeys(_keys(3_000), (1, Tier.STM)))
        assert len(system.recall(query)) == len(before) == STEPS
    finally:
        client.config_set("maxmemory", 0)
    system.maintain()
    assert system.recall(query)[0].entry.retrieval_count > 0


def _keys(count: int) -> list[EntryKey]:
    return [an_entry(memory_id=f"{number:032x}").key for number in range(count)]


def test_a_touch_that_is_no_truth_is_refused(open_memory: Opener) -> None:
    system = open_memory()
    odd: Any = "no"
    for asked in (
        lambda: system.recall(agent_id="ant", touch=odd),
        lambda: system.fetch("ant", "0" * 32, touch=odd),
        lambda: system.state_at("ant", 1, touch=odd),
    ):
        with pytest.raises(InvalidEntry, match="touch: True or False is needed"):
            asked()
