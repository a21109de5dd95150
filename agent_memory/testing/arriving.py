"""Promises of ``arrive``: time goes on for an agent, and each entry is stored with its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.outcomes import Added, Arrival
from agent_memory.testing.samples import an_entry
from agent_memory.testing.storing import everything
from agent_memory.values.entry import MemoryEntry
from agent_memory.values.query import Order, Query


def at_step(step: int, agent_id: str = "ant") -> MemoryEntry:
    """A new entry of a run whose timestamps are steps."""
    return an_entry(agent_id=agent_id, step_number=step, timestamp=float(step))


def arrived(repository: MemoryRepository, entry: MemoryEntry, after: float = -1.0) -> Arrival:
    """Store one entry as the latest of its agent."""
    (arrival,) = repository.arrive([entry], [after])
    return arrival


class ArrivingContract:
    """Storing what comes as the latest of its agent."""

    @pytest.mark.parametrize("together", [False, True])
    @pytest.mark.parametrize(
        ("steps", "times"),
        [
            ((0, 1, 5, 5, 7), (0, 1, 5, 5, 7)),
            # Steps that start again, one that comes late, and ahead again.
            ((8, 9, 0, 0, 1, 2, 40), (8, 9, 10, 10, 11, 12, 40)),
            ((3, 1, 3, 1), (3, 4, 5, 6)),
            ((20, 4, 21, 22, 23), (20, 21, 22, 23, 24)),
        ],
    )
    def test_time_goes_on_though_steps_are_counted_anew(
        self,
        repository: MemoryRepository,
        steps: tuple[int, ...],
        times: tuple[int, ...],
        together: bool,
    ) -> None:
        given = [at_step(step) for step in steps]
        if together:
            stored = repository.arrive(given, [-1.0] * len(given))
        else:
            stored = [arrived(repository, entry) for entry in given]
        assert stored == [Arrival(Added.STORED, float(time)) for time in times]
        found = everything(repository)
        assert [entry.timestamp for entry in found] == sorted(map(float, times))
        for entry, time in zip(given, times, strict=True):
            at = float(time)
            kept = replace(entry, timestamp=at, creation_time=at, last_access_time=at)
            assert repository.get(entry.key) == kept
        newest = Query(run_id="run", agent_id="ant", order=Order.NEWEST, limit=1)
        assert repository.find(newest)[0].step_number == steps[-1]

    def test_what_has_arrived_stays_as_it_is(self, repository: MemoryRepository) -> None:
        first, later = at_step(1), at_step(2)
        arrived(repository, first)
        arrived(repository, later)
        changed = replace(first, contents={"other": True}, importance_score=0.125)
        assert arrived(repository, changed, 9.0) == Arrival(Added.PRESENT, 1.0)
        assert set(everything(repository)) == {first, later}

    def test_the_latest_elsewhere_counts_too(self, repository: MemoryRepository) -> None:
        times = [arrived(repository, at_step(step), 7.0).timestamp for step in (3, 4, 7, 9)]
        assert times == [8.0, 9.0, 10.0, 11.0]

    def test_agents_and_runs_have_their_own_time(self, repository: MemoryRepository) -> None:
        arrived(repository, at_step(100))
        other_run = replace(at_step(4), run_id="other")
        assert arrived(repository, at_step(3, "bee")).timestamp == 3.0
        assert arrived(repository, other_run).timestamp == 4.0
        assert arrived(repository, at_step(5)).timestamp == 101.0

    def test_an_entry_without_a_vector_arrives_like_any_other(
        self, repository: MemoryRepository
    ) -> None:
        bare = replace(at_step(2), embedding=None, encoder_version=None, pinned=True)
        arrived(repository, at_step(6))
        assert arrived(repository, bare) == Arrival(Added.STORED, 7.0)
        assert repository.get(bare.key).pinned
        assert len(everything(repository)) == 2

    def test_the_keys_after_a_step_are_those_of_later_steps(
        self, repository: MemoryRepository
    ) -> None:
        entries = [at_step(step, agent) for agent in ("ant", "bee") for step in range(6)]
        repository.add_many([*entries, replace(at_step(9), run_id="other")])
        later = {entry.key for entry in entries if entry.step_number > 3}
        found = repository.keys("run", "ant", "bee", "nobody", after=3)
        assert set(found) == later
        assert len(found) == len(later)
        assert repository.keys("run", "ant", after=5) == []
        assert repository.keys("run", "ant", after=2**63 - 1) == []
