"""Promises of ids: whatever an agent or run is called, it keeps to itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from agent_memory.errors import EntryNotFound
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.outcomes import Added, Gone
from agent_memory.testing.samples import HOSTILE_NAMES, HOSTILE_PAIRS, a_memory_id, an_entry
from agent_memory.testing.storing import everything
from agent_memory.values.entry import EntryKey
from agent_memory.values.query import Query


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Say of an error by which name it came."""
    try:
        yield
    except Exception as error:
        error.add_note(f"with the name {name!r}")
        raise


class ApartContract:
    """Agents and runs with hostile names."""

    def test_every_operation_works_for_agents_and_runs_of_any_name(
        self, repository: MemoryRepository
    ) -> None:
        # All of the names are stored, found and cleared below; here are some of each kind.
        for name in HOSTILE_NAMES[::3]:
            with _named(name):
                self._every_operation_works(repository, name)

    @staticmethod
    def _every_operation_works(repository: MemoryRepository, name: str) -> None:
        bystanders = [an_entry(run_id=name), an_entry(agent_id=name)]
        repository.add_many(bystanders)
        entry = an_entry(run_id=name, agent_id=name)
        assert repository.add(entry) is Added.STORED
        assert repository.add(entry) is Added.PRESENT
        assert repository.get(entry.key) == entry
        stored = repository.replace(entry)
        assert repository.touch({entry.key: 2}, at=5.0) == []
        stored = replace(stored, retrieval_count=2, last_access_time=5.0)
        assert repository.find(Query(run_id=name, agent_id=name, limit=10)) == [stored]
        assert repository.runs() == sorted({name, "run"})
        assert repository.agents(name) == sorted({name, "ant"})
        assert len(everything(repository, name)) == 2
        assert repository.remove_copied([stored]) == [Gone.REMOVED]
        repository.add(entry)
        assert repository.remove(entry.key, revision=0) is True
        repository.add(entry)
        assert repository.clear_agents(name, [name]) == 1
        assert repository.get_many([each.key for each in bystanders]) == bystanders
        assert repository.clear_run(name) == 1
        assert everything(repository) == bystanders[1:]
        assert repository.clear_run("run") == 1

    def test_hostile_agents_of_one_run_keep_apart(self, repository: MemoryRepository) -> None:
        entries = {name: an_entry(agent_id=name, contents={"of": name}) for name in HOSTILE_NAMES}
        repository.add_many(list(entries.values()))
        assert repository.agents("run") == sorted(HOSTILE_NAMES)
        for name, entry in entries.items():
            assert repository.find(Query(run_id="run", agent_id=name, limit=10)) == [entry]
            assert repository.count("run", name) == 1
        left = len(entries)
        for name in entries:
            assert repository.clear_agents("run", [name]) == 1
            left -= 1
            assert repository.count("run") == left
        assert repository.runs() == []

    def test_hostile_runs_keep_apart_even_with_the_same_memory_id(
        self, repository: MemoryRepository
    ) -> None:
        same = a_memory_id(1)
        entries = {
            name: an_entry(run_id=name, memory_id=same, contents={"of": name})
            for name in HOSTILE_NAMES
        }
        assert set(repository.add_many(list(entries.values()))) == {Added.STORED}
        assert repository.runs() == sorted(HOSTILE_NAMES)
        for name, entry in entries.items():
            assert repository.get(entry.key) == entry
            assert repository.agents(name) == ["ant"]
        for place, name in enumerate(sorted(entries)):
            assert repository.clear_run(name) == 1
            assert repository.runs() == sorted(HOSTILE_NAMES)[place + 1 :]

    def test_run_and_agent_do_not_run_together(self, repository: MemoryRepository) -> None:
        entries = [
            an_entry(run_id=run_id, agent_id=agent_id, contents={"of": [run_id, agent_id]})
            for run_id, agent_id in HOSTILE_PAIRS
        ]
        repository.add_many(entries)
        for entry in entries:
            assert repository.find(
                Query(run_id=entry.run_id, agent_id=entry.agent_id, limit=10)
            ) == [entry]
        for entry in entries:
            assert repository.clear_agents(entry.run_id, [entry.agent_id]) == 1
        assert repository.runs() == []

    def test_a_name_is_no_pattern(self, repository: MemoryRepository) -> None:
        plain = [an_entry(agent_id=name) for name in ("a", "b", "ab")]
        repository.add_many(plain)
        for pattern in ("*", "?", "[ab]", "a*", "%", "_", "a_", ".*", "a|b", "{a,b}"):
            assert repository.find(Query(run_id="run", agent_id=pattern, limit=10)) == []
            assert repository.count("run", pattern) == 0
            assert repository.count(pattern) == 0
            assert repository.clear_agents("run", [pattern]) == 0
            assert repository.clear_run(pattern) == 0
        assert repository.count("run") == 3

    def test_the_key_of_another_agent_or_run_reaches_nothing(
        self, repository: MemoryRepository
    ) -> None:
        entry = an_entry()
        repository.add(entry)
        for wrong in (entry.key._replace(agent_id="bee"), entry.key._replace(run_id="run 2")):
            with pytest.raises(EntryNotFound):
                repository.get(wrong)
            assert repository.remove(wrong) is False
            assert repository.remove_many([wrong]) == 0
            assert repository.touch({wrong: 1}, at=2.0) == [EntryKey(*wrong)]
        assert everything(repository) == [entry]

    def test_agents_that_share_a_memory_id_have_an_entry_each(
        self, repository: MemoryRepository
    ) -> None:
        first = an_entry(contents={"of": "ant"})
        other = replace(first, agent_id="bee", contents={"of": "bee"}, revision=3)
        assert repository.add_many([first, other, first]) == [
            Added.STORED, Added.STORED, Added.PRESENT,
        ]  # fmt: skip
        assert repository.get_many([other.key, first.key]) == [other, first]
        assert repository.count("run") == 2
        first = repository.replace(replace(first, importance_score=0.5))
        assert repository.touch({first.key: 1}, at=2.0) == []
        first = replace(first, retrieval_count=1, last_access_time=2.0)
        vector = np.ones(2, np.float32)
        assert repository.encodings.reembed([replace(first, embedding=vector)]) == [True]
        assert repository.get(other.key) == other
        first = repository.get(first.key)
        ways: list[Callable[[], bool]] = [
            lambda: repository.remove(first.key),
            lambda: repository.remove_many([first.key]) == 1,
            lambda: repository.remove_copied([first]) == [Gone.REMOVED],
            lambda: repository.remove_answering([Query(run_id="run", agent_id="ant")]) == 1,
            lambda: repository.clear_agents("run", ["ant"]) == 1,
        ]
        for remove in ways:
            assert remove()
            assert everything(repository) == [other]
            assert repository.add(first) is Added.STORED
        assert repository.get_many([first.key, other.key]) == [first, other]

    def test_an_agent_may_be_named_by_an_int(self, repository: MemoryRepository) -> None:
        entry = an_entry(agent_id=7)
        repository.add(entry)
        assert repository.agents("run") == ["7"]
        assert repository.find(Query(run_id="run", agent_id="7", limit=10)) == [entry]
