"""Promises of a move: an entry is always in one of the two tiers, and forgetting wins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agent_memory.repositories.contract import LongTermMemory, MemoryRepository
from agent_memory.repositories.in_memory import InMemoryRepository
from agent_memory.repositories.outcomes import Added, Gone
from agent_memory.testing.samples import HOSTILE_NAMES, an_entry
from agent_memory.testing.storing import everything
from agent_memory.tiers.moving import move
from agent_memory.values.entry import MemoryEntry, MemoryType, Tier
from agent_memory.values.query import Order, Query


def _copies(entries: list[MemoryEntry]) -> list[MemoryEntry]:
    """What shall stand in the next tier: level and vector are of that tier."""
    return [
        replace(
            entry,
            compression_level=2,
            embedding=np.array([0.5], np.float32),
            encoder_version=3,
            error_bounds={"energy": 0.25},
            contents={"energy": 3.25},
        )
        for entry in entries
    ]


class MovingContract:
    """Moving entries on; override ``next_tier`` for a pair of tiers that move in their own way."""

    @pytest.fixture
    def next_tier(self) -> MemoryRepository:
        """Where entries move to; empty."""
        return InMemoryRepository(Tier.LTM)

    def test_what_moved_is_there_as_the_copy_says_and_no_longer_here(
        self, repository: MemoryRepository, next_tier: MemoryRepository
    ) -> None:
        entries = [
            an_entry(
                agent_id=agent,
                step_number=place,
                timestamp=place / 3,
                importance_score=place / 7,
                memory_type=kind,
                revision=place,
                retrieval_count=place,
                embedding=[1.0, 2.0],
            )
            for place, kind in enumerate(MemoryType)
            for agent in ("ant", "bee")
        ]
        stays = an_entry(agent_id="bee")
        repository.add_many([*entries, stays])
        copies = _copies(entries)
        assert move(repository, next_tier, copies) == [Gone.REMOVED] * 6
        assert everything(repository) == [stays]
        assert set(everything(next_tier)) == set(copies)

    def test_what_a_copy_no_longer_has_is_not_there(
        self, repository: MemoryRepository, next_tier: MemoryRepository
    ) -> None:
        entry = an_entry(embedding=[1.0], encoder_version=1, error_bounds={"energy": 0.5})
        repository.add(entry)
        copy = replace(entry, embedding=None, encoder_version=None, error_bounds=None)
        assert move(repository, next_tier, [copy]) == [Gone.REMOVED]
        assert everything(next_tier) == [copy]

    def test_what_changed_since_it_was_read_stays_and_moves_with_the_next_call(
        self, repository: MemoryRepository, next_tier: MemoryRepository
    ) -> None:
        replaced, touched, same = entries = [an_entry() for _ in range(3)]
        repository.add_many(entries)
        repository.replace(replace(replaced, importance_score=0.5))
        repository.touch({touched.key: 1}, at=2.0)
        assert move(repository, next_tier, _copies(entries)) == [
            Gone.CHANGED,
            Gone.CHANGED,
            Gone.REMOVED,
        ]
        left = everything(repository)
        assert {entry.memory_id for entry in left} == {replaced.memory_id, touched.memory_id}
        # It may be long until the next call: meanwhile each is in one tier.
        assert everything(next_tier) == _copies([same])
        assert move(repository, next_tier, _copies(left)) == [Gone.REMOVED] * 2
        assert everything(repository) == []
        assert set(everything(next_tier)) == {*_copies(left), *_copies([same])}

    def test_what_was_left_in_both_by_a_crash_is_moved_by_the_same_call(
        self, repository: MemoryRepository, next_tier: MemoryRepository
    ) -> None:
        entries = [an_entry() for _ in range(3)]
        copies = _copies(entries)
        repository.add_many(entries)
        next_tier.add_many(copies[:2])
        repository.remove(entries[0].key)
        assert move(repository, next_tier, copies[:2]) == [Gone.ABSENT, Gone.REMOVED]
        assert move(repository, next_tier, copies[:2]) == [Gone.ABSENT, Gone.ABSENT]
        assert everything(repository) == entries[2:]
        assert set(everything(next_tier)) == set(copies[:2])

    def test_an_older_copy_left_there_is_replaced_in_every_order(
        self, repository: MemoryRepository, next_tier: MemoryRepository
    ) -> None:
        entry = an_entry()
        next_tier.add(replace(entry, embedding=np.array([9.0], np.float32)))
        repository.add(entry)
        changed = repository.replace(
            replace(entry, memory_type=MemoryType.ACTION, step_number=9, timestamp=9.0)
        )
        assert move(repository, next_tier, _copies([changed])) == [Gone.REMOVED]
        assert everything(next_tier) == _copies([changed])
        assert (
            next_tier.find(Query(run_id="run", agent_id="ant", steps=(1, 1), order=Order.STEP))
            == []
        )
        assert everything(repository) == []

    def test_a_thousand_entries_move_in_one_call(
        self, repository: MemoryRepository, next_tier: MemoryRepository
    ) -> None:
        entries = [an_entry(agent_id=f"agent {place % 7}") for place in range(1_001)]
        repository.add_many(entries)
        assert move(repository, next_tier, _copies(entries)) == [Gone.REMOVED] * 1_001
        assert repository.runs() == []
        assert set(everything(next_tier)) == set(_copies(entries))

    def test_moving_nothing_is_nothing(
        self, repository: MemoryRepository, next_tier: MemoryRepository
    ) -> None:
        assert move(repository, next_tier, []) == []
        assert next_tier.runs() == []

    def test_hostile_names_move_to_themselves(
        self, repository: MemoryRepository, next_tier: MemoryRepository
    ) -> None:
        entries = [an_entry(run_id=name, agent_id=name) for name in HOSTILE_NAMES]
        repository.add_many(entries)
        assert set(move(repository, next_tier, _copies(entries))) == {Gone.REMOVED}
        assert repository.runs() == []
        assert next_tier.runs() == sorted(HOSTILE_NAMES)
        assert next_tier.get_many([entry.key for entry in entries]) == _copies(entries)

    def test_moving_what_was_forgotten_brings_nothing_back(
        self, repository: MemoryRepository, next_tier: MemoryRepository
    ) -> None:
        if not isinstance(next_tier, LongTermMemory):
            pytest.skip("only long-term memory remembers what was forgotten")
        entry = an_entry()
        repository.add(entry)
        next_tier.forget([entry.key], at=5.0)
        assert move(repository, next_tier, _copies([entry])) == [Gone.REMOVED]
        assert everything(repository) == everything(next_tier) == []
        assert next_tier.add(entry) is Added.FORGOTTEN

    def test_no_move_is_left_open_once_it_ended(
        self, repository: MemoryRepository, next_tier: MemoryRepository
    ) -> None:
        entries = [an_entry() for _ in range(3)]
        repository.add_many(entries)
        move(repository, next_tier, _copies(entries))
        assert repository.moves.open() == []
