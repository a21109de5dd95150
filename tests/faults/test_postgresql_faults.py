"""Transactions on PostgreSQL that are cut off, deadlocked, refused or too slow lose nothing."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text

from agent_memory import AgentMemorySystem, MemoryConfig, MemoryEntry, Query, StoreUnavailable
from agent_memory.cli.doctor import findings
from agent_memory.cli.findings import State
from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.sql import open_engine, translating_sql_errors
from agent_memory.connections.sql_connecting import connection_to
from agent_memory.errors import WritesRefused
from agent_memory.models.ltm import ltm_models
from agent_memory.repositories.outcomes import Added
from agent_memory.repositories.sql import schema
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.repositories.sql.transactions import Transactions
from agent_memory.repositories.sql.work import UnitOfWork
from agent_memory.repositories.sql.writing import Writer
from agent_memory.testing.samples import a_memory_id, an_entry
from tests import engines
from tests.faults.scenarios import LIMITS, contents_of

pytestmark = pytest.mark.faults

AGENT = Query(agent_id="ant", run_id="run")


@pytest.fixture
def engine(postgresql_memory: str) -> Iterator[Engine]:
    opened = open_engine(postgresql_memory)
    schema.ensure(opened)
    yield opened
    opened.dispose()


@pytest.fixture
def end(postgresql_memory: str) -> Iterator[Callable[[Any], None]]:
    """Ends a connection from the server's side, as an operator or a dying server does."""
    server = create_engine(postgresql_memory, isolation_level="AUTOCOMMIT")
    statement = text("SELECT pg_terminate_backend(:pid, 5000)")
    with server.connect() as other:

        def terminate(connection: Any) -> None:
            other.execute(statement, {"pid": connection.info.backend_pid})

        yield terminate
    server.dispose()


class Line:
    """A line to a server that hands on what is said, and can be cut while a commit is answered.

    Args:
        server: The server's socket.
        folder: Where the socket is that leads to it.
    """

    def __init__(self, server: Path, folder: Path) -> None:
        self.is_to_be_cut = False
        self._server = server
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(folder / server.name))
        self._listening.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._hand_on, args=(client,), daemon=True).start()

    def _hand_on(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            server.connect(str(self._server))
            is_committing = False
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    said = ready.recv(65536)
                    if not said or (ready is server and is_committing):
                        return
                    if ready is client and self.is_to_be_cut and b"COMMIT" in said:
                        is_committing, self.is_to_be_cut = True, False
                    (server if ready is client else client).sendall(said)


@pytest.fixture
def line(postgresql_memory: str) -> Iterator[tuple[Line, Engine]]:
    """A line to the server, and an engine that uses it."""
    url = make_url(postgresql_memory)
    [server] = Path(str(url.query["host"])).glob(".s.PGSQL.*[0-9]")
    with TemporaryDirectory() as folder:  # socket paths must be short
        opened = Line(server, Path(folder))
        through = url.update_query_dict({"host": folder}).render_as_string(hide_password=False)
        engine = open_engine(through)
        schema.ensure(engine)
        yield opened, engine
        engine.dispose()
        opened.close()


def repository(engine: Engine) -> LtmRepository:
    return LtmRepository(engine, ContentsCodec())


def entries_of(number: int) -> list[MemoryEntry]:
    """Entries of one agent, in their order."""
    return [
        an_entry(memory_id=a_memory_id(step), agent_id="ant", step_number=step)
        for step in range(number)
    ]


def once(act: Callable[[Any], None]) -> Callable[[Any], None]:
    """Acts the first time alone."""
    left = [act]
    return lambda connection: left.pop()(connection) if left else None


def test_a_connection_that_is_lost_before_the_commit_costs_nothing(
    engine: Engine, end: Callable[[Any], None]
) -> None:
    ltm, cut = repository(engine), once(end)

    @event.listens_for(engine, "before_cursor_execute")
    def lose(_connection: Connection, cursor: Any, statement: str, *_: object) -> None:
        if statement.startswith(("COPY", "UPDATE", "DELETE")):
            cut(cursor.connection)

    first = entries_of(3)
    assert ltm.add_many(first) == [Added.STORED] * 3
    cut = once(end)
    ltm.touch({first[0].key: 1}, 1.0)
    cut = once(end)
    assert ltm.remove_many([first[1].key]) == 1
    assert [entry.key for entry in ltm.find(AGENT)] == [first[0].key, first[2].key]
    assert ltm.get(first[0].key).retrieval_count == first[0].retrieval_count + 1


def test_a_commit_whose_answer_is_lost_doubles_nothing(line: tuple[Line, Engine]) -> None:
    wire, engine = line
    ltm, entries = repository(engine), entries_of(3)
    wire.is_to_be_cut = True
    assert ltm.add_many(entries) == [Added.PRESENT] * 3
    wire.is_to_be_cut = True
    assert ltm.touch({entries[0].key: 1}, 1.0, "once") == []
    found = [*ltm.find(AGENT)]
    assert [entry.key for entry in found] == [entry.key for entry in entries]
    assert found[0].retrieval_count == entries[0].retrieval_count + 1
    # Whether this was done nobody knows, and it must not be done twice.
    wire.is_to_be_cut = True
    with pytest.raises(StoreUnavailable):
        ltm.touch({entries[0].key: 1}, 1.0)
    assert ltm.get(entries[0].key).retrieval_count == entries[0].retrieval_count + 2


def test_a_server_that_goes_on_losing_connections_is_left_alone(
    engine: Engine, end: Callable[[Any], None]
) -> None:
    tries = []

    @event.listens_for(engine, "before_cursor_execute")
    def lose(_connection: Connection, cursor: Any, statement: str, *_: object) -> None:
        if statement.startswith("COPY"):
            tries.append(statement)
            end(cursor.connection)

    with pytest.raises(StoreUnavailable):
        repository(engine).add_many(entries_of(1))
    assert len(tries) == 3


def test_of_two_transactions_in_a_deadlock_the_one_that_is_ended_begins_again(
    engine: Engine,
) -> None:
    writer = Writer(Transactions(engine), ltm_models(), lambda: 0.0)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE counts (id INTEGER PRIMARY KEY, n INTEGER)")
        connection.exec_driver_sql("INSERT INTO counts VALUES (1, 0), (2, 0)")
    first, passed = threading.Barrier(2), threading.Event()
    statement = text("UPDATE counts SET n = n + 1 WHERE id = :row")
    begun = []

    def count_up(*rows: int) -> None:
        is_first = True

        def work_on(work: UnitOfWork) -> None:
            nonlocal is_first
            begun.append(rows)
            if not is_first:
                # Else it could take its first row once more before the other, which waits for it,
                # wakes up: a row whose change was undone is free, whoever waits in line.
                assert passed.wait(timeout=30)
            for row in rows:
                work.connection.execute(statement, {"row": row})
                if is_first:
                    is_first = False
                    first.wait(timeout=30)

        writer.run(work_on)
        passed.set()

    with ThreadPoolExecutor(2) as threads:
        [*threads.map(lambda rows: count_up(*rows), [(1, 2), (2, 1)])]
    with engine.connect() as connection:
        assert [*connection.exec_driver_sql("SELECT n FROM counts")] == [(2,), (2,)]
    assert len(begun) == 3


class Expired(Exception):
    """A program's own, raised by its alarm."""


def test_what_comes_while_many_rows_are_sent_comes_out_as_it_is(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def expire(_pipeline: object) -> Iterator[None]:
        yield from ()
        raise Expired

    rows = [{"number": 1}, {"number": 2}]
    statement = text("UPDATE agent_ltm_entries SET revision = :number WHERE revision = -:number")
    with monkeypatch.context() as patched:
        patched.setattr("psycopg._pipeline.BasePipeline._exit_gen", expire)
        with (
            pytest.raises(Expired),
            translating_sql_errors("here"),
            connection_to(engine) as connection,
        ):
            connection.execute(statement, rows)
    with connection_to(engine) as connection:
        connection.execute(statement, rows)


def test_transactions_that_are_not_serializable_begin_again(postgresql_memory: str) -> None:
    url = make_url(postgresql_memory).update_query_dict(
        {"options": "-c default_transaction_isolation=serializable"}
    )
    engine = open_engine(url.render_as_string(hide_password=False))
    schema.ensure(engine)
    ltm, entry = repository(engine), entries_of(1)[0]
    ltm.add_many([entry])
    with ThreadPoolExecutor(2) as threads:
        [*threads.map(lambda at: ltm.touch({entry.key: 1}, float(at)), range(20))]
    assert ltm.get(entry.key).retrieval_count == entry.retrieval_count + 20
    engine.dispose()


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Nobody else writes entries meanwhile."""
    with psycopg.connect(url.replace("+psycopg", "", 1)) as connection:
        connection.execute("LOCK TABLE agent_ltm_entries IN EXCLUSIVE MODE")
        yield


@pytest.mark.parametrize("limit", ["statement_timeout", "lock_timeout"])
def test_entries_wait_above_while_statements_time_out(
    postgresql_memory: str, tmp_path: Path, limit: str
) -> None:
    url = make_url(postgresql_memory).update_query_dict({"options": f"-c {limit}=300ms"})
    config = MemoryConfig(
        **LIMITS, engine="fake", path=tmp_path, ltm_url=url.render_as_string(hide_password=False)
    )
    with AgentMemorySystem(config) as memory:
        assert memory.store_agent_state("ant", contents_of("ant", 0), 0)
        with locked(postgresql_memory):
            for step in range(1, 20):
                assert memory.store_agent_state("ant", contents_of("ant", step), step)
            with pytest.raises(StoreUnavailable, match=limit.replace("_", " ")):
                memory.maintain()
        memory.maintain()
        assert memory.ltm.count("default") > 0
        steps = [hit.entry.step_number for hit in memory.recall(Query(agent_id="ant"))]
        assert sorted(steps) == [*range(20)]
        assert memory.check().sound


def test_entries_wait_through_a_failover_and_none_is_lost(tmp_path: Path) -> None:
    with (
        TemporaryDirectory(prefix="agent-memory-pg-") as folder,
        engines.PostgresqlPair(Path(folder)) as pair,
    ):
        config = MemoryConfig(**LIMITS, engine="fake", path=tmp_path, ltm_url=pair.url("a", "b"))
        with AgentMemorySystem(config) as memory:
            steps = iter(range(1000))

            def store(number: int) -> None:
                for step in islice(steps, number):
                    assert memory.store_agent_state("ant", contents_of("ant", step), step)

            store(20)
            moved = memory.ltm.count("default")
            assert moved > 0
            standby = config.model_copy(update={"ltm_url": pair.url("b")})
            with pytest.raises(WritesRefused, match="name the server that does"):
                AgentMemorySystem(standby)
            (found,) = [one for one in findings(standby) if one.subject == "schema"]
            assert found.state is State.BROKEN
            with AgentMemorySystem(standby, read_only=True) as beside:
                assert beside.ltm.count("default") == moved
            # The open connections are to a server that takes no writes any more.
            pair.on_primary("ALTER SYSTEM SET default_transaction_read_only = on")
            pair.on_primary("SELECT pg_reload_conf()")
            store(10)
            with pytest.raises(StoreUnavailable):
                memory.maintain()
            pair.kill_primary()
            store(10)
            with pytest.raises(StoreUnavailable):
                memory.maintain()
            pair.promote()
            memory.maintain()
            assert memory.ltm.count("default") == 30
            steps_found = [hit.entry.step_number for hit in memory.recall(Query(agent_id="ant"))]
            assert sorted(steps_found) == [*range(40)]
            assert memory.check().sound
