"""Time: in the default mode nothing expires unmoved, whatever the clock and the process do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_memory import AgentMemorySystem, MemoryConfig, Order, Query, Tier
from agent_memory.compression import CompressionEngine, ContentsCodec
from agent_memory.connections.redis import RedisChannel
from agent_memory.consolidation import Consolidation, Moves
from agent_memory.repositories.base import MemoryRepository
from agent_memory.repositories.in_memory import InMemoryRepository
from agent_memory.repositories.redis import ImRepository, StmRepository
from agent_memory.testing import an_entry
from agent_memory.testing.storing import everything
from tests import engines

DAY = 86_400.0
YEAR = 365 * DAY
AGES: dict[str, Any] = {"stm_config": {"ttl": int(DAY)}, "im_config": {"ttl": int(7 * DAY)}}


class Clock:
    """A clock that stands still unless it is set."""

    def __init__(self) -> None:
        self.now = 1.7e9

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=engines.REDIS_ENGINES)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """The configuration of a memory on each engine, empty."""
    match request.param:
        case "fakeredis":
            return {"engine": "fake", "path": tmp_path}
        case "embedded" | "embedded+modules":
            search = request.param == "embedded+modules"
            if search:
                engines.require_modules()
            return {"engine": "embedded", "path": tmp_path / "memory", "search": search}
    port = request.getfixturevalue(
        "tcp_port" if request.param == "tcp" else "redis_port_with_modules"
    )
    engines.tcp_client(port).flushall()
    password = quote(engines.PASSWORD, safe="")
    return {"redis_url": f"redis://:{password}@127.0.0.1:{port}", "path": tmp_path}


Opener = Callable[..., AgentMemorySystem]


@pytest.fixture
def opened(where: dict[str, Any], clock: Clock) -> Iterator[Opener]:
    """What opens the memory, any number of times; closed at the end."""
    systems: list[AgentMemorySystem] = []

    def open_with(**config: Any) -> AgentMemorySystem:
        systems.append(AgentMemorySystem(MemoryConfig(**where, **(AGES | config)), clock=clock))
        return systems[-1]

    yield open_with
    for system in systems:
        system.close()


def store(system: AgentMemorySystem, agent: str, *steps: int) -> None:
    for step in steps:
        assert system.store_agent_state(agent, {"step": step, "mood": f"m{step % 2}"}, step)


def standing(system: AgentMemorySystem, *agents: str) -> tuple[int, int, int]:
    """How many entries each tier holds, each entry once, and no key with a time to live."""
    for tier in (system.stm, system.im, system.ltm):
        everything(tier, "default")
    keys = [key for tier in (system.stm, system.im, system.ltm) for name in agents
            for key in tier.keys("default", name)]  # fmt: skip
    assert len(keys) == len(set(keys)), "an entry is in two tiers"
    client = system._resources.channels[0].client
    assert {client.pttl(key) for key in client.scan_iter(count=1_000)} <= {-1}
    stm, im, ltm = (tier.count("default") for tier in (system.stm, system.im, system.ltm))
    return stm, im, ltm


def remembered(system: AgentMemorySystem, agent: str) -> list[int]:
    """The steps of all that an agent remembers, having checked the contents."""
    hits = system.recall(Query(agent_id=agent, order=Order.STEP), touch=False)
    for hit in hits:
        step = hit.entry.step_number
        assert hit.entry.contents == {"step": step, "mood": f"m{step % 2}"}
    return [hit.entry.step_number for hit in hits]


def test_entries_of_idle_agents_move_on_and_none_expires(opened: Opener, clock: Clock) -> None:
    system = opened()
    store(system, "idle", *range(5))
    clock.now += DAY / 2
    store(system, "busy", *range(5))
    clock.now += DAY / 2 + 1
    assert system.maintain() == Moves(stm_to_im=5)
    assert standing(system, "idle", "busy") == (5, 5, 0)
    clock.now += 6 * DAY
    assert system.maintain() == Moves(5, 5)
    assert standing(system, "idle", "busy") == (0, 5, 5)
    clock.now += YEAR
    assert system.maintain() == Moves(0, 5)
    assert standing(system, "idle", "busy") == (0, 0, 10)
    assert remembered(system, "idle") == remembered(system, "busy") == list(range(5))


def test_entries_of_dead_agents_move_on_when_nobody_asks_for_them(
    opened: Opener, clock: Clock
) -> None:
    system = opened(cleanup_interval=1)
    store(system, "dead", *range(3))
    for day in range(30):
        clock.now += DAY
        store(system, "alive", day)
        if day == 15:
            system.maintain()
    system.maintain()
    assert standing(system, "dead", "alive")[2] == 3 + 30 - 8
    assert remembered(system, "dead") == list(range(3))
    assert remembered(system, "alive") == list(range(30))


def test_a_process_that_was_down_longer_than_every_age_loses_nothing_and_moves_all_at_once(
    opened: Opener, where: dict[str, Any], clock: Clock
) -> None:
    system = opened(indexed_attributes=("mood",))
    agents = [f"agent {number}" for number in range(20)]
    for agent in agents:
        store(system, agent, *range(7))
    if where.get("engine") == "fake":  # whose memory ends with the system
        clock.now += YEAR
        assert system.maintain() == Moves(140, 140)
    else:
        system.close()
        clock.now += YEAR
        # Opened for reading, nothing moves and everything is there.
        config = MemoryConfig(**where, **AGES, indexed_attributes=("mood",))
        with AgentMemorySystem(config, clock=clock, read_only=True) as beside:
            assert standing(beside, *agents) == (140, 0, 0)
        system = opened(indexed_attributes=("mood",))
        assert system.moves == Moves(140, 140)
    assert standing(system, *agents) == (0, 0, 140)
    assert all(remembered(system, agent) == list(range(7)) for agent in agents)
    assert system.maintain() == Moves()


@pytest.mark.parametrize("back", [3_600.0, 3 * DAY, YEAR, 40 * YEAR])
def test_a_clock_that_is_set_back_loses_doubles_and_hurries_nothing_and_nothing_is_stuck(
    opened: Opener, clock: Clock, back: float
) -> None:
    system = opened()
    store(system, "ant", *range(4))
    clock.now -= back
    store(system, "ant", *range(4, 8))
    assert system.maintain() == Moves()
    clock.now += DAY
    assert system.maintain() == Moves()
    clock.now += 3_601
    # Each was there for more than a day by now, as far as any clock can tell.
    assert system.maintain() == Moves(stm_to_im=8)
    assert standing(system, "ant") == (0, 8, 0)
    clock.now += 11 * DAY
    assert system.maintain() == Moves(im_to_ltm=8)
    assert standing(system, "ant") == (0, 0, 8)
    assert remembered(system, "ant") == list(range(8))


def test_a_clock_that_jumped_forward_and_back_leaves_nothing_stuck(
    opened: Opener, clock: Clock
) -> None:
    system = opened()
    store(system, "ant", *range(3))
    clock.now += 10 * YEAR
    store(system, "ant", *range(3, 6))
    clock.now -= 10 * YEAR
    store(system, "ant", *range(6, 9))
    assert system.maintain() == Moves()
    clock.now += DAY + 1
    assert system.maintain() == Moves(stm_to_im=9)
    clock.now += 7 * DAY + 1
    assert system.maintain() == Moves(im_to_ltm=9)
    assert standing(system, "ant") == (0, 0, 9)
    assert remembered(system, "ant") == list(range(9))


def test_what_came_while_a_note_holds_is_not_moved_for_its_age(
    opened: Opener, clock: Clock
) -> None:
    system = opened()
    clock.now += YEAR
    store(system, "ant", 0)
    clock.now -= YEAR
    system.maintain()
    # Another machine's clock is ahead by an hour, all the time.
    for step in range(1, 30):
        clock.now += 3_600
        store(system, "ant", step)
        clock.now -= 3_600
        system.maintain()
        # Each leaves when it is a day old, the first when it was there for a day.
        left = max(step - 25, 0)
        assert standing(system, "ant") == (step + 1 - left, left, 0)
        clock.now += 3_600
    assert remembered(system, "ant") == list(range(30))


def test_ages_in_steps_count_from_where_the_simulation_is(opened: Opener) -> None:
    system = opened(stm_config={"max_age_steps": 10}, cleanup_interval=1)
    store(system, "ant", *range(990, 1_000))
    store(system, "idle", 995)
    # A new episode counts its steps anew.
    store(system, "ant", *range(5))
    assert system.maintain() == Moves()
    assert standing(system, "ant", "idle") == (16, 0, 0)
    store(system, "ant", 1_006)
    assert system.maintain() == Moves(stm_to_im=1)
    assert remembered(system, "ant") == [*range(5), *range(990, 1_000), 1_006]


# -- any history of the clock -------------------------------------------------------------------

_SECONDS = st.sampled_from([1.0, 30.0, 99.0, 101.0, 400.0, 1e4, 1e7])
_HISTORY = st.lists(
    st.one_of(
        st.tuples(st.just("store"), st.sampled_from(["ant", "bee"])),
        st.tuples(st.sampled_from(["forward", "back"]), _SECONDS),
        st.tuples(st.just("upkeep"), st.none()),
    ),
    max_size=25,
)


@pytest.mark.parametrize("engine", ["in memory", "redis"])
@settings(max_examples=60, deadline=None)
@given(history=_HISTORY)
def test_whatever_the_clock_does_nothing_is_lost_or_doubled_and_nothing_stays_for_ever(
    engine: str, history: list[tuple[str, Any]]
) -> None:
    clock = Clock()
    channel = RedisChannel(engines.fake_client(), "fakeredis", in_process=True)
    stm: MemoryRepository = InMemoryRepository(Tier.STM)
    im: MemoryRepository = InMemoryRepository(Tier.IM)
    if engine == "redis":
        stm = StmRepository(channel, ContentsCodec(), namespace="stm", clock=clock)
        im = ImRepository(channel, ContentsCodec(), namespace="im", clock=clock)
    ltm = InMemoryRepository(Tier.LTM)
    config = MemoryConfig(stm_config={"ttl": 100}, im_config={"ttl": 200})
    consolidation = Consolidation(stm, im, ltm, CompressionEngine(), config, clock)
    stored = []
    for what, value in history:
        match what:
            case "store":
                stored.append(an_entry(agent_id=value, timestamp=clock.now))
                stm.add(stored[-1])
            case "forward":
                clock.now += value
            case "back":
                clock.now -= value
            case "upkeep":
                consolidation.consolidate("run", None, clock.now, None)
        keys = [entry.key for tier in (stm, im, ltm) for entry in everything(tier)]
        assert sorted(keys) == sorted(entry.key for entry in stored)
    # An age until they are noted, one until they leave, and the same once more for what the first
    # note did not speak of.
    for _ in range(5):
        consolidation.consolidate("run", None, clock.now, None)
        clock.now += 101
    assert stm.count("run") == 0
    for _ in range(5):
        consolidation.consolidate("run", None, clock.now, None)
        clock.now += 201
    assert im.count("run") == 0
    assert len(everything(ltm)) == len(stored)
