"""Promises of ``add`` and of what removes: each key once, the newer wins, nothing left behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from agent_memory.errors import EntryConflict, EntryNotFound, InvalidEntry
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.outcomes import Added, Gone
from agent_memory.testing.samples import UNSTORABLE_CONTENTS, a_memory_id, an_entry
from agent_memory.values.entry import EntryKey, MemoryEntry, MemoryType
from agent_memory.values.query import Order, Query


def everything(repository: MemoryRepository, run_id: str = "run") -> list[MemoryEntry]:
    """All entries of a run, having checked that all ways to list and count them agree."""
    found: list[MemoryEntry] = []
    for agent_id in repository.agents(run_id):
        agent = Query(run_id=run_id, agent_id=agent_id, limit=1_000_000)
        entries = repository.find(agent)
        same = set(entries)
        assert same, f"agent {agent_id!r} is listed without entries"
        assert len(same) == len(entries)
        for query in (
            replace(agent, order=Order.NEWEST),
            replace(agent, order=Order.STEP, steps=(0, 2**53), limit=None),
            replace(agent, order=Order.IMPORTANCE, importance=(0.0, 1.0), limit=None),
        ):
            assert set(repository.find(query)) == same
        newest = replace(agent, order=Order.NEWEST, limit=None)
        by_type = [repository.find(replace(newest, memory_type=kind)) for kind in MemoryType]
        assert {entry for entries in by_type for entry in entries} == same
        assert sum(map(len, by_type)) == len(same)
        by_pin = [
            repository.find(replace(agent, pinned=pinned, limit=None)) for pinned in (True, False)
        ]
        assert set(by_pin[0]) == {entry for entry in entries if entry.pinned}
        assert set(by_pin[1]) == same - {*by_pin[0]}
        assert repository.count(run_id, agent_id) == len(same)
        assert repository.get_many([entry.key for entry in entries]) == entries
        assert set(repository.keys(run_id, agent_id)) == {entry.key for entry in entries}
        found += entries
    assert repository.count(run_id) == len(found)
    assert (run_id in repository.runs()) == bool(found)
    return found


class StoringContract:
    """Adding and removing."""

    def test_what_was_added_is_found(self, repository: MemoryRepository) -> None:
        entry = an_entry()
        assert repository.add(entry) is Added.STORED
        assert repository.get(entry.key) == entry
        assert everything(repository) == [entry]

    def test_adding_again_says_present_and_stays_one_entry(
        self, repository: MemoryRepository
    ) -> None:
        entry = an_entry()
        repository.add(entry)
        assert repository.add(entry) is Added.PRESENT
        assert everything(repository) == [entry]

    @pytest.mark.parametrize(
        ("stored", "given", "wins"),
        [
            ((0, 0), (0, 0), False),
            ((0, 0), (0, 1), True),
            ((0, 1), (0, 0), False),
            ((0, 0), (1, 0), True),
            ((1, 0), (0, 0), False),
            ((1, 0), (0, 9), False),
            ((0, 9), (1, 0), True),
            ((9, 0), (10, 0), True),
            ((10, 0), (9, 0), False),
            ((0, 9), (0, 10), True),
            ((0, 10), (0, 9), False),
        ],
    )
    def test_of_two_copies_the_newer_wins_and_of_equals_the_stored(
        self,
        repository: MemoryRepository,
        stored: tuple[int, int],
        given: tuple[int, int],
        wins: bool,
    ) -> None:
        first = an_entry(revision=stored[0], retrieval_count=stored[1], contents={"copy": "first"})
        second = replace(
            first, revision=given[0], retrieval_count=given[1], contents={"copy": "second"}
        )
        repository.add(first)
        assert repository.add(second) is Added.PRESENT
        assert everything(repository) == [second if wins else first]

    def test_a_newer_copy_takes_its_new_place_in_every_order(
        self, repository: MemoryRepository
    ) -> None:
        old = an_entry(embedding=[1.0], encoder_version=1, error_bounds={"energy": 0.5})
        new = replace(old, revision=1, step_number=9, timestamp=9.0, importance_score=0.25,
                      memory_type=MemoryType.ACTION, embedding=None, encoder_version=None,
                      error_bounds=None)  # fmt: skip
        repository.add(old)
        repository.add(new)
        assert_moved(repository, new)

    def test_the_same_key_twice_in_one_call_is_one_entry_the_newer(
        self, repository: MemoryRepository
    ) -> None:
        old = an_entry(contents={"copy": "old"})
        new = replace(old, revision=1, contents={"copy": "new"})
        other = an_entry(agent_id="bee")
        outcome = repository.add_many([new, other, old, new])
        assert outcome == [Added.STORED, Added.STORED, Added.PRESENT, Added.PRESENT]
        assert everything(repository) == [new, other]
        twice = [replace(old, run_id="two"), replace(new, run_id="two")]
        assert repository.add_many(twice) == [Added.STORED, Added.PRESENT]
        assert everything(repository, "two") == [twice[1]]

    def test_add_many_says_what_became_of_each_in_order(self, repository: MemoryRepository) -> None:
        entries = [
            an_entry(agent_id=f"agent {number % 3}", run_id=f"run {number % 2}")
            for number in range(12)
        ]
        repository.add_many(entries[::2])
        outcome = repository.add_many(entries)
        assert outcome == [Added.PRESENT, Added.STORED] * 6

    def test_adding_nothing_is_nothing(self, repository: MemoryRepository) -> None:
        assert repository.add_many([]) == []
        assert repository.runs() == []

    def test_a_thousand_entries_of_many_agents_and_runs_go_in_one_call(
        self, repository: MemoryRepository
    ) -> None:
        entries = [
            an_entry(
                memory_id=a_memory_id(number),
                run_id=f"run {number % 2}",
                agent_id=f"agent {number % 30:02}",
                timestamp=float(number),
            )
            for number in range(1_001)
        ]
        assert repository.add_many(entries) == [Added.STORED] * len(entries)
        assert repository.get_many([entry.key for entry in entries]) == entries
        assert repository.count("run 0") == 501
        assert repository.count("run 1") == 500
        assert len(everything(repository, "run 1")) == 500
        assert repository.remove_many(entry.key for entry in entries) == len(entries)
        assert repository.runs() == []

    @pytest.mark.parametrize(
        ("contents", "path"), UNSTORABLE_CONTENTS, ids=[path for _, path in UNSTORABLE_CONTENTS]
    )
    def test_contents_that_cannot_be_stored_are_refused_by_path_and_store_nothing(
        self, repository: MemoryRepository, contents: Mapping[str, Any], path: str
    ) -> None:
        good, bad = an_entry(), an_entry(contents=contents)
        with pytest.raises(InvalidEntry) as refusal:
            repository.add_many([good, bad])
        assert path in str(refusal.value)
        assert repository.runs() == []
        repository.add(good)
        with pytest.raises(InvalidEntry):
            repository.replace(replace(good, contents=contents))
        assert everything(repository) == [good]

    def test_removing_says_whether_it_was_there(self, repository: MemoryRepository) -> None:
        entry, stays = an_entry(), an_entry()
        repository.add_many([entry, stays])
        assert repository.remove(entry.key) is True
        assert repository.remove(entry.key) is False
        assert everything(repository) == [stays]

    def test_what_was_removed_is_not_found(self, repository: MemoryRepository) -> None:
        entry = an_entry()
        repository.add(entry)
        repository.remove(entry.key)
        with pytest.raises(EntryNotFound) as missing:
            repository.get(entry.key)
        assert entry.memory_id in str(missing.value)
        assert repository.get_many([entry.key]) == []
        assert repository.agents("run") == []
        assert everything(repository) == []

    def test_what_was_removed_can_be_added_again(self, repository: MemoryRepository) -> None:
        entry = an_entry()
        repository.add(entry)
        repository.remove(entry.key)
        assert repository.add(entry) is Added.STORED
        assert everything(repository) == [entry]

    @pytest.mark.parametrize("given", [0, 1, 3, 20])
    def test_removing_another_revision_is_a_conflict_and_the_entry_stays(
        self, repository: MemoryRepository, given: int
    ) -> None:
        entry = an_entry(revision=2)
        repository.add(entry)
        with pytest.raises(EntryConflict):
            repository.remove(entry.key, revision=given)
        assert everything(repository) == [entry]
        assert repository.remove(entry.key, revision=2) is True
        assert repository.remove(entry.key, revision=given) is False

    def test_remove_many_counts_those_that_were_there(self, repository: MemoryRepository) -> None:
        entries = [an_entry(agent_id=name, revision=3) for name in ("a", "a", "b", "c")]
        repository.add_many(entries)
        keys = [entry.key for entry in entries[:3]]
        missing = an_entry().key
        assert repository.remove_many(iter([*keys, missing, keys[0]])) == 3
        assert everything(repository) == entries[3:]
        assert repository.remove_many([]) == 0

    def test_remove_copied_takes_what_was_copied(self, repository: MemoryRepository) -> None:
        entries = [an_entry(agent_id=name) for name in ("a", "a", "b")]
        repository.add_many(entries)
        assert repository.remove_copied(entries[1:]) == [Gone.REMOVED] * 2
        assert everything(repository) == entries[:1]
        assert repository.remove_copied([]) == []

    def test_remove_copied_refuses_what_changed_since(self, repository: MemoryRepository) -> None:
        replaced, touched, _, gone = copies = [an_entry(revision=1) for _ in range(4)]
        repository.add_many(copies)
        repository.replace(replaced)
        repository.touch({touched.key: 1}, at=2.0)
        repository.remove(gone.key)
        assert repository.remove_copied(copies) == [
            Gone.CHANGED, Gone.CHANGED, Gone.REMOVED, Gone.ABSENT,
        ]  # fmt: skip
        left = {entry.memory_id for entry in everything(repository)}
        assert left == {replaced.memory_id, touched.memory_id}
        again = repository.get_many([replaced.key, touched.key])
        assert repository.remove_copied(again) == [Gone.REMOVED] * 2

    def test_remove_copied_of_a_key_given_twice_finds_it_gone(
        self, repository: MemoryRepository
    ) -> None:
        entry = an_entry()
        repository.add(entry)
        assert repository.remove_copied([entry, entry]) == [Gone.REMOVED, Gone.ABSENT]

    def test_clear_agent_takes_all_of_one_agent_in_one_run_and_nothing_else(
        self, repository: MemoryRepository
    ) -> None:
        theirs = [an_entry(memory_type=kind) for kind in MemoryType]
        others = [an_entry(agent_id="bee"), an_entry(agent_id="an"), an_entry(agent_id="antant")]
        elsewhere = an_entry(run_id="run 2", memory_id=theirs[0].memory_id)
        repository.add_many([*theirs, *others, elsewhere])
        assert repository.clear_agents("run", ["ant"]) == 3
        assert set(everything(repository)) == set(others)
        assert everything(repository, "run 2") == [elsewhere]
        assert repository.clear_agents("run", ["ant"]) == 0
        assert repository.clear_agents("nowhere", ["ant"]) == 0

    def test_clear_run_takes_all_of_one_run_and_nothing_else(
        self, repository: MemoryRepository
    ) -> None:
        theirs = [an_entry(agent_id=name) for name in ("ant", "ant", "bee")]
        others = [an_entry(run_id=run, memory_id=theirs[0].memory_id) for run in ("ru", "runrun")]
        repository.add_many([*theirs, *others])
        assert repository.clear_run("run") == 3
        assert everything(repository) == []
        assert repository.runs() == ["ru", "runrun"]
        assert [everything(repository, run) for run in ("ru", "runrun")] == [[e] for e in others]
        assert repository.clear_run("run") == 0

    def test_agents_and_runs_are_listed_while_they_have_entries_and_sorted(
        self, repository: MemoryRepository
    ) -> None:
        names = ["b", "a10", "a9", "B", "", "\U0001f41c", "\uff21", "a"]
        by_run = [an_entry(run_id=name or " ", agent_id="ant") for name in names]
        by_agent = [an_entry(agent_id=name or " ") for name in names]
        repository.add_many([*by_run, *by_agent])
        expected = sorted(name or " " for name in names)
        assert repository.agents("run") == expected
        assert repository.runs() == sorted([*expected, "run"])
        repository.remove(by_run[0].key)
        repository.remove(by_agent[0].key)
        assert repository.agents("run") == sorted(set(expected) - {"b"})
        assert repository.runs() == sorted({*expected, "run"} - {"b"})

    def test_an_empty_store_lists_nothing(self, repository: MemoryRepository) -> None:
        key = EntryKey("run", "ant", a_memory_id(1))
        assert repository.runs() == []
        assert repository.agents("run") == []
        assert repository.count("run") == repository.count("run", "ant") == 0
        assert (
            repository.find(Query(run_id="run", agent_id="ant", limit=10))
            == repository.find(Query(run_id="run", agent_id="ant", steps=(0, 0), order=Order.STEP))
            == []
        )
        assert repository.get_many([key]) == repository.get_many([]) == []
        assert repository.keys("run", "ant") == []
        assert repository.remove(key) is False
        assert repository.clear_run("run") == 0


def assert_moved(repository: MemoryRepository, entry: MemoryEntry) -> None:
    """The only entry lies where its fields say, and nowhere its former fields said."""
    assert everything(repository) == [entry]
    there = Query(run_id=entry.run_id, agent_id=entry.agent_id)
    for query, other in (
        (replace(there, steps=(entry.step_number,) * 2), replace(there, steps=(1, 1))),
        (replace(there, times=(entry.timestamp,) * 2), replace(there, times=(1.0, 1.0))),
        (
            replace(there, memory_type=entry.memory_type),
            replace(there, memory_type=MemoryType.STATE),
        ),
        (
            replace(there, importance=(entry.importance_score, 1.0)),
            replace(there, importance=(1.0, 1.0)),
        ),
    ):
        for order in Order:
            assert repository.find(replace(query, order=order)) == [entry]
            assert repository.find(replace(other, order=order)) == []
