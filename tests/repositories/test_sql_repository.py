"""What is special to long-term memory in SQL; the contract has its own tests at the end."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, text

from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.sql import open_engine, writing
from agent_memory.errors import (
    EncodingError,
    EntryConflict,
    InvalidEntry,
    StoreReadOnly,
    StoreUnavailable,
)
from agent_memory.repositories.outcomes import Added
from agent_memory.repositories.sql import schema
from agent_memory.repositories.sql.names import KnownNames
from agent_memory.repositories.sql.questions import entries_answering
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.testing import a_memory_id, an_entry
from agent_memory.values.entry import EntryKey, MemoryEntry
from agent_memory.values.identity import MemoryIds
from agent_memory.values.query import Order, Query

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ltm.db"


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{path}")
    schema.ensure(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def repository(engine: Engine) -> LtmRepository:
    return LtmRepository(engine, ContentsCodec())


def _beneath(path: Path, query: str, *values: object) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.close()


def test_upkeep_passes_over_a_damaged_row_alone(
    repository: LtmRepository, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaged, whole = entries = [an_entry(), an_entry()]
    repository.add_many(entries)
    _beneath(
        path,
        "UPDATE agent_ltm_entries SET contents = x'c1' WHERE memory_id = ?",
        bytes.fromhex(damaged.memory_id),
    )
    assert repository.upkeep.get_readable([damaged.key, whole.key]) == [whole]
    assert damaged.memory_id in caplog.text


def test_the_row_holds_what_the_entry_says(repository: LtmRepository, path: Path) -> None:
    entry = an_entry(
        embedding=np.array([0.1, -2.0], np.float32), importance_score=0.25, revision=4,
        retrieval_count=2, compression_level=2, step_number=7, timestamp=8.5, encoder_version=6,
    )  # fmt: skip
    repository.add(entry)
    [row] = _beneath(
        path,
        "SELECT r.name, a.name, t.name, hex(memory_id), step_number, timestamp, importance_score,"
        " revision, retrieval_count, compression_level, encoder_version, embedding, contents"
        " FROM agent_ltm_entries e JOIN agent_ltm_runs r ON r.id = e.run_ref"
        " JOIN agent_ltm_agents a ON a.id = e.agent_ref AND a.run_id = r.id"
        " JOIN agent_ltm_types t ON t.id = e.type_ref",
    )
    assert row[:11] == (
        *("run", "ant", "state", entry.memory_id.upper(), 7, 8.5, 0.25, 4, 2, 2, 6),
    )  # fmt: skip
    assert row[11] == np.array([0.1, -2.0], "<f4").tobytes()
    assert ContentsCodec().decode(row[12], 7) == entry.contents


def test_a_row_written_beneath_is_read(repository: LtmRepository, path: Path) -> None:
    repository.add(an_entry())
    _beneath(path, "UPDATE agent_ltm_entries SET step_number = 44, importance_score = 0.5")
    assert [
        entry.step_number
        for entry in repository.find(
            Query(run_id="run", agent_id="ant", importance=(0.5, 1.0), order=Order.IMPORTANCE)
        )
    ] == [44]


def test_leaving_a_unit_of_work_without_commit_undoes_it(
    repository: LtmRepository, path: Path
) -> None:
    stays = an_entry()
    repository.add(stays)
    with repository.unit_of_work() as work:
        work.delete_rows(place.row for place in work.locate([stays.key]).values())
        assert work.locate([stays.key]) == {}
    assert repository.get(stays.key) == stays
    with pytest.raises(ZeroDivisionError), repository.unit_of_work() as work:
        assert work.forget([stays.key], at=0.0) == 1 / 0
    assert repository.get(stays.key) == stays
    assert _beneath(path, "SELECT * FROM agent_ltm_tombstones") == []


def test_references_learned_in_an_undone_transaction_are_not_used(
    repository: LtmRepository, path: Path
) -> None:
    with repository.unit_of_work() as work:
        work.forget([EntryKey("undone", "ant", a_memory_id(1))], at=0.0)
    # The reference that run would have had goes to another now.
    repository.add(an_entry(run_id="first"))
    entry = an_entry(run_id="undone")
    repository.add(entry)
    assert repository.get(entry.key) == entry
    assert _beneath(path, "PRAGMA foreign_key_check") == []


def test_names_deleted_by_another_process_are_added_anew(
    repository: LtmRepository, path: Path
) -> None:
    repository.add_many([an_entry(agent_id=name) for name in ("ant", "bee")])
    repository.clear_run("run")
    for table in ("agents", "runs", "types"):
        _beneath(path, f"DELETE FROM agent_ltm_{table}")  # noqa: S608
    # Another process gives names of its own in the meantime: no reference may come again.
    other = "INSERT INTO agent_ltm_runs (name, status, created_at) VALUES ('other', 's', 0)"
    _beneath(path, other)
    for name in ("wasp", "fly"):
        agent = "INSERT INTO agent_ltm_agents (run_id, name) SELECT max(id), ? FROM agent_ltm_runs"
        _beneath(path, agent, name)
    _beneath(path, "INSERT INTO agent_ltm_types (name) VALUES ('action')")
    entries = [an_entry(agent_id=name) for name in ("bee", "ant")]
    assert repository.add_many(entries) == [Added.STORED, Added.STORED]
    assert repository.get_many([entry.key for entry in entries]) == entries
    assert repository.runs() == ["run"]
    assert _beneath(path, "PRAGMA foreign_key_check") == []


def test_a_hundred_thousand_names_do_not_stay_in_memory() -> None:
    known = KnownNames()
    known.learn({("run", str(number)): number for number in range(100_000)})
    known.learn({("run", "last"): 1})
    assert known.of([("run", "0"), ("run", "last")]) == {("run", "last"): 1}


def test_a_failure_within_a_batch_stores_nothing_of_it(
    engine: Engine, repository: LtmRepository
) -> None:
    with writing(engine).begin() as connection:
        connection.execute(
            text(
                "CREATE TRIGGER full BEFORE INSERT ON agent_ltm_entries WHEN NEW.step_number = 3"
                " BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
            )
        )
    entries = [an_entry(step_number=step) for step in range(5)]
    with pytest.raises((StoreUnavailable, EntryConflict)):
        repository.add_many(entries)
    assert repository.runs() == []


def test_batches_are_transactions_of_their_own(engine: Engine) -> None:
    repository = LtmRepository(engine, ContentsCodec(), batch_size=2)
    entries = [an_entry(step_number=step) for step in range(5)]
    assert repository.add_many([*entries, entries[0]]) == [Added.STORED] * 5 + [Added.PRESENT]
    assert set(repository.find(Query(run_id="run", agent_id="ant", limit=10))) == set(entries)


def test_what_cannot_be_stored_is_refused_before_any_batch(engine: Engine) -> None:
    repository = LtmRepository(engine, ContentsCodec(), batch_size=1, max_entry_bytes=50)
    for bad in (
        an_entry(contents={"a": "x" * 60}),
        an_entry(contents={"a": print}),
        an_entry(revision=2**63 - 1),
    ):
        with pytest.raises(InvalidEntry):
            repository.add_many([an_entry(), bad])
    assert repository.runs() == []


def test_a_forgotten_key_leaves_a_tombstone_and_no_row(
    repository: LtmRepository, path: Path
) -> None:
    entry, never = an_entry(), an_entry(run_id="elsewhere")
    repository.add(entry)
    assert repository.forget([entry.key, never.key], at=12.5) == 1
    assert repository.forget([entry.key], at=99.0) == 0
    tombstones = _beneath(
        path,
        "SELECT r.name, lower(hex(memory_id)), forgotten_at FROM agent_ltm_tombstones"
        " JOIN agent_ltm_runs r ON r.id = run_ref",
    )
    assert sorted(tombstones) == [
        ("elsewhere", never.memory_id, 12.5),
        ("run", entry.memory_id, 99.0),
    ]
    assert _beneath(path, "SELECT count(*) FROM agent_ltm_entries") == [(0,)]
    assert repository.add_many([entry, never]) == [Added.FORGOTTEN] * 2


def test_forgetting_something_that_is_no_id_is_refused(repository: LtmRepository) -> None:
    with pytest.raises(InvalidEntry):
        repository.forget([EntryKey("run", "ant", "nonsense")], at=0.0)


def test_keys_that_cannot_be_stored_are_not_found(repository: LtmRepository) -> None:
    entry = an_entry()
    repository.add(entry)
    odd = [
        replace_id(entry.key, text)
        for text in ("", "nonsense", entry.memory_id.upper() + "A", "\ud800")
    ]
    assert repository.get_many(odd) == []
    assert repository.touch(dict.fromkeys(odd, 1), at=1.0) == odd
    assert repository.remove_many(odd) == 0


def replace_id(key: EntryKey, memory_id: str) -> EntryKey:
    return key._replace(memory_id=memory_id)


def test_another_agents_key_is_not_found(repository: LtmRepository) -> None:
    entry = an_entry()
    repository.add(entry)
    theirs = entry.key._replace(agent_id="bee")
    assert repository.get_many([theirs]) == []
    assert repository.remove(theirs) is False
    assert repository.get(entry.key) == entry


def test_declared_attributes_are_a_column_of_json(engine: Engine, path: Path) -> None:
    repository = LtmRepository(engine, ContentsCodec(), indexed_attributes=("role", "deep.x"))
    repository.add(an_entry(contents={"role": "tr\u00e4ger", "deep": {"x": 2}}, step_number=1))
    repository.add(an_entry(contents={"deep": 7}, step_number=2))
    query = "SELECT json_extract(attributes, '$.role'), json_extract(attributes, '$.\"deep.x\"')"
    found = _beneath(path, f"{query} FROM agent_ltm_entries ORDER BY step_number")
    assert found == [("tr\u00e4ger", 2), (None, None)]
    [changed] = repository.find(Query(run_id="run", agent_id="ant", steps=(1, 1), order=Order.STEP))
    repository.replace(replace(changed, contents={"role": "other"}))
    repository.add(replace(changed, revision=9, contents={"role": "third"}))
    assert _beneath(path, f"{query} FROM agent_ltm_entries ORDER BY step_number")[0][0] == "third"


def test_an_encoder_version_that_is_not_here_is_noted_and_cannot_be_deleted(
    engine: Engine, repository: LtmRepository, path: Path
) -> None:
    entry = an_entry(encoder_version=7, embedding=[1.0])
    repository.add(entry)
    noted = _beneath(path, "SELECT id, status FROM agent_ltm_encoder_versions")
    assert noted == [(7, "unregistered")]
    with pytest.raises(Exception, match="FOREIGN KEY"), writing(engine).begin() as connection:
        connection.execute(text("DELETE FROM agent_ltm_encoder_versions"))
    assert repository.get(entry.key) == entry


def test_a_damaged_row_is_named_and_the_others_stay_readable(
    repository: LtmRepository, path: Path
) -> None:
    good, bad = an_entry(), an_entry()
    repository.add_many([good, bad])
    _beneath(
        path,
        "UPDATE agent_ltm_entries SET contents = x'00' WHERE memory_id = ?",
        bytes.fromhex(bad.memory_id),
    )
    with pytest.raises(EncodingError, match=bad.memory_id):
        repository.get(bad.key)
    assert repository.get(good.key) == good


def test_a_store_opened_read_only_reads_and_refuses_every_write(
    repository: LtmRepository, path: Path
) -> None:
    entry = an_entry()
    repository.add(entry)
    engine = open_engine(f"sqlite:///{path}", read_only=True)
    reader = LtmRepository(engine, ContentsCodec())
    assert reader.get(entry.key) == entry
    for write in (
        lambda: reader.add(entry),
        lambda: reader.add_many([]),
        lambda: reader.replace(entry),
        lambda: reader.touch({entry.key: 1}, at=1.0),
        lambda: reader.remove(entry.key),
        lambda: reader.remove_many([entry.key]),
        lambda: reader.remove_copied([entry]),
        lambda: reader.clear_agents("run", ["ant"]),
        lambda: reader.clear_run("run"),
        lambda: reader.forget([entry.key], at=1.0),
    ):
        with pytest.raises(StoreReadOnly):
            write()
    engine.dispose()
    assert repository.get(entry.key) == entry


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        ({}, "agent_ref_timestamp (agent_ref=?)"),
        ({"order": "newest", "limit": 5}, "agent_ref_timestamp (agent_ref=?)"),
        ({"order": "step"}, "agent_ref_step_number (agent_ref=?)"),
        ({"steps": (1, 2)}, "agent_ref_step_number (agent_ref=? AND step_number>?"),
        ({"times": (1, 2)}, "agent_ref_timestamp (agent_ref=? AND timestamp>?"),
        ({"memory_type": "state"}, "agent_ref_timestamp (agent_ref=?)"),
    ],
)
def test_every_question_is_answered_through_an_index(
    engine: Engine, repository: LtmRepository, asked: dict[str, Any], index: str
) -> None:
    query = Query(run_id="run", agent_id="ant", **asked)
    ((statement, parameters),) = entries_answering(repository._models, query)
    with engine.connect() as connection:
        literal = statement.params(**parameters).compile(
            engine, compile_kwargs={"literal_binds": True}
        )
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {literal}").first()
    assert plan is not None
    assert index in plan[-1]


@pytest.mark.long
def test_processes_that_write_at_once_lose_nothing(path: Path, repository: LtmRepository) -> None:
    code = (
        "import sys\n"
        "from agent_memory.compression.levels import ContentsCodec\n"
        "from agent_memory.connections.sql import open_engine\n"
        "from agent_memory.repositories.sql.repository import LtmRepository\n"
        "from agent_memory.testing import a_memory_id, an_entry\n"
        "repository = LtmRepository(open_engine(sys.argv[1]), ContentsCodec())\n"
        "for number in range(40):\n"
        "    shared = an_entry(memory_id=a_memory_id(number), agent_id=f'shared {number}')\n"
        "    repository.add_many([shared, an_entry(agent_id=sys.argv[2])])\n"
        "    repository.touch({shared.key: 1}, at=2.0)"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, f"sqlite:///{path}", str(n)], cwd=PROJECT)
        for n in range(3)
    ]
    assert [child.wait() for child in children] == [0, 0, 0]
    assert [repository.count("run", str(number)) for number in range(3)] == [40, 40, 40]
    for number in range(40):
        [shared] = repository.find(
            Query(run_id="run", agent_id=f"shared {number}", order=Order.NEWEST, limit=10)
        )
        assert shared.retrieval_count == 3


class _Ready:
    """Contents that are encoded already, as on a move."""

    def encode(self, entry: MemoryEntry) -> bytes:
        return bytes(entry.contents["coded"])

    def encode_many(self, entries: Sequence[MemoryEntry]) -> list[bytes]:
        return [self.encode(entry) for entry in entries]

    def decode(self, encoded: bytes, step: int, vector: object = None) -> dict[str, Any]:
        return {"coded": encoded}

    def decode_many(
        self, encoded: Sequence[bytes], steps: Sequence[int], vectors: object = None
    ) -> list[Any]:
        return [self.decode(*one) for one in zip(encoded, steps, strict=True)]

    def values_at(self, path: str, *_: object) -> list[Any]:
        raise AssertionError(f"values at {path} were asked for")


def _moves(agents: int, batches: int, contents: Mapping[str, Any]) -> Iterator[list[MemoryEntry]]:
    """Entries as moves bring them: made step by step, moved 100 of one agent at a time."""
    now = [1.76e9]
    ids = MemoryIds(clock=lambda: now[0])
    lives: list[list[MemoryEntry]] = [[] for _ in range(agents)]
    vector = np.zeros(8, np.float32)  # 32 bytes
    for step in range(100 * batches):
        for agent in range(agents):
            now[0] += 0.0002
            lives[agent].append(
                an_entry(
                    memory_id=ids(), agent_id=f"agent {agent}", step_number=step,
                    timestamp=now[0], contents=contents, embedding=vector, encoder_version=0,
                    compression_level=2,
                )
            )  # fmt: skip
    for batch in range(batches):
        for life in lives:
            yield life[100 * batch : 100 * (batch + 1)]


@pytest.mark.long
def test_a_row_costs_130_bytes_beside_vector_and_contents(engine: Engine, path: Path) -> None:
    coded = bytes(60)
    repository = LtmRepository(engine, _Ready())
    rows = 0
    for batch in _moves(agents=200, batches=5, contents={"coded": coded}):
        repository.add_many(batch)
        rows += len(batch)
    assert rows == 100_000
    _beneath(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    [(pages,)] = _beneath(path, "PRAGMA page_count")
    [(page_bytes,)] = _beneath(path, "PRAGMA page_size")
    a_row = pages * page_bytes / rows - 32 - len(coded)
    assert a_row <= 130
    assert path.stat().st_size == pages * page_bytes
    assert repository.upkeep.stored_bytes() == pytest.approx(pages * page_bytes, rel=0.01)
