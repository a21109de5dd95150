"""A random walk over all operations, held against the reference at each step."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agent_memory.errors import EntryConflict, EntryNotFound
from agent_memory.repositories.contract import LongTermMemory, MemoryRepository
from agent_memory.repositories.in_memory import InMemoryRepository
from agent_memory.testing.samples import Directions, a_memory_id, an_entry
from agent_memory.values.checks import MAX_STEP
from agent_memory.values.entry import EntryKey, MemoryEntry, MemoryType
from agent_memory.values.query import Order, Query

_T = TypeVar("_T")

_NAMES = ("a", "a ", "*")
_STEPS = st.sampled_from([0, 1, 2, MAX_STEP])
_TIMES = st.sampled_from([-1e300, -1.0, 0.0, 5e-324, 0.3, 0.1 + 0.2, 1.0, 1e300])
_SCORES = st.sampled_from([0.0, 0.3, 0.1 + 0.2, 1.0])
_COUNTS = st.integers(0, 2)


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    return min(bounds), max(bounds)


_WHERE = st.tuples(st.integers(0, 1), st.sampled_from(_NAMES), st.integers(0, 3))

_PATHS = st.sampled_from(["a", "b", "c|d*"])
_SCALARS = st.sampled_from([None, True, False, 0, 1, 1.0, 2, -0.0, 2**53 + 1, "", "a", "a|b {*}"])
_CONDITIONS = _SCALARS | st.tuples(st.sampled_from([-1, 0, 0.5]), st.sampled_from([0.5, 1, 1e300]))

_FIELDS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "step_number": _STEPS,
        "timestamp": _TIMES,
        "memory_type": st.sampled_from(MemoryType),
        "importance_score": _SCORES,
        "encoder_version": st.sampled_from([None, 0, 1, 2]),
        "contents": st.dictionaries(st.text(max_size=2), st.none() | st.floats(), max_size=2)
        | st.dictionaries(_PATHS, _SCALARS | st.floats(), max_size=2),
        "pinned": st.booleans(),
        "embedding": st.none() | st.lists(st.floats(width=32, allow_nan=False,
                                                    allow_infinity=False), min_size=1, max_size=3),
    }
)  # fmt: skip
_AGES = st.fixed_dictionaries(
    {"revision": _COUNTS, "retrieval_count": _COUNTS, "last_access_time": _TIMES}
)
_QUERIES = st.fixed_dictionaries(
    {
        "steps": st.none() | st.tuples(_STEPS, _STEPS).map(_ordered),
        "times": st.none() | st.tuples(_TIMES, _TIMES).map(_ordered),
        "importance": st.none() | st.tuples(_SCORES, _SCORES).map(_ordered),
        "memory_type": st.none() | st.sampled_from(MemoryType),
        "attributes": st.just({}) | st.dictionaries(_PATHS, _CONDITIONS, max_size=2),
        "pinned": st.none() | st.booleans(),
        "order": st.sampled_from(Order),
        "limit": st.none() | st.integers(0, 5),
    }
)


class _Walk(RuleBasedStateMachine):
    """Does the same to a repository and to the reference, and compares what they say."""

    def __init__(self, repository: MemoryRepository, number: int) -> None:
        super().__init__()
        self.repository = repository
        self.reference = InMemoryRepository(repository.tier)
        # Runs of its own: what an earlier walk forgot stays forgotten.
        self.runs = [f"walk {number}", f"walk {number}*"]

    def key(self, where: tuple[int, str, int]) -> EntryKey:
        run, agent, number = where
        return EntryKey(self.runs[run], agent, a_memory_id(number))

    def both(self, ask: Callable[[MemoryRepository], _T]) -> None:
        assert _answer(self.repository, ask) == _answer(self.reference, ask)

    @rule(places=st.lists(st.tuples(_WHERE, _FIELDS, _AGES), max_size=4))
    def add(self, places: list[tuple[Any, dict[str, Any], dict[str, Any]]]) -> None:
        entries = [
            an_entry(**self.key(where)._asdict(), **fields, **ages)
            for where, fields, ages in places
        ]
        self.both(lambda repository: repository.add_many(entries))

    @rule(where=_WHERE, fields=_FIELDS, behind=st.sampled_from([0, 0, 0, 1]))
    def replace(self, where: Any, fields: dict[str, Any], behind: int) -> None:
        found = self.reference.get_many([self.key(where)])
        if found:
            changed = replace(found[0], **fields, revision=found[0].revision + behind)
        else:
            changed = an_entry(**self.key(where)._asdict(), **fields)
        self.both(lambda repository: repository.replace(changed))

    @rule(counts=st.dictionaries(_WHERE, _COUNTS, max_size=4), at=_TIMES)
    def touch(self, counts: dict[Any, int], at: float) -> None:
        by_key = {self.key(where): count for where, count in counts.items()}
        self.both(lambda repository: sorted(repository.touch(by_key, at)))

    @rule(where=_WHERE, revision=st.none() | _COUNTS)
    def remove(self, where: Any, revision: int | None) -> None:
        key = self.key(where)
        self.both(lambda repository: repository.remove(key, revision=revision))

    @rule(places=st.lists(_WHERE, max_size=3))
    def remove_many(self, places: list[Any]) -> None:
        keys = [self.key(where) for where in places]
        self.both(lambda repository: repository.remove_many(keys))

    @rule(
        places=st.lists(_WHERE, max_size=4),
        changed=st.sampled_from(["", "", "revision", "retrieval_count"]),
    )
    def remove_copied(self, places: list[Any], changed: str) -> None:
        copies = self.reference.get_many([self.key(where) for where in places])
        if changed and copies:
            copies[0] = replace(copies[0], **{changed: getattr(copies[0], changed) + 1})
        self.both(lambda repository: repository.remove_copied(copies))

    @rule(where=_WHERE)
    def clear_agent(self, where: Any) -> None:
        run_id, agent_id, _ = self.key(where)
        self.both(lambda repository: repository.clear_agents(run_id, [agent_id]))

    @rule(run=st.integers(0, 1), agreed=st.integers(0, 3))
    def clear_run(self, run: int, agreed: int) -> None:
        if not agreed:  # seldom, or there would never be much to look at
            self.both(lambda repository: repository.clear_run(self.runs[run]))

    @precondition(lambda self: isinstance(self.repository, LongTermMemory))
    @rule(places=st.lists(_WHERE, max_size=2), at=_TIMES)
    def forget(self, places: list[Any], at: float) -> None:
        keys = [self.key(where) for where in places]
        self.both(lambda repository: _long_term(repository).forget(keys, at))
        self.both(lambda repository: _long_term(repository).forgotten(keys))

    @rule(where=_WHERE, asked=_QUERIES)
    def find(self, where: Any, asked: dict[str, Any]) -> None:
        run_id, agent_id, _ = self.key(where)
        query = Query(run_id=run_id, agent_id=agent_id, **asked)
        self.both(lambda repository: repository.find(query))

    @rule(where=_WHERE, asked=_QUERIES, seed=_COUNTS)
    def nearest(self, where: Any, asked: dict[str, Any], seed: int) -> None:
        run_id, agent_id, _ = self.key(where)
        query = Query(run_id=run_id, agent_id=agent_id, **asked)
        probe = Directions(incomparable=[2], seed=seed)
        # Groups come in any order, and in each the nearest first.
        self.both(
            lambda repository: sorted(
                repository.nearest(query, probe), key=lambda hit: hit.entry.memory_id
            )
        )

    @rule(places=st.lists(_WHERE, max_size=4, unique=True), fields=_FIELDS, behind=_COUNTS)
    def reembed(self, places: list[Any], fields: dict[str, Any], behind: int) -> None:
        entries = self.reference.get_many([self.key(where) for where in places])
        # Whatever else is given than vector and version is not stored.
        changed = [replace(entry, **fields) for entry in entries]
        if behind == 2 and changed:
            changed[0] = replace(changed[0], revision=changed[0].revision + 1)
        changed += [an_entry(**self.key((1, "a", 3))._asdict(), **fields)] * (not places)
        self.both(lambda repository: repository.encodings.reembed(changed))

    @rule(where=_WHERE, version=_COUNTS)
    def outdated(self, where: Any, version: int) -> None:
        run_id, agent_id, _ = self.key(where)
        self.both(lambda repository: repository.encodings.outdated(run_id, agent_id, version))

    @rule(places=st.lists(_WHERE, max_size=5))
    def get_many(self, places: list[Any]) -> None:
        keys = [self.key(where) for where in places]
        self.both(lambda repository: repository.get_many(keys))

    @invariant()
    def says_the_same_of_everything(self) -> None:
        self.both(lambda repository: [run for run in repository.runs() if run in self.runs])
        for run_id in self.runs:
            self.both(partial(_holdings, run_id=run_id))

    def teardown(self) -> None:
        for run_id in self.runs:
            self.repository.clear_run(run_id)
        assert not set(self.runs) & set(self.repository.runs())


def _answer(repository: MemoryRepository, ask: Callable[[MemoryRepository], _T]) -> _T | type:
    try:
        return ask(repository)
    except (EntryConflict, EntryNotFound) as refusal:
        return type(refusal)


def _holdings(
    repository: MemoryRepository, run_id: str
) -> dict[str, tuple[int, list[MemoryEntry]]]:
    return {
        agent_id: (
            repository.count(run_id, agent_id),
            repository.find(Query(run_id=run_id, agent_id=agent_id, limit=99)),
        )
        for agent_id in repository.agents(run_id)
    }


def _long_term(repository: MemoryRepository) -> LongTermMemory:
    assert isinstance(repository, LongTermMemory)
    return repository


class OracleContract:
    """Anything, in any order."""

    def test_any_sequence_of_operations_does_what_the_reference_does(
        self, repository: MemoryRepository
    ) -> None:
        numbers = itertools.count()
        run_state_machine_as_test(
            lambda: _Walk(repository, next(numbers)),  # type: ignore[arg-type]  # a factory serves
            settings=settings(
                max_examples=20,
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
            ),
        )
