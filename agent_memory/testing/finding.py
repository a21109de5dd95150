"""Promises of ``find`` and of the readers built on it: order, ties, filters, limits."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agent_memory.errors import InvalidEntry
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.in_memory import InMemoryRepository
from agent_memory.testing.samples import a_memory_id, an_entry
from agent_memory.values.checks import MAX_STEP
from agent_memory.values.entry import EntryKey, MemoryEntry, MemoryType
from agent_memory.values.query import Order, Query

_STATE, _INTERACTION, _ACTION = MemoryType

# Number, step, timestamp, importance, type. Values collide on purpose, each in its own groups,
# and no two orders agree; given in an order that is none of them.
_ROWS = (
    (5, 2, 4.0, 0.5, _STATE),
    (1, 3, 1.0, 0.9, _ACTION),
    (7, 1, 1.0, 0.5, _STATE),
    (3, 2, 2.0, 1.0, _INTERACTION),
    (6, 2, 3.0, 0.0, _ACTION),
    (2, 1, 3.0, 0.9, _STATE),
    (8, 0, 3.0, 0.5, _STATE),
    (4, 3, 2.0, 0.5, _ACTION),
)

_ORDERS = {
    Order.OLDEST: [1, 7, 3, 4, 2, 6, 8, 5],
    Order.NEWEST: [5, 8, 6, 2, 4, 3, 7, 1],
    Order.STEP: [8, 2, 7, 3, 5, 6, 1, 4],
    Order.LATEST_STEP: [4, 1, 6, 5, 3, 7, 2, 8],
    Order.IMPORTANCE: [3, 2, 1, 8, 7, 5, 4, 6],
}

_EVERYWHERE = (-math.inf, math.inf)


def _row(number: int, step: int, time: float, importance: float, kind: MemoryType) -> MemoryEntry:
    return an_entry(
        memory_id=a_memory_id(number), step_number=step, timestamp=time,
        importance_score=importance, memory_type=kind,
    )  # fmt: skip


def _noise() -> bytes:
    return np.random.default_rng().bytes(2_000)


def _numbers(entries: list[MemoryEntry]) -> list[int]:
    return [int(entry.memory_id, 16) for entry in entries]


class FindingContract:
    """Finding what is stored."""

    @pytest.fixture
    def rows(self) -> list[MemoryEntry]:
        """The eight entries of ``_ROWS``."""
        return [_row(*row) for row in _ROWS]

    @pytest.fixture
    def filled(self, repository: MemoryRepository, rows: list[MemoryEntry]) -> MemoryRepository:
        """A repository with the eight entries, and as many of others that must not show."""
        repository.add_many(rows)
        for place in ({"agent_id": "bee"}, {"run_id": "run 2"}):
            repository.add_many(
                [an_entry(step_number=row[1], timestamp=row[2], **place) for row in _ROWS]
            )
        return repository

    def find(self, filled: MemoryRepository, **asked: Any) -> list[int]:
        """The numbers of the entries that answer."""
        return _numbers(filled.find(Query(run_id="run", agent_id="ant", **asked)))

    @pytest.mark.parametrize(("order", "expected"), _ORDERS.items())
    def test_each_order_sorts_and_breaks_ties_by_memory_id_in_its_direction(
        self, filled: MemoryRepository, order: Order, expected: list[int]
    ) -> None:
        assert self.find(filled, order=order) == expected

    @pytest.mark.parametrize("order", Order)
    @pytest.mark.parametrize("limit", [0, 1, 3, 8, 9, 2**31, 2**63, 2**70])
    def test_a_limit_keeps_the_first_of_the_order(
        self, filled: MemoryRepository, order: Order, limit: int
    ) -> None:
        assert self.find(filled, order=order, limit=limit) == _ORDERS[order][:limit]

    def test_the_oldest_come_first_unless_asked_otherwise(self, filled: MemoryRepository) -> None:
        assert self.find(filled) == _ORDERS[Order.OLDEST]

    @pytest.mark.parametrize(
        ("asked", "expected"),
        [
            ({"steps": (1, 2)}, {2, 3, 5, 6, 7}),
            ({"steps": (2, 2)}, {3, 5, 6}),
            ({"steps": (0, 0)}, {8}),
            ({"steps": (4, 9)}, set()),
            ({"steps": (-9, -1)}, set()),
            ({"steps": (-9, 0)}, {8}),
            ({"times": (2.0, 3.0)}, {2, 3, 4, 6, 8}),
            ({"times": (1.5, 2.5)}, {3, 4}),
            ({"times": (math.nextafter(2.0, 3.0), 3.0)}, {2, 6, 8}),
            ({"times": (-math.inf, 1.0)}, {1, 7}),
            ({"times": (4.0, math.inf)}, {5}),
            ({"times": (math.inf, math.inf)}, set()),
            ({"times": (-math.inf, -math.inf)}, set()),
            ({"importance": (0.5, 0.9)}, {1, 2, 4, 5, 7, 8}),
            ({"importance": (0.9, 1.0)}, {1, 2, 3}),
            ({"importance": (0.0, 0.0)}, {6}),
            ({"importance": (-5.0, 5.0)}, set(range(1, 9))),
            ({"importance": (None, 0.5)}, {4, 5, 6, 7, 8}),
            ({"steps": (2, None)}, {1, 3, 4, 5, 6}),
            ({"times": (None, 1.0)}, {1, 7}),
            ({"memory_type": _STATE}, {2, 5, 7, 8}),
            ({"memory_type": _INTERACTION}, {3}),
            ({"memory_type": _ACTION}, {1, 4, 6}),
        ],
    )  # fmt: skip
    def test_each_filter_keeps_what_lies_within_bounds_included(
        self, filled: MemoryRepository, asked: dict[str, Any], expected: set[int]
    ) -> None:
        for order, sequence in _ORDERS.items():
            answer = [number for number in sequence if number in expected]
            assert self.find(filled, order=order, **asked) == answer

    @pytest.mark.parametrize(
        ("steps", "expected"),
        [
            ((-(10**400), 10**400), [1, 2, 3, 4]),
            ((-(2**70), 2**70), [1, 2, 3, 4]),
            ((2**31, 2**64), [2, 3, 4]),
            ((MAX_STEP - 1, MAX_STEP - 1), [3]),
            ((MAX_STEP, MAX_STEP), [4]),
            ((MAX_STEP + 1, 2**70), []),
            ((2**70, 10**400), []),
            ((-(10**400), -(2**70)), []),
        ],
        ids=lambda value: None if len(str(value)) < 40 else "beyond any number",
    )
    def test_bounds_of_any_size_are_exact(
        self, repository: MemoryRepository, steps: tuple[int, int], expected: list[int]
    ) -> None:
        numbered = enumerate((0, 2**31, MAX_STEP - 1, MAX_STEP), start=1)
        repository.add_many(
            [an_entry(memory_id=a_memory_id(number), step_number=step) for number, step in numbered]
        )
        by_step = Query(run_id="run", agent_id="ant", steps=steps, order=Order.STEP)
        assert _numbers(repository.find(by_step)) == expected
        by_time = replace(by_step, times=(-math.inf, math.inf), order=Order.OLDEST)
        assert _numbers(repository.find(by_time)) == expected

    def test_every_combination_of_filters_order_and_limit_is_right(
        self, filled: MemoryRepository, rows: list[MemoryEntry]
    ) -> None:
        reference = InMemoryRepository(filled.tier)
        reference.add_many(rows)
        queries = [
            Query(
                run_id="run", agent_id="ant", steps=steps, times=times, memory_type=kind,
                importance=importance, order=order, limit=limit,
            )
            for steps, times, kind, importance, order, limit in itertools.product(
                (None, (1, 2), (3, None)),
                (None, (2.0, 3.0), _EVERYWHERE),
                (None, _STATE, _ACTION),
                (None, (0.5, 0.9), _EVERYWHERE),
                Order,
                (None, 0, 2),
            )
        ]  # fmt: skip
        # Every seventh, one by one, and every eleventh in one call: of either some have each pair
        # of values.
        for query in queries[::7]:
            assert _numbers(filled.find(query)) == _numbers(reference.find(query)), query
        some = queries[3::11]
        for query, answer in zip(some, filled.find_each(some), strict=True):
            assert _numbers(answer) == _numbers(reference.find(query)), query

    def test_what_is_found_is_whole(
        self, filled: MemoryRepository, rows: list[MemoryEntry]
    ) -> None:
        found = filled.find(Query(run_id="run", agent_id="ant"))
        assert found == sorted(rows, key=lambda entry: (entry.timestamp, entry.memory_id))

    def test_times_that_differ_in_the_last_bit_sort_and_filter_apart(
        self, repository: MemoryRepository
    ) -> None:
        times = [-1e300, -1.0, -5e-324, 0.0, 5e-324, 0.3, 0.1 + 0.2, 1.7e9, 1e300]
        times += [math.nextafter(1.7e9, 0.0), -1.7976931348623157e308, 1.7976931348623157e308]
        repository.add_many([an_entry(timestamp=time) for time in times])
        found = repository.find(Query(run_id="run", agent_id="ant", limit=99))
        assert [entry.timestamp for entry in found] == sorted(times)
        for time in times:
            exactly = repository.find(Query(run_id="run", agent_id="ant", times=(time, time)))
            assert [entry.timestamp for entry in exactly] == [time]

    def test_times_beyond_2_to_the_53_are_exact(self, repository: MemoryRepository) -> None:
        """As of a clock in nanoseconds: between two doubles lie 255 integers."""
        times = [1_700_000_000_000_000_000 + 256 * place for place in range(4)]
        repository.add_many([an_entry(timestamp=float(time)) for time in times])
        for bounds in itertools.product(
            (times[1] + off for off in (-1, 0, 1)), (times[2] + off for off in (-1, 0, 1))
        ):
            query = Query(run_id="run", agent_id="ant", times=bounds)
            assert [int(entry.timestamp) for entry in repository.find(query)] == [
                time for time in times if bounds[0] <= time <= bounds[1]
            ]

    def test_importances_that_differ_in_the_last_bit_sort_and_filter_apart(
        self, repository: MemoryRepository
    ) -> None:
        scores = [0.0, 5e-324, 0.3, 0.1 + 0.2, 1 / 3, math.nextafter(1.0, 0.0), 1.0]
        repository.add_many([an_entry(importance_score=score) for score in scores])
        for place, score in enumerate(scores):
            found = repository.find(
                Query(run_id="run", agent_id="ant", importance=(score, 1.0), order=Order.IMPORTANCE)
            )
            assert [entry.importance_score for entry in found] == scores[
                : place - 1 if place else None : -1
            ]

    def test_memory_ids_sort_as_text_from_the_first_digit_to_the_last(
        self, repository: MemoryRepository
    ) -> None:
        numbers = [0, 1, 9, 10, 2**63, 2**64 - 1, 2**64, 2**127, 2**127 + 1, 2**128 - 1]
        repository.add_many(
            [an_entry(memory_id=a_memory_id(number)) for number in reversed(numbers)]
        )
        by_step = Query(run_id="run", agent_id="ant", steps=(1, 1), order=Order.STEP)
        assert _numbers(repository.find(by_step)) == numbers
        newest = Query(run_id="run", agent_id="ant", order=Order.NEWEST, limit=10)
        assert _numbers(repository.find(newest)) == numbers[::-1]

    def test_each_condition_order_and_limit_says_what_it_says(
        self, filled: MemoryRepository
    ) -> None:
        ant = Query(run_id="run", agent_id="ant")
        by_step = replace(ant, order=Order.STEP)
        assert _numbers(filled.find(replace(by_step, steps=(2, 2)))) == [3, 5, 6]
        assert _numbers(filled.find(replace(by_step, steps=(1, 2)))) == [2, 7, 3, 5, 6]
        assert _numbers(filled.find(replace(by_step, steps=(1, 2), limit=3))) == [2, 7, 3]
        assert _numbers(filled.find(replace(ant, times=(2.0, 3.0)))) == [3, 4, 2, 6, 8]
        assert _numbers(filled.find(replace(ant, times=(2.0, 3.0), limit=2))) == [3, 4]
        newest = replace(ant, order=Order.NEWEST)
        assert _numbers(filled.find(replace(newest, limit=2))) == [5, 8]
        assert _numbers(filled.find(replace(ant, limit=2))) == [1, 7]
        assert filled.find(replace(newest, limit=0)) == filled.find(replace(ant, limit=0)) == []
        states = replace(newest, memory_type=_STATE)
        assert _numbers(filled.find(states)) == [5, 8, 2, 7]
        assert _numbers(filled.find(replace(states, limit=1))) == [5]
        important = replace(ant, importance=(0.0, 1.0), order=Order.IMPORTANCE)
        assert _numbers(filled.find(important)) == _ORDERS[Order.IMPORTANCE]
        important = replace(important, importance=(0.9, 1.0), limit=2)
        assert _numbers(filled.find(important)) == [3, 2]

    def test_get_many_gives_what_is_there_in_the_order_of_the_keys(
        self, filled: MemoryRepository, rows: list[MemoryEntry]
    ) -> None:
        other = filled.find(Query(run_id="run", agent_id="bee", limit=10))[0]
        missing = EntryKey("run", "ant", a_memory_id(99))
        asked = [rows[3].key, missing, other.key, rows[0].key, rows[3].key]
        assert filled.get_many(asked) == [rows[3], other, rows[0], rows[3]]

    def test_keys_come_by_step(self, filled: MemoryRepository) -> None:
        keys = filled.keys("run", "ant")
        assert [int(key.memory_id, 16) for key in keys] == _ORDERS[Order.STEP]
        assert {(key.run_id, key.agent_id) for key in keys} == {("run", "ant")}

    def test_stored_bytes_grow_with_what_is_stored(self, repository: MemoryRepository) -> None:
        before = repository.upkeep.stored_bytes()
        repository.add_many([an_entry(contents={"noise": _noise()}) for _ in range(200)])
        grown = repository.upkeep.stored_bytes() - before
        assert 200 * 2_000 < grown < 200 * 2_000 * 5

    def test_counts_are_those_of_the_listings(self, filled: MemoryRepository) -> None:
        assert filled.count("run", "ant") == 8
        assert filled.count("run") == 16
        assert filled.count("run 2") == 8
        assert filled.count("run 2", "bee") == filled.count("nowhere") == 0

    def test_a_query_that_names_no_run_is_refused(self, repository: MemoryRepository) -> None:
        with pytest.raises(InvalidEntry, match="run"):
            repository.find(Query(agent_id="ant"))

    @pytest.mark.parametrize("memory_type", [None, MemoryType.ACTION])
    def test_the_vectors_of_a_query_are_those_of_the_entries_it_finds(
        self, repository: MemoryRepository, memory_type: MemoryType | None
    ) -> None:
        vectors = (None, np.ones(4), np.arange(4.0) + 1, np.ones(2))
        repository.add_many(
            [
                an_entry(
                    step_number=step,
                    memory_type=kind,
                    embedding=vector,
                    encoder_version=None if vector is None else version,
                )
                for step, (vector, version, kind) in enumerate(
                    (vector, version, kind)
                    for vector in vectors
                    for version in (0, 3)
                    for kind in MemoryType
                )
            ]
        )
        query = Query(run_id="run", agent_id="ant", memory_type=memory_type, limit=1)
        found = {
            memory_id: (group.version, row.tobytes())
            for group in repository.encodings.vectors(query)
            for memory_id, row in zip(group.memory_ids, group.matrix, strict=True)
        }
        expected = {
            entry.memory_id: (
                entry.encoder_version,
                b"" if entry.embedding is None else entry.embedding.tobytes(),
            )
            for entry in repository.find(replace(query, limit=None))
        }
        assert found == expected
        assert len(found) == (24 if memory_type is None else 8)

    def test_importances_are_those_of_the_entries_newest_first(
        self, filled: MemoryRepository
    ) -> None:
        expected = filled.find(Query(run_id="run", agent_id="ant", order=Order.NEWEST))
        assert len(expected) == 8
        assert filled.upkeep.importances("run", "ant") == [
            (entry.key, entry.importance_score) for entry in expected
        ]
        assert filled.upkeep.importances("run", "nobody") == []

    def test_outdated_are_the_entries_with_vectors_of_other_versions_or_none(
        self, repository: MemoryRepository
    ) -> None:
        entries = [
            an_entry(step_number=step, embedding=vector, encoder_version=version)
            for step, (vector, version) in enumerate(
                [([1.0], 0), ([1.0], 1), (None, None), ([2.0], 12), ([1.0, 2.0], 1)]
            )
        ]
        repository.add_many([*entries, an_entry(agent_id="bee", encoder_version=3)])
        for version in (0, 1, 12, 7):
            assert repository.encodings.outdated("run", "ant", version) == [
                entry.key for entry in entries if entry.encoder_version != version
            ]
        assert repository.encodings.outdated("run", "nobody", 0) == []
        assert repository.encodings.versions() == {0: 1, 1: 2, 3: 1, 12: 1}
