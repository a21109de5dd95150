"""Promises about many agents at once: counted, found and removed in a few requests."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.counts import AgentCounts, Ahead
from agent_memory.testing.samples import HOSTILE_NAMES, a_memory_id, an_entry
from agent_memory.testing.storing import everything
from agent_memory.values.entry import MemoryEntry
from agent_memory.values.query import Order, Query


def _days(agent_id: str, *timestamps: float) -> list[MemoryEntry]:
    """Entries of these times; their steps run against them."""
    return [
        an_entry(agent_id=agent_id, timestamp=timestamp, step_number=100 - place)
        for place, timestamp in enumerate(timestamps)
    ]


class ManyContract:
    """Questions and removals over many agents."""

    def test_counts_per_agent_tells_what_each_agent_has(self, repository: MemoryRepository) -> None:
        repository.add_many([*_days("ant", 3.5, 1.25, 7.0), *_days("bee", -0.1), *_days("cat", 9)])
        assert repository.upkeep.agent_counts("run") == {
            "ant": AgentCounts(3, 1.25, 7.0, 98, 98, 100),
            "bee": AgentCounts(1, -0.1, -0.1, 100, 100, 100),
            "cat": AgentCounts(1, 9.0, 9.0, 100, 100, 100),
        }
        assert list(repository.upkeep.agent_counts("run", ["cat", "nobody", "ant", "cat"])) in (
            ["cat", "ant"],
            ["ant", "cat"],
        )
        assert (
            repository.upkeep.agent_counts("run", [])
            == repository.upkeep.agent_counts("no such run")
            == {}
        )

    def test_of_equally_new_entries_the_last_by_id_tells_the_step(
        self, repository: MemoryRepository
    ) -> None:
        repository.add_many(
            [
                an_entry(memory_id=a_memory_id(number), timestamp=5.0, step_number=step)
                for number, step in ((4, 1), (9, 7), (2, 8))
            ]
        )
        assert repository.upkeep.agent_counts("run") == {"ant": AgentCounts(3, 5.0, 5.0, 1, 7, 8)}

    @pytest.mark.parametrize("timestamp", [0.1 + 0.2, 1.7e9 + 0.123456, -1e300, 5e-324])
    def test_counts_per_agent_tells_times_exactly(
        self, repository: MemoryRepository, timestamp: float
    ) -> None:
        repository.add(an_entry(timestamp=timestamp, step_number=2**53))
        assert repository.upkeep.agent_counts("run", horizon=2e9) == {
            "ant": AgentCounts(1, timestamp, timestamp, 2**53, 2**53, 2**53)
        }

    def test_counts_per_agent_of_a_thousand_agents_names_each(
        self, repository: MemoryRepository
    ) -> None:
        repository.add_many([an_entry(agent_id=f"agent {place}") for place in range(1_001)])
        found = repository.upkeep.agent_counts("run")
        assert set(found) == {f"agent {place}" for place in range(1_001)}
        assert set(found.values()) == {AgentCounts(1, 1.0, 1.0, 1, 1, 1)}

    def test_counts_per_agent_keeps_hostile_names_apart(self, repository: MemoryRepository) -> None:
        repository.add_many([an_entry(run_id=name, agent_id=name) for name in HOSTILE_NAMES])
        for name in HOSTILE_NAMES[:40]:
            assert repository.upkeep.agent_counts(name) == {name: AgentCounts(1, 1.0, 1.0, 1, 1, 1)}
        assert set(repository.upkeep.agent_counts("a", HOSTILE_NAMES)) == {"a"}

    def test_agents_of_several_runs_are_counted_and_listed_together(
        self, repository: MemoryRepository
    ) -> None:
        upkeep = repository.upkeep
        assert (upkeep.all_agents(), upkeep.counts_of(), upkeep.entries_by_run()) == ([], {}, {})
        for place, name in enumerate(HOSTILE_NAMES[:20]):
            repository.add_many(
                [
                    an_entry(
                        run_id=name, agent_id=agent, importance_score=step / 10, step_number=step
                    )
                    for agent in (name, "ant")
                    for step in range(1 + place % 2)
                ]
            )
        agents = sorted({(name, agent) for name in HOSTILE_NAMES[:20] for agent in (name, "ant")})
        assert upkeep.all_agents() == agents
        found = upkeep.counts_of()
        assert found == upkeep.counts_of(agents)
        assert sorted(found) == agents
        assert upkeep.entries_by_run() == {
            name: repository.count(name) for name in HOSTILE_NAMES[:20]
        }
        for agent, counts in found.items():
            assert counts.entries == repository.count(*agent)
            assert upkeep.agent_counts(*agent[:1], [agent[1]]) == {agent[1]: counts}
        chosen = [agents[5], ("no such run", "ant"), agents[0], agents[5]]
        assert upkeep.keys_of(chosen) == [
            key for agent in (agents[5], agents[0]) for key in repository.keys(*agent)
        ]
        assert upkeep.importances_of(chosen) == {
            agent: upkeep.importances(*agent) for agent in chosen
        }
        assert upkeep.importances(*agents[5])

    def test_each_query_is_answered_in_its_order_and_by_itself(
        self, repository: MemoryRepository
    ) -> None:
        repository.add_many([*_days("ant", *range(9)), *_days("bee", *range(5, 12))])
        queries = [
            Query(run_id="run", agent_id="ant", times=(2, 4)),
            Query(run_id="run", agent_id="ant", steps=(95, 100), order=Order.STEP, limit=2),
            Query(run_id="run", agent_id="nobody"),
            Query(run_id="run", agent_id="bee", order=Order.NEWEST, limit=0),
            Query(run_id="run", agent_id="bee", times=(8, math.inf), steps=(0, 96)),
            Query(run_id="run", agent_id="bee", attributes={"energy": 3}, limit=1),
        ]
        assert repository.find_each(queries) == [repository.find(query) for query in queries]
        assert repository.find_each(queries[:-1]) == [
            repository.find(query) for query in queries[:-1]
        ]
        assert repository.find_each([]) == []

    def test_what_answers_any_query_is_removed_with_its_places_in_all_indexes(
        self, repository: MemoryRepository
    ) -> None:
        ant, bee, cat = _days("ant", *range(6)), _days("bee", *range(6)), _days("cat", 0, 9)
        repository.add_many([*ant, *bee, *cat])
        queries = [
            Query(run_id="run", agent_id="ant", times=(-math.inf, 2)),
            Query(run_id="run", agent_id="ant", steps=(0, 95), order=Order.STEP),
            Query(run_id="run", agent_id="ant", times=(1, 2)),
            Query(run_id="run", agent_id="bee"),
            Query(run_id="run", agent_id="nobody"),
        ]
        assert repository.remove_answering(queries) == 4 + 6
        assert everything(repository) == [*ant[3:5], *cat]
        assert repository.agents("run") == ["ant", "cat"]
        assert repository.remove_answering(queries) == 0
        assert repository.remove_answering([]) == 0

    def test_removal_keeps_to_a_querys_limit_and_attributes(
        self, repository: MemoryRepository
    ) -> None:
        calm = [an_entry(contents={"mood": "calm"}, timestamp=float(at)) for at in range(4)]
        alert = [an_entry(contents={"mood": "alert"}, timestamp=float(at)) for at in range(4)]
        repository.add_many([*calm, *alert])
        asked = Query(run_id="run", agent_id="ant", attributes={"mood": "calm"}, limit=3)
        assert repository.remove_answering([asked]) == 3
        newest = Query(run_id="run", agent_id="ant", order=Order.NEWEST, limit=1)
        assert repository.remove_answering([newest]) == 1
        assert len(everything(repository)) == 4

    def test_the_keys_of_many_agents_are_those_of_each(self, repository: MemoryRepository) -> None:
        repository.add_many([*_days("ant", *range(4)), *_days("bee", 1), *_days("cat", 2, 1)])
        agents = ["cat", "nobody", "ant", "cat"]
        assert repository.keys("run", *agents) == [
            *repository.keys("run", "cat"),
            *repository.keys("run", "ant"),
        ]
        assert repository.keys("run", *[]) == []

    def test_many_agents_are_cleared_and_no_other(self, repository: MemoryRepository) -> None:
        other = an_entry(agent_id="bee", run_id="another run")
        repository.add_many([*_days("ant", 1, 2), *_days("bee", 3), *_days("cat", 4), other])
        assert repository.clear_agents("run", ["ant", "nobody", "bee", "ant"]) == 3
        assert repository.agents("run") == ["cat"]
        assert everything(repository, "another run") == [other]
        assert repository.clear_agents("run", []) == 0


class AgeingContract:
    """What a tier notes of entries beyond a horizon; for tiers that entries leave."""

    def test_entries_beyond_the_horizon_are_noted_once_and_for_all_that_are_there(
        self, repository: MemoryRepository
    ) -> None:
        repository.add_many([*_days("ant", 5.0, 500.0, 900.0), *_days("bee", 5.0)])
        assert repository.upkeep.agent_counts("run", horizon=100.0)["ant"].ahead == Ahead(
            100.0, 900.0
        )
        repository.add_many(_days("ant", 2_000.0))
        found = repository.upkeep.agent_counts("run", ["ant", "bee"], horizon=150.0)
        assert [found[name].ahead for name in ("ant", "bee")] == [Ahead(100.0, 900.0), None]
        assert repository.upkeep.agent_counts("run")["ant"].ahead is None

    def test_what_came_after_a_note_is_noted_when_those_of_the_note_are_gone(
        self, repository: MemoryRepository
    ) -> None:
        first, later = _days("ant", 900.0, 2_000.0)
        repository.add(first)
        repository.upkeep.agent_counts("run", horizon=100.0)
        repository.add(later)
        repository.remove(first.key)
        assert repository.upkeep.agent_counts("run", horizon=150.0)["ant"].ahead == Ahead(
            150.0, 2_000.0
        )

    def test_a_note_ends_when_the_horizon_has_reached_it(
        self, repository: MemoryRepository
    ) -> None:
        repository.add_many(_days("ant", 900.0))
        repository.upkeep.agent_counts("run", horizon=100.0)
        assert repository.upkeep.agent_counts("run", horizon=900.0)["ant"].ahead is None
        # The clock has jumped back once more: what is ahead now may have come in between.
        assert repository.upkeep.agent_counts("run", horizon=200.0)["ant"].ahead == Ahead(
            200.0, 900.0
        )

    def test_a_note_of_a_horizon_that_went_back_is_made_anew(
        self, repository: MemoryRepository
    ) -> None:
        repository.add_many(_days("ant", 900.0))
        repository.upkeep.agent_counts("run", horizon=500.0)
        assert repository.upkeep.agent_counts("run", horizon=100.0)["ant"].ahead == Ahead(
            100.0, 900.0
        )

    def test_a_note_goes_with_the_last_entry(self, repository: MemoryRepository) -> None:
        entry, again = _days("ant", 900.0), _days("ant", 900.0)
        for cleared in (False, True):
            repository.add_many(entry)
            repository.upkeep.agent_counts("run", horizon=100.0)
            if cleared:
                repository.clear_agents("run", ["ant"])
            else:
                repository.remove(entry[0].key)
            repository.add_many(again)
            assert repository.upkeep.agent_counts("run", horizon=300.0)["ant"].ahead == Ahead(
                300.0, 900.0
            )
            repository.clear_run("run")

    def test_a_note_stays_when_entries_change(self, repository: MemoryRepository) -> None:
        entry, other = _days("ant", 900.0, 901.0)
        repository.add_many([entry, other])
        repository.upkeep.agent_counts("run", horizon=100.0)
        repository.replace(replace(entry, importance_score=0.5))
        repository.touch({other.key: 1}, at=2.0)
        assert repository.upkeep.agent_counts("run", horizon=300.0)["ant"].ahead == Ahead(
            100.0, 901.0
        )
