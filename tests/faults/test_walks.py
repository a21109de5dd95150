"""A random walk over a whole memory, held against the in-memory reference at each step."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agent_memory import AgentMemorySystem, MemoryConfig, Order, Query, Tier
from agent_memory.errors import EntryConflict, EntryNotFound
from agent_memory.repositories.in_memory import InMemoryRepository
from agent_memory.testing.redis_keys import orphans
from agent_memory.testing.samples import a_memory_id, an_entry
from agent_memory.testing.storing import everything
from agent_memory.testing.tally import count
from agent_memory.values.entry import EntryKey, MemoryEntry, MemoryType
from tests.engines import new_database, parameters
from tests.faults.processes import killed, running
from tests.fuzzing import KILLS
from tests.memories import DAY, Clock

pytestmark = [
    pytest.mark.faults,
    # Questions name what some walks have stored nowhere.
    pytest.mark.filterwarnings("ignore:attributes. no entry has the path:UserWarning"),
]

EXAMPLES = {"fake": max(KILLS // 6, 6), "embedded": max(KILLS // 15, 2)}

CONFIG: dict[str, Any] = {
    "stm_config": {"memory_limit": 3, "ttl": int(DAY)},
    "im_config": {"memory_limit": 4, "ttl": int(7 * DAY)},
    "ltm_config": {"batch_size": 2},
    "cleanup_interval": 2,
    "indexed_attributes": ["food"],
}
RUNS = ("default", "other*")
AGENTS = ("ant", "an|t", "*")
WHERE = st.tuples(st.sampled_from(RUNS), st.sampled_from(AGENTS))
STEPS = st.integers(0, 9)
QUERIES = st.fixed_dictionaries(
    {
        "steps": st.none() | st.tuples(STEPS, STEPS).map(sorted).map(tuple),
        "importance": st.none() | st.just((0.4, 1.0)),
        "memory_type": st.none() | st.sampled_from(MemoryType),
        "attributes": st.just({}) | st.fixed_dictionaries({"food": st.integers(0, 2)})
        | st.fixed_dictionaries({"mood": st.sampled_from(["calm", "wild"])}),
        "order": st.sampled_from(Order),
        "limit": st.none() | st.integers(0, 4),
    }
)  # fmt: skip


@dataclass
class Ground:
    """A memory that can be closed, opened again, and robbed of its server."""

    engine: str
    ltm: dict[str, str] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    folder: Path = field(default_factory=lambda: Path(mkdtemp(prefix="agent-memory-walk-")))

    def open(self) -> AgentMemorySystem:
        config = MemoryConfig(
            path=self.folder, engine=self.engine, search=False, on_store_error="raise",
            **CONFIG, **self.ltm,
        )  # fmt: skip
        return AgentMemorySystem(config, clock=self.clock)

    def kill_server(self) -> None:
        killed(*running(self.folder, "server"))
        count("kills")


class Walk(RuleBasedStateMachine):
    """Does the same to a memory and to the reference, and compares what they say."""

    def __init__(self, ground: Ground) -> None:
        super().__init__()
        self.ground = ground
        self.number = 0

    @initialize()
    def begin(self) -> None:
        count("fuzzed cases")
        self.system = self.ground.open()
        self.reference = InMemoryRepository(Tier.LTM)

    def memory(self, run_id: str) -> AgentMemorySystem:
        return self.system.run(run_id)

    @rule(
        where=WHERE,
        step=STEPS,
        kind=st.sampled_from(MemoryType),
        food=st.integers(0, 2),
        priority=st.sampled_from([0.0, 0.5, 1.0]),
        mood=st.sampled_from(["calm", "wild"]),
    )
    def store(self, where: Any, step: int, kind: MemoryType, food: int, priority: float,
              mood: str) -> None:  # fmt: skip
        run_id, agent_id = where
        contents = {"food": food, "mood": mood, "at": (step, 0.5)}
        memory = self.memory(run_id)
        # No two entries have the same time, or their order would be that of random ids.
        self.ground.clock.now += 1.0
        ways = {
            MemoryType.STATE: memory.store_agent_state,
            MemoryType.ACTION: memory.store_agent_action,
            MemoryType.INTERACTION: memory.store_agent_interaction,
        }
        assert ways[kind](agent_id, contents, step, priority)
        (hit,) = memory.recall(Query(agent_id=agent_id, order=Order.NEWEST, limit=1), touch=False)
        self.reference.add(_bare(hit.entry))
        assert hit.entry.contents == contents

    @rule(where=WHERE, number=st.integers(0, 3), step=STEPS)
    def store_an_id(self, where: Any, number: int, step: int) -> None:
        run_id, agent_id = where
        self.ground.clock.now += 1.0
        memory_id = a_memory_id(1_000 + 10 * RUNS.index(run_id) + 100 * AGENTS.index(agent_id)
                                + number)  # fmt: skip
        entry = an_entry(
            run_id=run_id, agent_id=agent_id, memory_id=memory_id, step_number=step,
            timestamp=self.ground.clock.now, contents={"food": step % 3},
        )  # fmt: skip
        if not self.reference.get_many([entry.key]):
            self.reference.add(entry)
            self.system.stm.add(entry)
        elif self.system.stm.get_many([entry.key]):
            self.system.stm.add(entry)  # once more, as after an answer that was lost

    @rule(days=st.sampled_from([0.5, 2, 9]))
    def time_goes_by(self, days: float) -> None:
        self.ground.clock.now += days * DAY

    @rule()
    def maintain(self) -> None:
        self.system.maintain()
        for run_id in self.system.stm.runs():
            for agent_id in self.system.stm.agents(run_id):
                assert self.system.stm.count(run_id, agent_id) <= 3
        for run_id in self.system.im.runs():
            for agent_id in self.system.im.agents(run_id):
                assert self.system.im.count(run_id, agent_id) <= 4

    @rule()
    def close_and_open(self) -> None:
        if self.ground.engine == "embedded":
            self.system.close()
            self.system = self.ground.open()

    @precondition(lambda self: self.ground.engine == "embedded")
    @rule()
    def the_server_dies(self) -> None:
        self.ground.kill_server()

    @rule(
        where=WHERE,
        which=st.integers(0, 20),
        importance=st.sampled_from([0.1, 0.45, 0.9]),
        behind=st.sampled_from([0, 0, 1]),
    )
    def change(self, where: Any, which: int, importance: float, behind: int) -> None:
        entry = self._one_of(where, which)
        if entry is None:
            return
        # Whatever tier it is in, and in it alone.
        (tier,) = [tier for tier in self._tiers if tier.get_many([entry.key])]
        stored = tier.get(entry.key)
        changed = replace(
            stored, importance_score=importance, revision=stored.revision - behind
        ) if stored.revision >= behind else None  # fmt: skip
        if changed is None:
            return
        try:
            tier.replace(changed)
        except EntryConflict:
            assert behind
        else:
            assert not behind
            self.reference.replace(replace(entry, importance_score=importance))

    @rule(where=WHERE, which=st.integers(0, 20))
    def forget_memory(self, where: Any, which: int) -> None:
        entry = self._one_of(where, which)
        if entry is not None:
            receipt = self.memory(where[0]).forget(where[1], memory_id=entry.memory_id)
            assert (receipt.entries, receipt.verified) == (1, True)
            self.reference.remove(entry.key)

    @rule(where=WHERE)
    def forget_agent(self, where: Any) -> None:
        receipt = self.memory(where[0]).forget(where[1])
        cleared = self.reference.clear_agents(where[0], [where[1]])
        assert (receipt.entries, receipt.verified) == (cleared, True)

    @rule(where=WHERE, asked=QUERIES)
    def forget_answers(self, where: Any, asked: dict[str, Any]) -> None:
        query = Query(run_id=where[0], agent_id=where[1], **asked)
        keys = [entry.key for entry in self.reference.find(query)]
        receipt = self.memory(where[0]).forget(query=query)
        assert (receipt.entries, receipt.verified) == (len(keys), True)
        self.reference.remove_many(keys)

    @rule(run_id=st.sampled_from(RUNS))
    def forget_run(self, run_id: str) -> None:
        receipt = self.memory(run_id).forget(run=run_id)
        assert (receipt.entries, receipt.verified) == (self.reference.clear_run(run_id), True)

    @rule(where=WHERE, asked=QUERIES)
    def recall(self, where: Any, asked: dict[str, Any]) -> None:
        query = Query(run_id=where[0], agent_id=where[1], **asked)
        hits = self.memory(where[0]).recall(query, touch=False)
        assert [_bare(hit.entry) for hit in hits] == self.reference.find(query)

    @rule(where=WHERE, number=st.integers(0, 20))
    def fetch(self, where: Any, number: int) -> None:
        entry = self._one_of(where, number)
        if entry is None:
            missing = EntryKey(where[0], where[1], a_memory_id(7))
            with pytest.raises(EntryNotFound):
                self.reference.get(missing)
            assert self.memory(where[0]).fetch(where[1], missing.memory_id) is None
        else:
            hit = self.memory(where[0]).fetch(where[1], entry.memory_id, touch=False)
            assert hit is not None
            assert _bare(hit.entry) == entry

    @invariant()
    def each_is_in_one_tier_and_in_all_indexes(self) -> None:
        held = [entry for run in RUNS for tier in self._tiers for entry in everything(tier, run)]
        reference = [entry for run in RUNS for entry in everything(self.reference, run)]
        assert len({entry.key for entry in held}) == len(held)
        assert {_bare(entry) for entry in held} == {*reference}

    def teardown(self) -> None:
        parts: tuple[Any, ...] = (self.system.config.stm_config, self.system.config.im_config)
        names = [part.namespace for part in parts]
        found = orphans(self.system._resources.connections.stm.client, names)
        self.system.close()
        shutil.rmtree(self.ground.folder, ignore_errors=True)
        found.assert_none("after a walk")

    @property
    def _tiers(self) -> tuple[Any, ...]:
        return self.system.stm, self.system.im, self.system.ltm

    def _one_of(self, where: tuple[str, str], number: int) -> MemoryEntry | None:
        entries = self.reference.find(Query(run_id=where[0], agent_id=where[1], limit=100))
        return entries[number % len(entries)] if entries else None


def _bare(entry: MemoryEntry) -> MemoryEntry:
    """What an entry has in every tier."""
    return replace(entry, compression_level=0, embedding=None, encoder_version=None)


@pytest.fixture(params=parameters(["fake", "embedded"], ["embedded"]))
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def walk(examples: int, ground: Callable[[], Ground]) -> None:
    """Walk over a new ground for each example."""
    run_state_machine_as_test(
        lambda: Walk(ground()),  # type: ignore[arg-type]  # a factory serves
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
            print_blob=True,
        ),
    )


def test_any_sequence_of_calls_does_what_the_reference_does(engine: str) -> None:
    walk(EXAMPLES[engine], lambda: Ground(engine))


@pytest.mark.long
def test_any_sequence_of_calls_does_so_on_postgresql(
    postgresql_url: str, postgresql_template: str
) -> None:
    with ExitStack() as databases:

        def ground() -> Ground:
            made = new_database(postgresql_url, postgresql_template)
            return Ground("embedded", {"ltm_url": databases.enter_context(made)})

        walk(EXAMPLES["embedded"], ground)
