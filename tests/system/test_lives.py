"""Generated lives under ``clock="steps"``: what was acknowledged is there once, with its contents.

The rule that they are held against is that of docs/guarantees.md: an entry is what an agent stored
as the n-th thing of a step that it came to, with its contents.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, example, given, settings

from agent_memory import (
    AgentMemorySystem,
    EntryConflict,
    InvalidEntry,
    MemoryConfig,
    Order,
    Query,
)
from agent_memory.values.entry import MemoryType
from tests import engines

RUNS, AGENTS, KINDS = ("default", "other"), ("ant", "bee"), tuple(MemoryType)
SMALL: dict[str, Any] = {
    "clock": "steps",
    "stm_config": {"memory_limit": 4},
    "im_config": {"memory_limit": 3},
    "cleanup_interval": 3,
    "logging_level": "ERROR",
}


class Live(NamedTuple):
    """Some steps of an agent's life, each with a few things to remember."""

    run: str
    agent: str
    first: int
    steps: int
    contents: tuple[tuple[MemoryType, int], ...]


class Restart(NamedTuple):
    """Another process goes on."""


class RollBack(NamedTuple):
    """A run is rolled back to a step."""

    run: str
    step: int


class Maintain(NamedTuple):
    """Upkeep."""


Event = Live | Restart | RollBack | Maintain
THINGS = st.tuples(st.sampled_from(KINDS), st.integers(0, 2))
EVENTS = st.one_of(
    st.builds(
        Live,
        st.sampled_from(RUNS),
        st.sampled_from(AGENTS),
        st.integers(0, 5),
        st.integers(1, 6),
        st.lists(THINGS, min_size=1, max_size=3).map(tuple),
    ),
    st.builds(Restart),
    st.builds(RollBack, st.sampled_from(RUNS), st.integers(0, 6)),
    st.builds(Maintain),
)
STATE, ACTION = (MemoryType.STATE, 0), (MemoryType.ACTION, 1)
EPISODE = Live("default", "ant", 0, 6, (STATE, ACTION))


class Known(NamedTuple):
    """What names an entry."""

    run: str
    agent: str
    step: int
    ordinal: int
    kind: MemoryType
    value: int


class Oracle:
    """What is to be found."""

    def __init__(self) -> None:
        self.entries: set[Known] = set()
        self._visits: dict[tuple[str, str], tuple[int, Iterator[int]]] = {}

    def stored(self, run: str, agent: str, step: int, kind: MemoryType, value: int) -> bool:
        """Note an entry; says whether it is new."""
        at, ordinals = self._visits.get((run, agent), (-1, itertools.count()))
        if at != step:
            ordinals = itertools.count()
            self._visits[run, agent] = step, ordinals
        known = Known(run, agent, step, next(ordinals), kind, value)
        is_new = known not in self.entries
        self.entries.add(known)
        return is_new

    def restart(self) -> None:
        self._visits.clear()

    def roll_back(self, run: str, step: int) -> int:
        """Forget later steps of a run; says how many entries there were."""
        later = {known for known in self.entries if known.run == run and known.step > step}
        self.entries -= later
        self._visits = {who: visit for who, visit in self._visits.items() if who[0] != run}
        return len(later)


def live(system: AgentMemorySystem, oracle: Oracle, event: Live) -> None:
    """Live some steps; what was new last is the newest then."""
    view = system.run(event.run)
    agent = view.get_memory_agent(event.agent)
    stores = {
        MemoryType.STATE: agent.store_state,
        MemoryType.ACTION: agent.store_action,
        MemoryType.INTERACTION: agent.store_interaction,
    }
    newest = None
    for step in range(event.first, event.first + event.steps):
        for kind, value in event.contents:
            assert stores[kind]({"value": value, "at": (step, step * 0.5)}, step)
            if oracle.stored(event.run, event.agent, step, kind, value):
                newest = step, kind, value
    if newest is not None:
        # Of the same step what another episode stored too may come after it.
        query = Query(agent_id=event.agent, order=Order.NEWEST, limit=len(event.contents))
        latest = [hit.entry for hit in view.recall(query, touch=False)]
        found = [(one.step_number, one.memory_type, one.contents["value"]) for one in latest]
        assert newest in found
        assert found[0][0] == newest[0]


def everything(system: AgentMemorySystem) -> Counter[tuple[Any, ...]]:
    """All that is found of all agents, with what their contents say."""
    return Counter(
        (run, agent, hit.entry.step_number, hit.entry.memory_type, hit.entry.contents["value"])
        for run in RUNS
        for agent in AGENTS
        for hit in system.recall(Query(run_id=run, agent_id=agent), touch=False)
        if hit.entry.contents["at"] == (hit.entry.step_number, hit.entry.step_number * 0.5)
    )


def play(system: AgentMemorySystem, events: list[Event], *, checks: bool = True) -> None:
    oracle = Oracle()
    for event in events:
        match event:
            case Live():
                live(system, oracle, event)
            case Restart():
                oracle.restart()
                for run in RUNS:
                    system.run(run)._run.begin_again()
            case RollBack(run, step):
                receipt = system.run(run).forget_after(step)
                assert (receipt.entries, receipt.verified) == (oracle.roll_back(run, step), True)
            case Maintain():
                system.maintain()
        expected = Counter(
            (known.run, known.agent, known.step, known.kind, known.value)
            for known in oracle.entries
        )
        assert everything(system) == expected
    system.maintain()
    held = sum(tier.all_entries for tier in system.statistics().values())
    assert held == len(oracle.entries), "an entry stands in two tiers"
    if checks:
        assert system.check().sound


@engines.usually_on("embedded", "tcp and postgresql")
def test_a_life_is_found_once_with_its_contents(memory_config: dict[str, Any]) -> None:
    # Steps that start again, a memory that comes late, and a run that another process runs again.
    events: list[Event] = [
        EPISODE,
        EPISODE._replace(contents=((MemoryType.STATE, 1), ACTION)),
        EPISODE._replace(first=3, steps=1, contents=((MemoryType.STATE, 2),)),
        Restart(),
        EPISODE,
        Live("default", "bee", 0, 6, (STATE, ACTION)),
        Live("other", "ant", 0, 6, (STATE, ACTION)),
        RollBack("default", 2),
        EPISODE,
    ]
    with AgentMemorySystem(MemoryConfig(**memory_config, **SMALL)) as system:
        play(system, events)


_LIVES = st.lists(EVENTS, min_size=1, max_size=6)
_FEW = settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


@_FEW
@given(_LIVES)
@example([EPISODE, EPISODE._replace(contents=((MemoryType.STATE, 1), ACTION)), Restart(), EPISODE])
@example([EPISODE, EPISODE._replace(contents=(STATE, STATE, STATE)), Maintain(), EPISODE])
def test_any_lives_are_found_once_with_their_contents(events: list[Event]) -> None:
    config = MemoryConfig(engine="fake", ltm_url="sqlite:///:memory:", **SMALL)
    with AgentMemorySystem(config) as system:
        play(system, events, checks=False)


@engines.usually_on()
def test_any_lives_one_after_the_other_are_found_once_on_every_engine(
    memory_config: dict[str, Any],
) -> None:
    with AgentMemorySystem(MemoryConfig(**memory_config, **SMALL)) as system:

        @_FEW
        @given(_LIVES)
        def lived(events: list[Event]) -> None:
            play(system, events, checks=False)
            for run in RUNS:
                assert system.run(run).clear_all_memories()
                system.run(run)._run.begin_again()

        lived()


@engines.usually_on("embedded")
def test_episodes_that_waited_in_the_spool_are_found_in_order(
    memory_config: dict[str, Any],
) -> None:
    with AgentMemorySystem(MemoryConfig(**memory_config, clock="steps")) as system:
        oracle = Oracle()
        live(system, oracle, EPISODE)
        client = system._resources.connections.stm.client
        client.config_set("maxmemory", 1)
        stored = [
            ({"episode": episode, "at": (step, step * 0.5), "value": 0}, step)
            for episode in (1, 2)
            for step in range(4)
        ]
        for contents, step in [*stored, (stored[0][0], 20)]:
            assert system.store_agent_state("ant", contents, step)
        assert system.store_agent_state("bee", stored[0][0], 0)
        spool = system.status.spool
        assert spool is not None
        assert spool.entries == 10
        receipt = system.forget_after(19)
        assert receipt.removed == {"spool": 1, "stm": 0, "im": 0, "ltm": 0}
        left = system.status.spool
        assert left is not None
        assert left.entries == 9
        client.config_set("maxmemory", 0)
        system.maintain()
        newest = Query(agent_id="ant", order=Order.NEWEST, limit=8)
        found = [
            (hit.entry.contents, hit.entry.step_number)
            for hit in system.recall(newest, touch=False)
        ]
        assert found == stored[::-1]
        assert everything(system).total() == 12 + 8 + 1


@engines.usually_on("fakeredis", "tcp and postgresql")
def test_a_run_that_is_rolled_back_is_lived_again_like_the_first_time(
    memory_config: dict[str, Any],
) -> None:
    def rows(system: AgentMemorySystem) -> list[Any]:
        query = Query(agent_id="ant", order=Order.STEP)
        return [hit.entry for hit in system.recall(query, touch=False)]

    with AgentMemorySystem(MemoryConfig(**memory_config, **SMALL)) as system:
        oracle = Oracle()
        live(system, oracle, EPISODE)
        live(system, oracle, EPISODE._replace(agent="bee"))
        live(system, oracle, EPISODE._replace(run="other"))
        before = rows(system)
        receipt = system.forget_after(2)
        assert (receipt.entries, receipt.verified, receipt.agents) == (12, True, ("ant", "bee"))
        assert sum(receipt.removed.values()) == 12
        assert [entry.step_number for entry in rows(system)] == [0, 0, 1, 1, 2, 2]
        assert system.forget_after(2).entries == 0
        oracle.roll_back("default", 2)
        live(system, oracle, EPISODE)
        assert [entry.key for entry in rows(system)] == [entry.key for entry in before]
        assert [entry.timestamp for entry in rows(system)] == [entry.timestamp for entry in before]
        assert len(system.run("other").recall(Query(agent_id="ant"))) == 12
        for wrong in (-1, 0.5, "2", None):
            with pytest.raises(InvalidEntry):
                system.forget_after(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("tier", ["stm_store", "im_store", "ltm_store"])
@engines.usually_on("fakeredis")
def test_other_contents_under_an_id_are_refused_by_every_store(
    memory_config: dict[str, Any], tier: str
) -> None:
    with AgentMemorySystem(MemoryConfig(**memory_config, clock="steps")) as system:
        store = getattr(system.get_memory_agent("ant"), tier)
        given = {
            "memory_id": "0" * 31 + "7",
            "step_number": 3,
            "contents": {"saw": "nothing", "at": (1, 2.5)},
            "metadata": {"memory_type": "state"},
        }
        assert store.store(given)
        assert store.store(given)
        with pytest.raises(EntryConflict, match="other contents"):
            store.store(given | {"contents": {"saw": "a fox"}})
        assert store.get(given["memory_id"])["contents"] == given["contents"]
        del given["memory_id"]
        assert store.store(given)
        assert store.store(given | {"contents": {"saw": "a fox"}})
        saw = [entry["contents"]["saw"] for entry in store.get_recent(9)]
        assert sorted(saw) == ["a fox", "nothing", "nothing"]
