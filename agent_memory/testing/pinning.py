"""Promises of pins: kept with the entry, found by an index, and in nobody's way."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.counts import AgentCounts
from agent_memory.repositories.in_memory import InMemoryRepository
from agent_memory.repositories.outcomes import Gone
from agent_memory.testing.samples import Directions, an_entry
from agent_memory.testing.storing import everything
from agent_memory.tiers.moving import move, withdraw
from agent_memory.values.entry import MemoryEntry, Tier
from agent_memory.values.query import Order, Query

ANT = Query(run_id="run", agent_id="ant")


def _twelve(*pinned: int) -> list[MemoryEntry]:
    """Entries of the steps 0 to 11, some of which are pinned, and one of another agent."""
    return [
        *(
            an_entry(
                step_number=step,
                timestamp=float(step),
                importance_score=step / 12,
                pinned=step in pinned,
                embedding=[1.0, step / 12],
                encoder_version=0,
            )
            for step in range(12)
        ),
        an_entry(agent_id="bee", pinned=True),
    ]


def _steps(entries: list[MemoryEntry]) -> list[int]:
    return [entry.step_number for entry in entries]


class PinningContract:
    """Pinned entries."""

    @pytest.fixture
    def next_tier(self) -> MemoryRepository:
        """Where entries move to; empty."""
        return InMemoryRepository(Tier.LTM)

    def test_a_pin_is_kept_and_replacing_sets_and_takes_it(
        self, repository: MemoryRepository
    ) -> None:
        pinned, free = an_entry(pinned=True), an_entry(embedding=[1.0], encoder_version=1)
        repository.add_many([pinned, free])
        assert set(everything(repository)) == {pinned, free}
        unpinned = repository.replace(replace(pinned, pinned=False))
        assert unpinned == replace(pinned, pinned=False, revision=1)
        now_pinned = repository.replace(replace(free, pinned=True))
        assert now_pinned == replace(free, pinned=True, revision=1)
        assert set(everything(repository)) == {unpinned, now_pinned}
        assert repository.find(replace(ANT, pinned=True)) == [now_pinned]

    def test_a_newer_copy_brings_its_pin_and_an_older_one_does_not(
        self, repository: MemoryRepository
    ) -> None:
        entry = an_entry()
        repository.add(replace(entry, revision=1))
        repository.add(replace(entry, pinned=True))
        assert everything(repository) == [replace(entry, revision=1)]
        repository.add(replace(entry, pinned=True, revision=2))
        assert everything(repository) == [replace(entry, pinned=True, revision=2)]

    def test_retrievals_and_new_vectors_leave_the_pin(self, repository: MemoryRepository) -> None:
        entry = an_entry(pinned=True, embedding=[1.0], encoder_version=0)
        free = an_entry(embedding=[1.0], encoder_version=0)
        repository.add_many([entry, free])
        repository.touch({entry.key: 1}, at=2.0)
        # One that is on the grid of whole numbers, which long-term memory codes in another way.
        vector = np.array([127.0, -1.0], np.float32)
        again = [replace(one, embedding=vector, encoder_version=1) for one in (entry, free)]
        assert repository.encodings.reembed(again) == [True, True]
        assert repository.encodings.reembed(again, read=again) == [True, True]
        assert repository.encodings.reembed(again, read=[entry, free]) == [False, False]
        assert [repository.get(one.key).pinned for one in (entry, free)] == [True, False]
        assert repository.get(entry.key).embedding is not None
        assert len(everything(repository)) == 2

    @pytest.mark.parametrize("pinned", [(), (0, 5, 11), tuple(range(12))])
    def test_a_query_by_pin_keeps_order_limit_and_every_other_condition(
        self, repository: MemoryRepository, pinned: tuple[int, ...]
    ) -> None:
        entries = _twelve(*pinned)
        repository.add_many(entries)
        ranges: tuple[dict[str, Any], ...] = (
            {},
            {"steps": (2, 9)},
            {"times": (1.0, 8.0)},
            {"importance": (0.2, 0.9)},
        )
        limits = (None, 0, 1, 3, 12, 2**63)
        for order, condition, wanted in product(Order, ranges, (True, False)):
            query = replace(ANT, order=order, **condition)
            answers = [entry for entry in repository.find(query) if entry.pinned == wanted]
            asked = [replace(query, pinned=wanted, limit=limit) for limit in limits]
            expected = [answers[:limit] for limit in limits]
            assert [repository.find(one) for one in asked] == expected
            assert repository.find_each([*asked, ANT]) == [*expected, entries[:12]]

    def test_the_nearest_are_found_by_pin(self, repository: MemoryRepository) -> None:
        entries = _twelve(3, 4)
        repository.add_many(entries)
        probe = Directions()
        for wanted, count in ((True, 2), (False, 10), (None, 12)):
            found = repository.nearest(replace(ANT, pinned=wanted), probe)
            assert len(found) == count
            assert all(one.entry.pinned == wanted for one in found if wanted is not None)
        assert len(repository.nearest(replace(ANT, pinned=False, limit=3), probe)) == 3

    def test_pins_go_with_their_entries(self, repository: MemoryRepository) -> None:
        entries = _twelve(0, 1, 2)
        repository.add_many(entries)
        assert repository.remove(entries[0].key) is True
        assert repository.remove_copied([entries[1]]) == [Gone.REMOVED]
        assert repository.find(replace(ANT, pinned=True)) == [entries[2]]
        repository.clear_agents("run", ["ant"])
        repository.add_many([replace(entry, pinned=False) for entry in entries])
        assert repository.find(replace(ANT, pinned=True)) == []
        assert len(everything(repository)) == 13

    def test_counts_per_agent_tells_how_many_are_pinned_and_the_first_that_are_not(
        self, repository: MemoryRepository
    ) -> None:
        def counts_with(*pinned: int) -> AgentCounts:
            repository.clear_run("run")
            repository.add_many(_twelve(*pinned))
            return repository.upkeep.agent_counts("run")["ant"]

        assert counts_with() == AgentCounts(12, 0.0, 11.0, 0, 11, 11)
        assert counts_with(0, 1, 2, 7) == AgentCounts(12, 3.0, 11.0, 3, 11, 11, pinned=4)
        assert counts_with(11) == AgentCounts(12, 0.0, 11.0, 0, 11, 11, pinned=1)
        assert counts_with(*range(12)) == AgentCounts(12, 0.0, 11.0, 0, 11, 11, pinned=12)

    def test_counts_per_agent_goes_past_hundreds_that_are_pinned(
        self, repository: MemoryRepository
    ) -> None:
        # Their steps run against their times.
        repository.add_many(
            [
                an_entry(timestamp=float(at), step_number=999 - at, pinned=at < 300 or at > 590)
                for at in range(600)
            ]
        )
        assert repository.upkeep.agent_counts("run") == {
            "ant": AgentCounts(600, 300.0, 599.0, 999 - 590, 400, 999, pinned=309)
        }
        first = repository.find(replace(ANT, pinned=False, limit=2))
        assert [entry.timestamp for entry in first] == [300.0, 301.0]

    def test_importances_are_those_of_what_is_not_pinned(
        self, repository: MemoryRepository
    ) -> None:
        entries = _twelve(0, 6, 11)
        repository.add_many(entries)
        assert repository.upkeep.importances("run", "ant") == [
            (entry.key, entry.importance_score)
            for entry in reversed(entries[:12])
            if not entry.pinned
        ]

    def test_removal_of_what_is_not_pinned_leaves_what_is(
        self, repository: MemoryRepository
    ) -> None:
        entries = _twelve(0, 1, 9)
        repository.add_many(entries)
        early = replace(ANT, times=(-math.inf, 5.0), pinned=False)
        assert repository.remove_answering([early, replace(early, steps=(0, 3))]) == 4
        assert _steps(repository.find(ANT)) == [0, 1, *range(6, 12)]
        assert repository.remove_answering([replace(ANT, pinned=True)]) == 3
        assert repository.remove_answering([early, replace(ANT, steps=(0, 7))]) == 2
        assert _steps(repository.find(ANT)) == [8, 10, 11]

    def test_a_pin_moves_with_its_entry(
        self, repository: MemoryRepository, next_tier: MemoryRepository
    ) -> None:
        entries = _twelve(0, 3)[:12]
        repository.add_many(entries)
        assert move(repository, next_tier, entries) == [Gone.REMOVED] * 12
        assert everything(repository) == []
        assert set(everything(next_tier)) == set(entries)

    def test_what_was_pinned_since_it_was_read_stays_and_leaves_no_copy_below(
        self, repository: MemoryRepository, next_tier: MemoryRepository
    ) -> None:
        entries = [an_entry(), an_entry()]
        repository.add_many(entries)
        pinned = repository.replace(replace(entries[0], pinned=True))
        assert move(repository, next_tier, entries) == [Gone.CHANGED, Gone.REMOVED]
        assert everything(repository) == [pinned]
        assert everything(next_tier) == [entries[1]]

    def test_only_older_copies_are_withdrawn(
        self, repository: MemoryRepository, next_tier: MemoryRepository
    ) -> None:
        changed, same, newer_there, gone = copies = [an_entry(revision=1) for _ in range(4)]
        next_tier.add_many([*copies[:2], replace(newer_there, revision=3), gone])
        repository.add_many(copies[:3])
        for entry in (changed, newer_there):
            repository.replace(replace(entry, pinned=True))
        withdraw(repository, next_tier, copies)
        withdraw(repository, next_tier, [])
        left = {entry.memory_id for entry in everything(next_tier)}
        assert left == {same.memory_id, newer_there.memory_id, gone.memory_id}
