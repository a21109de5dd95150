"""Promises of ``replace`` and ``touch``: no change is lost, none is made to another entry."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from agent_memory.errors import EntryConflict, EntryNotFound, InvalidEntry
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.moves import token_at
from agent_memory.testing.samples import Directions, an_entry
from agent_memory.testing.storing import assert_moved, everything
from agent_memory.values.entry import MemoryType
from agent_memory.values.query import Query


def _vector(*numbers: float) -> NDArray[np.float32]:
    return np.array(numbers, np.float32)


class ChangingContract:
    """Changing what is stored."""

    def test_replace_stores_the_change_with_the_next_revision(
        self, repository: MemoryRepository
    ) -> None:
        entry, other = an_entry(revision=9), an_entry()
        repository.add_many([entry, other])
        changed = replace(entry, importance_score=0.5, contents={"pinned": True})
        stored = repository.replace(changed)
        assert stored == replace(changed, revision=10)
        assert repository.get(entry.key) == stored
        assert set(everything(repository)) == {stored, other}
        assert repository.get(other.key) == other

    def test_a_replaced_entry_takes_its_new_place_in_every_order(
        self, repository: MemoryRepository
    ) -> None:
        entry = an_entry(embedding=[1.0], encoder_version=1, error_bounds={"energy": 0.5})
        repository.add(entry)
        changed = replace(entry, step_number=9, timestamp=9.0, importance_score=0.25,
                          memory_type=MemoryType.ACTION, embedding=None, encoder_version=None,
                          error_bounds=None)  # fmt: skip
        assert_moved(repository, repository.replace(changed))

    @pytest.mark.parametrize("given", [0, 1, 3, 20])
    def test_replacing_another_revision_is_a_conflict_and_the_stored_stays(
        self, repository: MemoryRepository, given: int
    ) -> None:
        entry = an_entry(revision=2)
        repository.add(entry)
        with pytest.raises(EntryConflict):
            repository.replace(replace(entry, revision=given, importance_score=0.5))
        assert everything(repository) == [entry]

    def test_the_same_change_made_twice_is_a_conflict(self, repository: MemoryRepository) -> None:
        entry = an_entry()
        repository.add(entry)
        stored = repository.replace(entry)
        with pytest.raises(EntryConflict):
            repository.replace(entry)
        assert repository.replace(stored).revision == 2

    def test_replacing_what_is_not_stored_is_not_found_and_stores_nothing(
        self, repository: MemoryRepository
    ) -> None:
        with pytest.raises(EntryNotFound):
            repository.replace(an_entry())
        assert repository.runs() == []

    def test_replace_keeps_the_retrievals_that_were_counted_since_it_was_read(
        self, repository: MemoryRepository
    ) -> None:
        entry = an_entry(retrieval_count=1)
        repository.add(entry)
        repository.touch({entry.key: 4}, at=7.0)
        stored = repository.replace(replace(entry, importance_score=0.5))
        assert (stored.retrieval_count, stored.last_access_time) == (5, 7.0)
        assert repository.get(entry.key) == stored

    def test_touch_counts_retrievals_and_moves_the_last_access_on(
        self, repository: MemoryRepository
    ) -> None:
        once, often, never = entries = [
            an_entry(agent_id=name, retrieval_count=9, embedding=[0.5]) for name in ("a", "b", "b")
        ]
        repository.add_many(entries)
        assert repository.touch({once.key: 1, often.key: 30}, at=2.5) == []
        assert repository.get(once.key) == replace(once, retrieval_count=10, last_access_time=2.5)
        assert repository.get(often.key) == replace(often, retrieval_count=39, last_access_time=2.5)
        assert repository.get(never.key) == never
        repository.touch({once.key: 1}, at=0.1 + 0.2 + 3)
        assert repository.get(once.key).retrieval_count == 11
        assert repository.get(once.key).last_access_time == 0.1 + 0.2 + 3

    def test_a_count_that_is_made_again_under_its_token_counts_once(
        self, repository: MemoryRepository
    ) -> None:
        entries = [an_entry(agent_id=name) for name in ("a", "b", "b")]
        absent = an_entry().key
        repository.add_many(entries)
        first, second = token_at(time.time()), token_at(time.time())
        counts = {absent: 1} | {entry.key: 2 for entry in entries}
        assert repository.touch(counts, at=2.0, token=first) == [absent]
        assert repository.touch(counts, at=2.0, token=first) == [absent]
        assert [repository.get(entry.key).retrieval_count for entry in entries] == [2, 2, 2]
        assert repository.touch(counts, at=3.0, token=second) == [absent]
        assert [repository.get(entry.key).retrieval_count for entry in entries] == [4, 4, 4]
        # Whose answer has come is not asked about again, so that its name is forgotten.
        repository.touched(first)
        repository.touched(second)
        repository.touched(token_at(time.time()))
        repository.touch(counts, at=4.0, token=first)
        assert [repository.get(entry.key).retrieval_count for entry in entries] == [6, 6, 6]

    def test_a_count_that_is_made_again_is_answered_as_before_wherever_entries_are_by_then(
        self, repository: MemoryRepository
    ) -> None:
        gone, came, stays = entries = [an_entry() for _ in range(3)]
        repository.add_many([gone, stays])
        token = token_at(time.time())
        counts = {entry.key: 1 for entry in entries}
        assert repository.touch(counts, at=2.0, token=token) == [came.key]
        repository.remove(gone.key)
        repository.add(came)
        assert repository.touch(counts, at=2.0, token=token) == [came.key]
        assert repository.get(came.key).retrieval_count == 0
        assert repository.get(stays.key).retrieval_count == 1
        repository.touched(token)

    @pytest.mark.parametrize(("last", "at"), [(10.0, 9.0), (-1.0, -2.0), (1e300, 1.0)])
    def test_touch_never_moves_the_last_access_back(
        self, repository: MemoryRepository, last: float, at: float
    ) -> None:
        entry = an_entry(last_access_time=last)
        repository.add(entry)
        repository.touch({entry.key: 1}, at=at)
        assert repository.get(entry.key) == replace(entry, retrieval_count=1)

    @pytest.mark.parametrize(("last", "at"), [(9.0, 10.0), (-2.0, -1.0), (0.0, 5e-324)])
    def test_touch_compares_times_as_numbers(
        self, repository: MemoryRepository, last: float, at: float
    ) -> None:
        entry = an_entry(last_access_time=last)
        repository.add(entry)
        repository.touch({entry.key: 1}, at=at)
        assert repository.get(entry.key).last_access_time == at

    def test_touch_gives_the_keys_that_are_absent_and_makes_nothing_of_them(
        self, repository: MemoryRepository
    ) -> None:
        entry = an_entry()
        removed, never, other_run = an_entry(), an_entry(agent_id="bee"), an_entry(run_id="run 2")
        repository.add_many([entry, removed])
        repository.remove(removed.key)
        counts = {each.key: 1 for each in (never, entry, other_run, removed)}
        absent = repository.touch(counts, at=2.0)
        assert sorted(absent) == sorted([never.key, other_run.key, removed.key])
        assert repository.runs() == ["run"]
        assert [found.key for found in everything(repository)] == [entry.key]
        assert repository.touch({}, at=2.0) == []

    def test_touch_leaves_revision_and_place(self, repository: MemoryRepository) -> None:
        entries = [an_entry(timestamp=float(place), revision=3) for place in range(3)]
        repository.add_many(entries)
        repository.touch({entries[0].key: 5}, at=9.0)
        found = repository.find(Query(run_id="run", agent_id="ant", limit=10))
        assert [entry.key for entry in found] == [entry.key for entry in entries]
        assert repository.remove(entries[0].key, revision=3) is True

    @pytest.mark.parametrize("at", [math.nan, math.inf, -math.inf])
    def test_touch_at_no_moment_is_refused(self, repository: MemoryRepository, at: float) -> None:
        entry = an_entry()
        repository.add(entry)
        with pytest.raises(InvalidEntry):
            repository.touch({entry.key: 1}, at=at)
        assert everything(repository) == [entry]

    def test_reembedding_changes_vector_and_version_alone(
        self, repository: MemoryRepository
    ) -> None:
        entries = [
            an_entry(embedding=[1.0, 2.0], encoder_version=0, retrieval_count=3, revision=2),
            an_entry(),
            an_entry(embedding=[4.0], encoder_version=1),
        ]
        repository.add_many(entries)
        new = [
            replace(entries[0], embedding=_vector(3.0), encoder_version=9, step_number=7),
            replace(entries[1], embedding=_vector(0.5, 0.25, 0.125), encoder_version=9),
            replace(entries[2], embedding=None, encoder_version=None),
        ]
        assert repository.encodings.reembed(new) == [True] * 3
        assert repository.get_many([entry.key for entry in entries]) == [
            replace(new[0], step_number=entries[0].step_number), new[1], new[2],
        ]  # fmt: skip
        probe = Directions()
        query = Query(run_id="run", agent_id="ant")
        cosines = {hit.entry.key: hit.cosine for hit in repository.nearest(query, probe)}
        assert cosines.keys() == {entry.key for entry in entries}
        assert cosines[entries[2].key] is None
        assert cosines[entries[0].key] is not None

    def test_a_vector_of_another_revision_or_of_nothing_is_not_stored(
        self, repository: MemoryRepository
    ) -> None:
        entry = an_entry(embedding=[1.0], encoder_version=0, revision=2)
        repository.add(entry)
        late = replace(entry, embedding=_vector(2.0), encoder_version=1, revision=1)
        assert repository.encodings.reembed([late, an_entry(embedding=[1.0])]) == [False, False]
        assert everything(repository) == [entry]
        assert repository.encodings.reembed([]) == []

    def test_only_the_vector_that_was_read_is_replaced(self, repository: MemoryRepository) -> None:
        vectors: list[list[float] | None] = [[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], None, None]
        versions = [0, 0, 0, None, None]
        read = [
            an_entry(embedding=vector, encoder_version=version)
            for vector, version in zip(vectors, versions, strict=True)
        ]
        # Stored again under the same ids since then, but for the first and the fourth.
        stored = [
            read[0],
            replace(read[1], embedding=_vector(2.0, 1.0)),
            replace(read[2], encoder_version=1),
            read[3],
            replace(read[4], embedding=_vector(1.0), encoder_version=0),
        ]
        repository.add_many(stored)
        new = [replace(one, embedding=_vector(5.0), encoder_version=2) for one in read]
        assert repository.encodings.reembed(new, read) == [True, False, False, True, False]
        assert repository.get_many([one.key for one in read]) == [
            new[0], stored[1], stored[2], new[3], stored[4],
        ]  # fmt: skip
        assert repository.encodings.reembed([], []) == []
