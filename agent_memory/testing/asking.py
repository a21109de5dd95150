"""Promises of questions about several agents and runs, in the words of any question there is."""

from __future__ import annotations

import random

import pytest

from agent_memory.errors import InvalidEntry
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.in_memory import InMemoryRepository
from agent_memory.testing.questions import random_entries, random_query
from agent_memory.testing.samples import an_entry
from agent_memory.values.query import ALL_RUNS, Query

_QUESTIONS = 60


class AskingContract:
    """Asking about one agent, several, or all, of one run, several, or all."""

    @pytest.mark.parametrize("seed", range(3))
    def test_any_question_has_the_answer_of_the_reference(
        self, repository: MemoryRepository, seed: int
    ) -> None:
        rng = random.Random(seed)  # noqa: S311 - no secret
        reference = InMemoryRepository(repository.tier)
        entries = random_entries(rng)
        repository.add_many(entries)
        reference.add_many(entries)
        for _ in range(_QUESTIONS):
            query = random_query(rng)
            assert repository.find(query) == reference.find(query), query

    def test_a_list_of_many_agents_is_answered_as_a_short_one(
        self, repository: MemoryRepository
    ) -> None:
        entries = [
            an_entry(agent_id=name, timestamp=float(time))
            for time, name in enumerate(["ant", "ant 600", "bee"])
        ]
        repository.add_many(entries)
        names = [f"ant {number}" for number in range(1_100)]
        query = Query(run_id="run", agent_id=["ant", *names], limit=2)
        assert repository.find(query) == entries[:2]
        assert repository.find(Query(run_id="run", agent_id=[])) == []
        assert repository.find(Query(run_id=[], agent_id="ant")) == []

    def test_each_of_some_questions_about_many_is_answered(
        self, repository: MemoryRepository
    ) -> None:
        entries = random_entries(random.Random(7), 30)  # noqa: S311 - no secret
        repository.add_many(entries)
        queries = [Query(run_id=ALL_RUNS), Query(run_id="run", agent_id="ant"), Query(run_id="no")]
        answers = repository.find_each(queries)
        assert answers == [repository.find(query) for query in queries]
        assert len(answers[0]) == len(entries)
        assert repository.remove_answering([Query(run_id=ALL_RUNS, pinned=False)]) == sum(
            not entry.pinned for entry in entries
        )
        assert {entry.pinned for entry in repository.find(queries[0])} <= {True}

    def test_what_is_for_one_agent_refuses_many_by_name(self, repository: MemoryRepository) -> None:
        with pytest.raises(InvalidEntry, match="agent_id: one agent"):
            repository.encodings.vectors(Query(run_id="run"))
        with pytest.raises(InvalidEntry, match="run"):
            repository.find(Query())
