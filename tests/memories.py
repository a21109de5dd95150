"""A memory on each engine, opened with a clock that tests set, and looks into all of its tiers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from sqlalchemy import event

from agent_memory import AgentMemorySystem, MemoryEntry, Order, Query
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.repositories.in_memory import InMemoryRepository
from agent_memory.repositories.sql import plans
from agent_memory.testing.questions import random_entries

DAY = 86_400.0
YEAR = 365 * DAY
AGES: dict[str, Any] = {"stm_config": {"ttl": int(DAY)}, "im_config": {"ttl": int(7 * DAY)}}

Opener = Callable[..., AgentMemorySystem]


any_path = pytest.mark.filterwarnings("ignore:attributes:UserWarning")
"""For tests of random questions, some of them about paths that few entries have."""


class Clock:
    """A clock that stands still unless it is set."""

    def __init__(self) -> None:
        self.now = 1.7e9

    def __call__(self) -> float:
        return self.now


def store(system: AgentMemorySystem, agent: str, *steps: int) -> None:
    for step in steps:
        assert system.store_agent_state(agent, {"step": step, "mood": f"m{step % 2}"}, step)


def tier_counts(system: AgentMemorySystem, *agents: str) -> tuple[int, int, int]:
    """How many entries each tier holds, each entry once, and no key with a time to live."""
    tiers = system.stm, system.im, system.ltm
    for tier in tiers:
        for name in tier.agents("default"):
            # The contract looks in more ways, each of which reads all entries again.
            found = tier.find(Query(run_id="default", agent_id=name, limit=None))
            assert {entry.key for entry in found} == {*tier.keys("default", name)}
            assert 0 < len(found) == tier.count("default", name)
    keys = [key for tier in tiers for name in agents for key in tier.keys("default", name)]
    assert len(keys) == len(set(keys)), "an entry is in two tiers"
    client = system._resources.connections.stm.client
    assert {client.pttl(key) for key in client.scan_iter(count=1_000)} <= {-1}
    stm, im, ltm = (tier.count("default") for tier in tiers)
    return stm, im, ltm


def remembered(system: AgentMemorySystem, agent: str) -> list[int]:
    """The steps of all that an agent remembers, having checked the contents."""
    hits = system.recall(Query(agent_id=agent, order=Order.STEP), touch=False)
    for hit in hits:
        step = hit.entry.step_number
        assert hit.entry.contents == {"step": step, "mood": f"m{step % 2}"}
    return [hit.entry.step_number for hit in hits]


def lay_out(
    memory: AgentMemorySystem,
    entries: Iterable[MemoryEntry],
    rng: random.Random,
    places: Sequence[int] = (0, 1, 2),
) -> None:
    """Put each entry into one of some tiers, and one in five into the tier below too, as it moves.

    Args:
        memory: Whose tiers.
        entries: The entries.
        rng: The source of chance.
        places: The tiers, 0 for short-term memory.
    """
    tiers = memory.stm, memory.im, memory.ltm
    for entry in entries:
        place = rng.choice(places)
        for tier in tiers[place : place + 1 + (rng.random() < 0.2)]:
            tier.add(entry)


def laid_out(
    memory: AgentMemorySystem, rng: random.Random, places: Sequence[int] = (0, 1, 2)
) -> InMemoryRepository:
    """Put random entries into some tiers, as ``lay_out`` does, and into the reference given."""
    entries = random_entries(rng)
    reference = InMemoryRepository()
    reference.add_many(entries)
    lay_out(memory, entries, rng, places)
    return reference


def requests_of(
    memory: AgentMemorySystem, monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]
) -> tuple[int, int]:
    """How many requests to the server and how many statements some work needs."""
    sent: list[object] = []
    exchange = RedisChannel._exchange_once

    def counted(channel: RedisChannel, commands: Any) -> list[Any]:
        sent.append(channel)
        return exchange(channel, commands)

    def executed(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    read = plans.rows_by_driver

    def read_by_driver(connection: Any, text: str, *given: Any) -> Any:
        statements.append(text)
        return read(connection, text, *given)

    ask = plans.rows_by_psycopg

    def asked(connection: Any, text: str, *given: Any) -> Any:
        statements.append(text)
        return ask(connection, text, *given)

    statements: list[str] = []
    event.listen(memory.sql_engine, "before_cursor_execute", executed)
    with monkeypatch.context() as patch:
        patch.setattr(RedisChannel, "_exchange_once", counted)
        patch.setattr(plans, "rows_by_driver", read_by_driver)
        patch.setattr(plans, "rows_by_psycopg", asked)
        work()
    event.remove(memory.sql_engine, "before_cursor_execute", executed)
    return len(sent), sum(statement.startswith("SELECT") for statement in statements)
