"""What is kept of long-term memory's rows is right after every change, whoever made it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import Engine, event, text

from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.sql import open_engine
from agent_memory.embeddings.own import OwnSpace
from agent_memory.embeddings.registry import EncoderRegistry
from agent_memory.repositories.contract import LongTermMemory
from agent_memory.repositories.sql.encoders import EncoderVersions
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.retrieval.similarity import SimilarityQuery
from agent_memory.testing import a_memory_id, an_entry
from agent_memory.values.entry import MemoryEntry, MemoryType
from agent_memory.values.query import Query

WIDTH, ROWS = 8, 40
ANT = Query(run_id="run", agent_id="ant")


class Beside:
    """A probe of one vector, which has a bias before it."""

    def __init__(self, vector: NDArray[np.float32], bias: float = 0.0) -> None:
        self._vector, self._bias = vector, bias

    def at(self, version: int | None, width: int) -> NDArray[np.float32] | None:
        return self._vector if version in (1, 2) and width == len(self._vector) else None

    def bias(self, _version: int | None, _width: int) -> float:
        return self._bias


def vector_of(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=WIDTH).astype(np.float32)


def entry_of(seed: int, **fields: Any) -> MemoryEntry:
    usual: dict[str, Any] = {
        "memory_id": a_memory_id(seed), "run_id": "run", "agent_id": "ant", "step_number": seed,
        "timestamp": float(seed), "importance_score": (seed % 10) / 10, "pinned": seed % 7 == 0,
        "memory_type": MemoryType.ACTION if seed % 3 else MemoryType.STATE,
        "encoder_version": 1 + seed % 2, "embedding": vector_of(seed % 30), "contents": {"x": seed},
    }  # fmt: skip
    return an_entry(**(usual | fields))


@pytest.fixture
def repository(ltm_engine: Engine) -> LtmRepository:
    return LtmRepository(ltm_engine, ContentsCodec())


@pytest.fixture
def writer(ltm_engine: Engine) -> Iterator[LtmRepository]:
    """Another process, as far as the kept rows can tell."""
    url = ltm_engine.url
    alone = url.database == ":memory:"
    engine = ltm_engine if alone else open_engine(url.render_as_string(hide_password=False))
    yield LtmRepository(engine, ContentsCodec())
    if engine is not ltm_engine:
        engine.dispose()


def found(
    repository: LtmRepository,
    query: Query = ANT,
    probe: Beside | None = None,
    nearest: Callable[..., Any] = LtmRepository.nearest,
) -> list[tuple[str, int, Any]]:
    neighbours = nearest(repository, query, probe or Beside(vector_of(3)))
    return sorted(
        (it.entry.memory_id, it.entry.revision, it.cosine and round(it.cosine, 6))
        for it in neighbours
    )


def read_anew(
    repository: LtmRepository, query: Query = ANT, probe: Beside | None = None
) -> list[tuple[str, int, Any]]:
    """The same as the contract does it, from all rows."""
    return found(repository, query, probe, LongTermMemory.nearest)


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """The statements that an engine carries out meanwhile."""
    reported: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        reported.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield reported
    event.remove(engine, "before_cursor_execute", note)


FILTERS: list[dict[str, Any]] = [
    {},
    {"limit": 5},
    {"limit": 3, "steps": (10, 40)},
    {"steps": (10, 10**30)},
    {"limit": 4, "times": (-float("inf"), 30.5)},
    {"limit": 4, "importance": (0.5, 0.9)},
    {"limit": 2, "memory_type": MemoryType.ACTION},
    {"memory_type": MemoryType.INTERACTION},
    {"limit": 3, "pinned": True},
    {"limit": 3, "pinned": False, "steps": (20, 50)},
]


def test_the_nearest_are_those_of_all_rows(repository: LtmRepository) -> None:
    others = [entry_of(90, encoder_version=3), entry_of(91, embedding=None, encoder_version=None)]
    others += [entry_of(92, agent_id="bee"), entry_of(93, run_id="other")]
    repository.add_many([*map(entry_of, range(ROWS)), *others])
    for filters in FILTERS:
        for bias in (0.0, 2.0):
            asked = replace(ANT, **filters), Beside(vector_of(3), bias)
            assert found(repository, *asked) == read_anew(repository, *asked), filters


def changed(entry: MemoryEntry) -> MemoryEntry:
    return replace(entry, importance_score=0.99, contents={"x": -1})


def executed(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


CHANGES: dict[str, Callable[[LtmRepository, Any], object]] = {
    "added": lambda ltm, _: ltm.add(entry_of(ROWS, embedding=vector_of(3))),
    "replaced": lambda ltm, _: ltm.replace(changed(entry_of(3))),
    "removed": lambda ltm, _: ltm.remove(entry_of(3).key),
    "forgotten": lambda ltm, _: ltm.forget([entry_of(3).key], at=1.0),
    "encoded again": lambda ltm, _: ltm.encodings.reembed(
        [replace(entry_of(3), embedding=vector_of(9), encoder_version=2)]
    ),
    "cleared": lambda ltm, _: ltm.clear_agents("run", ["ant"]),
    "added again": lambda ltm, _: (
        ltm.remove(entry_of(ROWS - 1).key),
        ltm.add(entry_of(ROWS - 1, embedding=vector_of(3))),
    ),
    "deleted by others": lambda _, engine: executed(
        engine, "DELETE FROM agent_ltm_entries WHERE step_number = 3"
    ),
    "written by others": lambda _, engine: executed(
        engine, "UPDATE agent_ltm_entries SET importance_score = 0.77 WHERE step_number = 3"
    ),
}


@pytest.mark.parametrize("by", ["itself", "another"])
def test_no_change_is_missed_and_none_of_the_gone_answers(
    repository: LtmRepository, writer: LtmRepository, ltm_engine: Engine, by: str
) -> None:
    for name, change in CHANGES.items():
        repository.clear_run("run")
        repository.release([entry_of(3).key], at=2.0)
        repository.add_many([*map(entry_of, range(ROWS))])
        before, seen = found(repository), repository.changes("run", "ant").seen
        assert repository.changes("run", "ant", seen)[1:] == (False, [], [])
        assert found(repository) == before
        change(repository if by == "itself" else writer, ltm_engine)
        assert found(repository) == read_anew(repository), name
        important = replace(ANT, importance=(0.75, 1.0))
        assert found(repository, important) == read_anew(repository, important), name
        reported = repository.changes("run", "ant", seen)
        there = {entry.memory_id for entry in repository.find(ANT)}
        known = {entry_of(seed).memory_id for seed in range(ROWS)}
        came = {one.memory_id for one in reported.stored}
        assert (known - {*reported.gone}) | came == there, name
        if name != "cleared":
            assert 1 <= len(reported.stored) + len(reported.gone) <= 2, name
        assert repository.changes("run", "ant", reported.seen)[1:] == (False, [], []), name


def test_rows_are_read_once_while_nothing_is_committed(
    repository: LtmRepository, writer: LtmRepository, ltm_engine: Engine
) -> None:
    repository.add_many([*map(entry_of, range(ROWS))])
    query = replace(ANT, limit=3)
    found(repository, query)
    seen = repository.changes("run", "ant").seen
    with statements(ltm_engine) as reported:
        found(repository, query)
        repository.changes("run", "ant", seen)
    # The mark, and those three that are given.
    assert len(reported) <= 3 + 2 * (ltm_engine.dialect.name == "sqlite")
    assert not any("agent_ref = " in statement for statement in reported)
    writer.add(entry_of(ROWS))
    with statements(ltm_engine) as reported:
        found(repository, query)
    assert any("agent_ref = " in statement for statement in reported)


@pytest.mark.parametrize("by", ["itself", "another"])
def test_only_writes_that_change_an_agent_let_its_rows_be_read_again(
    repository: LtmRepository, writer: LtmRepository, ltm_engine: Engine, by: str
) -> None:
    repository.add_many([*map(entry_of, range(ROWS))])
    bee = entry_of(90, agent_id="bee")
    bees = replace(ANT, agent_id="bee")
    writes: list[Callable[[LtmRepository], object]] = [
        lambda ltm: ltm.touch({entry_of(3).key: 2}, at=99.0),
        lambda ltm: ltm.add(bee),
        lambda ltm: ltm.remove_many([bee.key]),
    ]
    for change in writes:
        before, seen = found(repository), repository.changes("run", "ant").seen
        found(repository, bees)
        change(repository if by == "itself" else writer)
        with statements(ltm_engine) as told:
            assert found(repository) == before
            assert repository.changes("run", "ant", seen)[1:] == (False, [], [])
        # Only SQLite tells that a process has written alone.
        spared = by == "itself" and ltm_engine.dialect.name == "sqlite"
        assert spared != any("agent_ref = " in statement for statement in told)
        assert found(repository, bees) == read_anew(repository, bees)
    # A write of another that came in between is not hidden by one of its own.
    found(repository)
    writer.add(entry_of(ROWS))
    repository.touch({entry_of(3).key: 2}, at=100.0)
    assert len(found(repository)) == ROWS + 1


def test_what_one_connection_knows_is_no_news_to_another(
    repository: LtmRepository, ltm_engine: Engine
) -> None:
    """Each connection of a pool counts by itself what others have committed."""
    if ltm_engine.url.database == ":memory:":
        pytest.skip("it has one connection alone")
    repository.add_many([*map(entry_of, range(ROWS))])
    before = found(repository)
    with ltm_engine.connect():  # while it is held, another one answers
        assert found(repository) == before
        repository.remove(entry_of(3).key)
        assert found(repository) == read_anew(repository) != before
    assert found(repository) == read_anew(repository)


def test_no_more_is_kept_than_was_allowed(ltm_engine: Engine) -> None:
    repository = LtmRepository(ltm_engine, ContentsCodec(), vector_cache_bytes=20_000)
    for number in range(8):
        some = range(number * ROWS, (number + 1) * ROWS)
        name = f"ant {number}"
        repository.add_many([entry_of(seed, agent_id=name) for seed in some])
        assert len(found(repository, replace(ANT, agent_id=name))) == ROWS
    assert repository._vectors.size <= 20_000
    assert len(found(repository, replace(ANT, agent_id="ant 0"))) == ROWS


def test_versions_that_another_process_registered_are_read_in_the_midst_of_a_question(
    ltm_engine: Engine,
) -> None:
    registered = [
        EncoderVersions(ltm_engine).register(OwnSpace(name, WIDTH).to_bytes(), kind="own", at=0.0)
        for name in ("model", "another")
    ]
    versions = [registered[seed % 2] for seed in range(ROWS)]
    LtmRepository(ltm_engine, ContentsCodec()).add_many(
        [entry_of(seed, encoder_version=version) for seed, version in enumerate(versions)]
    )
    encoders = EncoderRegistry(source=EncoderVersions(ltm_engine))
    asked = SimilarityQuery(encoders, None, dict.fromkeys(registered, vector_of(7)))
    late = LtmRepository(ltm_engine, ContentsCodec())
    query = replace(ANT, limit=5)
    assert len(late.nearest(query, asked)) == 10
    assert late.nearest(query, asked) == LongTermMemory.nearest(late, query, asked)
