"""Pages of models are exact beside those who store, move and forget."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import redis
from redis_om import QueryNotSupportedError

from agent_memory import AgentMemorySystem, InvalidEntry, MemoryConfig, MemoryEntry
from agent_memory.testing import an_entry
from agent_memory.tiers.moving import move

AGENTS = [f"ant {number}" for number in range(7)]


@pytest.fixture
def system(client: redis.Redis, search_url: str, tmp_path: Path) -> Iterator[AgentMemorySystem]:
    del client  # it has emptied the server
    config = MemoryConfig(path=tmp_path, redis_url=search_url)
    with AgentMemorySystem(config, upkeep=False) as system:
        yield system


def lived(first: int, last: int) -> list[MemoryEntry]:
    """What all agents saw in some steps: many share each number."""
    return [
        an_entry(
            agent_id=agent, step_number=step, timestamp=float(step), importance_score=step % 3 / 2
        )
        for step in range(first, last)
        for agent in AGENTS
    ]


@pytest.mark.parametrize(
    "field", [None, "step_number", "-step_number", "timestamp", "-importance_score"]
)
@pytest.mark.parametrize("size", [1, 5])
def test_each_entry_that_stays_is_given_once_beside_those_that_come_and_go(
    system: AgentMemorySystem, field: str | None, size: int
) -> None:
    before = lived(20, 26)
    system.stm.add_many(before)
    rng = random.Random(size)
    model: Any = system.models.StmEntry
    query = model.find() if field is None else model.find().sort_by(field)
    given: list[Any] = []
    gone: set[Any] = set()
    last = None
    while page := query.page(limit=size, after=last):
        last = page[-1]
        given += [entry.to_entry() for entry in page]
        if len(gone) < 12:
            # A live run goes on: before, among and behind what was given.
            step = rng.randrange(10, 40)
            system.stm.add_many(lived(step, step + 1)[:2])
            moved = rng.sample([entry for entry in before if entry.key not in gone], 1)
            move(system.stm, system.im, moved)
            gone.add(moved[0].key)
    keys = [entry.key for entry in given]
    assert len(keys) == len(set(keys))
    assert {entry.key for entry in before} - gone <= set(keys)
    name, direction = (field or "timestamp").lstrip("-"), -1 if (field or "").startswith("-") else 1
    numbers = [direction * getattr(entry, name) for entry in given]
    assert numbers == sorted(numbers)


def test_pages_hold_all_once_and_refuse_what_cannot_be_paged(system: AgentMemorySystem) -> None:
    entries = lived(0, 5)
    system.stm.add_many(entries)
    model: Any = system.models.StmEntry
    found = model.find(model.step_number >= 2).sort_by("-step_number")
    pages = list(islice(found.pages(6), 9))
    assert [len(page) for page in pages] == [6, 6, 6, 3]
    steps = [entry.step_number for page in pages for entry in page]
    assert steps == sorted(steps, reverse=True)
    assert {entry.pk for page in pages for entry in page} == {entry.pk for entry in found.all()}
    assert found.page(2, 3) == found.page(offset=2, limit=3)
    assert list(model.find(model.step_number > 9).pages()) == []
    assert found.page(limit=0, after=None) == []
    with pytest.raises(InvalidEntry, match="size"):
        found.page(limit=-1, after=None)
    for refused in (
        model.find().sort_by("encoder_version"),
        found.values("step_number"),
        model.find(knn=model.near([1.0] * 384, 3)),
    ):
        with pytest.raises(QueryNotSupportedError, match="pages"):
            refused.pages(3)
