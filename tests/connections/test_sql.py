from __future__ import annotations

import os
import sqlite3
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from agent_memory.connections import sql as connections
from agent_memory.connections.sql import (
    forget_connections,
    is_read_only,
    not_forking,
    open_engine,
    translating_sql_errors,
    writing,
)
from agent_memory.errors import (
    ConfigError,
    EntryConflict,
    InvalidEntry,
    SchemaOutOfDate,
    StoreFull,
    StoreUnavailable,
)


def _url(folder: Path) -> str:
    return f"sqlite:///{folder}/ltm.db"


def _with_table(engine: Engine) -> Engine:
    with writing(engine).begin() as connection:
        connection.execute(text("CREATE TABLE t (a INTEGER PRIMARY KEY)"))
    return engine


def test_the_folder_of_a_file_is_made(tmp_path: Path) -> None:
    engine = _with_table(open_engine(_url(tmp_path / "new" / "deep")))
    engine.dispose()
    assert (tmp_path / "new" / "deep" / "ltm.db").is_file()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StoreUnavailable, match=r"taken.*permissions"):
        open_engine(_url(tmp_path / "taken" / "within"))


def test_a_file_name_with_odd_signs_is_one_file_for_writers_and_readers(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a b%23#&=.db"
    _with_table(open_engine(url)).dispose()
    reader = open_engine(url, read_only=True)
    with reader.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM t")).scalar() == 0
    reader.dispose()


def test_commits_are_on_disk_and_foreign_keys_hold(tmp_path: Path) -> None:
    engine = open_engine(_url(tmp_path))
    with engine.connect() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    engine.dispose()
    full = 2
    assert settings == {
        "journal_mode": "wal",
        "synchronous": full,
        "foreign_keys": 1,
        "busy_timeout": 30_000,
    }


def test_leaving_a_transaction_without_commit_undoes_tables_too(tmp_path: Path) -> None:
    engine = open_engine(_url(tmp_path))
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE t (a)"))
    with engine.connect() as connection, pytest.raises(OperationalError, match="no such table"):
        connection.execute(text("SELECT * FROM t"))
    engine.dispose()


def test_a_writer_that_reads_first_is_not_overtaken(tmp_path: Path) -> None:
    engine = _with_table(open_engine(_url(tmp_path)))

    def count_up() -> None:
        for _ in range(10):
            with writing(engine).begin() as connection:
                greatest = connection.execute(text("SELECT max(a) FROM t")).scalar() or 0
                connection.execute(text("INSERT INTO t VALUES (:a)"), {"a": greatest + 1})

    threads = [threading.Thread(target=count_up) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT max(a) FROM t")).scalar() == 30
    engine.dispose()


def test_readers_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    engine = _with_table(open_engine(_url(tmp_path)))
    with writing(engine).begin() as writer:
        writer.execute(text("INSERT INTO t VALUES (1)"))
        with engine.connect() as reader:
            assert reader.execute(text("SELECT count(*) FROM t")).scalar() == 0
    engine.dispose()


def test_memory_is_one_database_for_all_threads() -> None:
    engine = _with_table(open_engine("sqlite:///:memory:"))

    def insert(number: int) -> None:
        with writing(engine).begin() as connection:
            connection.execute(text("INSERT INTO t VALUES (:a)"), {"a": number})

    threads = [threading.Thread(target=insert, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM t")).scalar() == 8
    engine.dispose()


def test_read_only_refuses_writes_and_leaves_the_file_alone(tmp_path: Path) -> None:
    _with_table(open_engine(_url(tmp_path))).dispose()
    before = (tmp_path / "ltm.db").read_bytes()
    engine = open_engine(_url(tmp_path), read_only=True)
    assert is_read_only(engine)
    assert is_read_only(writing(engine))
    with (
        pytest.raises(StoreUnavailable, match="may not be written"),
        translating_sql_errors("here"),
        engine.begin() as connection,
    ):
        connection.execute(text("INSERT INTO t VALUES (1)"))
    engine.dispose()
    assert (tmp_path / "ltm.db").read_bytes() == before


def test_reading_what_is_not_there_says_so_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"no file .*ltm\.db"):
        open_engine(_url(tmp_path / "new"), read_only=True)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "url", ["nonsense", "oracle9://u:geheim@h/db", "postgresql+nodriver://u:geheim@h/db"]
)
def test_a_url_that_cannot_be_opened_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match="ltm_url") as refusal:
        open_engine(url)
    assert "geheim" not in str(refusal.value)


def test_a_driver_that_is_missing_is_told_by_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"pip install 'agent-memory\[postgresql\]'"):
        open_engine("postgresql+psycopg://u:geheim@h/db")


def test_errors_name_the_place_without_its_password_and_keep_their_cause() -> None:
    engine = create_engine("sqlite://")
    with (
        pytest.raises(StoreUnavailable) as refusal,
        translating_sql_errors("postgresql://u:geheim@host/db"),
        engine.connect() as connection,
    ):
        connection.execute(text("SELECT ("))
    engine.dispose()
    assert "geheim" not in str(refusal.value)
    assert "host/db" in str(refusal.value)
    assert isinstance(refusal.value.__cause__, OperationalError)


@pytest.mark.parametrize(
    ("complaint", "remedy"),
    [
        ("database is locked", "let it finish"),
        ("attempt to write a readonly database", "permissions"),
        ("unable to open database file", "path"),
        ("database disk image is malformed", "backup"),
    ],
)
def test_what_the_driver_says_comes_with_how_to_mend_it(complaint: str, remedy: str) -> None:
    with (
        pytest.raises(StoreUnavailable, match=f"{complaint}.*{remedy}"),
        translating_sql_errors("sqlite:///x.db"),
    ):
        raise OperationalError("SELECT 1", {}, sqlite3.OperationalError(complaint))


def test_a_database_without_room_says_how_much_its_disk_has(tmp_path: Path) -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    with (
        pytest.raises(StoreFull, match=rf"{tmp_path}.*the file system at /.* free"),
        translating_sql_errors(_url(tmp_path)),
    ):
        raise OperationalError("INSERT", {}, full)
    said = Exception('could not extend file "base/5": No space left on device')
    with (
        pytest.raises(StoreFull, match="on the disk of that server"),
        translating_sql_errors("postgresql://host/db"),
    ):
        raise OperationalError("INSERT", {}, said)


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "ltm.db").write_bytes(b"not a database" * 100)
    engine = open_engine(_url(tmp_path))
    with (
        pytest.raises(StoreUnavailable, match="no SQLite database"),
        translating_sql_errors(_url(tmp_path)),
        engine.connect() as connection,
    ):
        connection.execute(text("SELECT 1"))
    engine.dispose()


def test_a_lock_held_for_long_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "BUSY_TIMEOUT", 0.05)
    engine = _with_table(open_engine(_url(tmp_path)))
    other = sqlite3.connect(tmp_path / "ltm.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with (
        pytest.raises(StoreUnavailable, match="locked"),
        translating_sql_errors("here"),
        writing(engine).begin() as connection,
    ):
        connection.execute(text("INSERT INTO t VALUES (1)"))
    other.close()
    engine.dispose()


def test_a_violated_constraint_is_a_conflict_and_a_missing_table_an_old_schema() -> None:
    engine = _with_table(open_engine("sqlite://"))
    with (
        pytest.raises(EntryConflict),
        translating_sql_errors("here"),
        engine.begin() as connection,
    ):
        connection.execute(text("INSERT INTO t VALUES (1), (1)"))
    with (
        pytest.raises(SchemaOutOfDate, match="agent-memory db upgrade"),
        translating_sql_errors("here"),
        engine.connect() as connection,
    ):
        connection.execute(text("SELECT * FROM missing"))
    with (
        pytest.raises(InvalidEntry, match="surrogate"),
        translating_sql_errors("here"),
        engine.connect() as connection,
    ):
        connection.execute(text("SELECT :a"), {"a": "\ud800"})
    engine.dispose()


def test_a_forked_child_and_its_parent_share_no_open_file(tmp_path: Path) -> None:
    """A child that shares the parent's would lose its commits once the parent closes."""
    engine = _with_table(open_engine(_url(tmp_path)))
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    to_child, to_parent = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with engine.connect() as connection:
                connection.execute(text("SELECT * FROM t"))
            os.write(to_parent[1], b".")
            os.read(to_child[0], 1)
            with writing(engine).begin() as connection:
                connection.execute(text("INSERT INTO t VALUES (7)"))
            code = 0
        finally:
            os._exit(code)
    os.read(to_parent[0], 1)
    with engine.connect() as connection:
        connection.execute(text("SELECT * FROM t"))
    engine.dispose()
    os.write(to_child[1], b".")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    for end in (*to_child, *to_parent):
        os.close(end)
    with sqlite3.connect(tmp_path / "ltm.db") as beneath:
        assert beneath.execute("SELECT a FROM t").fetchall() == [(7,)]
    beneath.close()


def test_a_fork_waits_for_work_under_way(tmp_path: Path) -> None:
    engine = _with_table(open_engine(_url(tmp_path)))
    begun, reported = threading.Event(), []

    def work() -> None:
        with not_forking(engine), writing(engine).begin() as connection:
            connection.execute(text("INSERT INTO t VALUES (1)"))
            begun.set()
            threading.Event().wait(0.2)
            reported.append("done")

    worker = threading.Thread(target=work)
    worker.start()
    begun.wait()
    pid = os.fork()
    if pid == 0:
        os._exit(0 if reported else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    worker.join()
    engine.dispose()


def test_forgetting_connections_keeps_a_database_in_memory() -> None:
    engine = _with_table(open_engine("sqlite:///:memory:"))
    forget_connections(engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM t")).scalar() == 0
    engine.dispose()
