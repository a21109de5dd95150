from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_memory import EncodingError, InvalidEntry, MemoryConfig, StoreUnavailable
from agent_memory.connections.deployment import deployment
from agent_memory.testing import HOSTILE_NAMES
from agent_memory.testing.samples import a_memory_id, an_entry
from agent_memory.tiers.spool import LEAST_BYTES, Spool, spool_of
from agent_memory.tiers.waiting import coded, decoded
from tests.fuzzing import examples

ROOT = Path(__file__).parents[2]
ROOM = 64 * 1024 * 1024

PUTTING = """
import sys
from pathlib import Path
from agent_memory.tiers.spool import Spool
from agent_memory.testing.samples import a_memory_id, an_entry
spool = Spool(Path(sys.argv[1]), "store", 2**26)
first = int(sys.argv[2])
for number in range(first, first + int(sys.argv[3])):
    spool.put(an_entry(memory_id=a_memory_id(number), step_number=number), float(number))
    print(number, flush=True)
"""


_opened: list[Spool] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close()


def opened(file: Path, store: str, max_bytes: int, **more: Any) -> Spool:
    """A spool that is closed after the test."""
    _opened.append(Spool(file, store, max_bytes, **more))
    return _opened[-1]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def steps(spool: Spool) -> list[int]:
    return [decoded(waiting).step_number for waiting in spool.waiting(10_000)]


def put(spool: Spool, *numbers: int) -> None:
    for number in numbers:
        spool.put(an_entry(memory_id=a_memory_id(number), step_number=number), float(number))


def putting(file: Path, first: int, count: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PUTTING, str(file), str(first), str(count)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@settings(max_examples=examples(40), deadline=None)
@given(
    st.lists(
        st.one_of(
            st.just("put"),
            st.just("die"),
            st.integers(1, 4),  # replay as many
        ),
        max_size=25,
    )
)
def test_any_sequence_of_putting_replaying_and_dying_keeps_order_and_set(
    acts: list[str | int],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "spool"
        spool = opened(file, "store", ROOM)
        waiting: list[int] = []
        replayed: list[int] = []
        count = 0
        for act in acts:
            if act == "put":
                put(spool, count)
                waiting.append(count)
                count += 1
            elif act == "die":
                # The connection is left as a killed process leaves it: not closed by it.
                spool = opened(file, "store", ROOM)
            elif isinstance(act, int) and spool.exists:
                batch = spool.waiting(act)
                replayed += [decoded(found).step_number for found in batch]
                spool.done(found.number for found in batch)
                del waiting[:act]
            assert replayed + waiting == list(range(count))
            assert spool.status().entries == len(waiting)
        if spool.exists:
            assert steps(spool) == waiting
        while _opened:
            _opened.pop().close()


def test_an_entry_comes_back_as_it_was_put(file: Path) -> None:
    entries = [
        an_entry(
            run_id=name,
            agent_id=name,
            contents={"pos": (1, 2.5), "name": name, "none": None, "raw": b""},
            embedding=[0.25] * 384,
            encoder_version=3,
            importance_score=0.5,
            error_bounds={"pos": 0.1},
        )
        for name in HOSTILE_NAMES
    ]
    entries.append(an_entry(contents={}, embedding=None, encoder_version=None))
    put_at = [(entry, 7.5 + place) for place, entry in enumerate(entries)]
    spool = opened(file, "store", ROOM)
    for entry, at in put_at:
        spool.put(entry, at)
    found = [(decoded(waiting), waiting.spooled_at) for waiting in spool.waiting(len(entries))]
    assert found == put_at


def test_what_is_put_is_on_disk_before_it_is_acknowledged(file: Path) -> None:
    spool = opened(file, "store", ROOM)
    for again in (False, True):
        put(spool, int(again))
        connection = spool._held._connection
        assert connection is not None
        settings = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("synchronous", "journal_mode", "wal_autocheckpoint")
        }
        # FULL: the log is synced with each commit, and the file with each checkpoint.
        assert settings == {"synchronous": 2, "journal_mode": "wal", "wal_autocheckpoint": 1_000}
        spool.close()


def test_what_was_acknowledged_outlives_the_kill_of_the_process_that_put_it(file: Path) -> None:
    process = putting(file, 0, 10_000)
    assert process.stdout is not None
    reported = [int(process.stdout.readline()) for _ in range(20)]
    process.send_signal(signal.SIGKILL)
    reported += [int(line) for line in process.stdout if line.endswith(b"\n")]
    process.wait(20)
    kept = steps(opened(file, "store", ROOM))
    assert kept[: len(reported)] == reported
    assert kept == list(range(len(kept)))
    process.stdout.close()


@pytest.mark.long
def test_processes_that_put_at_once_lose_nothing_and_keep_their_own_order(file: Path) -> None:
    processes = [putting(file, 1_000 * worker, 60) for worker in range(3)]
    for process in processes:
        process.communicate(timeout=60)
    kept = steps(opened(file, "store", ROOM))
    for worker in range(3):
        first = 1_000 * worker
        assert [step for step in kept if first <= step < first + 1_000] == list(
            range(first, first + 60)
        )


def test_both_sides_of_a_fork_put(file: Path) -> None:
    spool = opened(file, "store", ROOM)
    put(spool, 1)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            put(spool, 2, 3)
            code = 0
        finally:
            os._exit(code)
    put(spool, 4)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    put(spool, 5)
    assert sorted(steps(spool)) == [1, 2, 3, 4, 5]
    assert steps(spool)[0] == 1


def test_a_full_spool_refuses_keeps_what_it_has_and_takes_more_once_there_is_room(
    file: Path,
) -> None:
    bound = 4 * LEAST_BYTES
    spool = opened(file, "store", bound)
    count = 0
    with pytest.raises(StoreUnavailable, match=r"is full.*spool_max_bytes"):  # noqa: PT012  # until it is
        while True:
            put(spool, count)
            count += 1
    assert count > 20
    assert steps(spool) == list(range(count))
    assert LEAST_BYTES < spool.status().stored_bytes <= bound
    spool.done(found.number for found in spool.waiting(count // 2))
    put(spool, count)
    assert steps(spool) == list(range(count // 2, count + 1))
    spool.close()
    assert file.stat().st_size <= bound
    spool.done(found.number for found in spool.waiting(count))
    spool.close()
    assert file.stat().st_size < LEAST_BYTES  # given back to the disk
    assert spool.status().stored_bytes == 0


def test_entries_of_another_store_are_told_and_left_alone(file: Path) -> None:
    other = opened(file, "other", ROOM)
    put(other, 1, 2)
    mine = opened(file, "mine", ROOM)
    put(mine, 3)
    assert steps(mine) == [3]
    assert (mine.status().entries, mine.status().elsewhere) == (1, 2)
    mine.done(found.number for found in mine.waiting(9))
    assert steps(other) == [1, 2]


def test_what_is_refused_is_passed_over_and_tried_again(file: Path) -> None:
    spool = opened(file, "store", ROOM)
    put(spool, 1, 2)
    spool.refuse(spool.waiting(1)[0].number, "wrong kind of value")
    assert steps(spool) == [2]
    assert (spool.status().entries, spool.status().refused) == (2, 1)
    spool.retry()
    assert steps(spool) == [1, 2]


def test_nothing_is_made_before_something_is_put(file: Path) -> None:
    spool = opened(file, "store", ROOM)
    assert not spool.exists
    assert spool.status().entries == 0
    assert list(file.parent.iterdir()) == []


def test_one_process_replays_at_a_time(file: Path) -> None:
    one, two = opened(file, "store", ROOM), opened(file, "store", ROOM)
    with one.replaying() as mine, two.replaying() as theirs:
        assert (mine, theirs) == (True, False)
    with two.replaying() as theirs:
        assert theirs


def test_bad_contents_are_refused_as_short_term_memory_refuses_them(file: Path) -> None:
    spool = opened(file, "store", ROOM, max_entry_bytes=100)
    with pytest.raises(InvalidEntry, match=r"contents\.thing"):
        spool.put(an_entry(contents={"thing": object()}), 1.0)
    with pytest.raises(InvalidEntry, match="max_entry_bytes"):
        spool.put(an_entry(contents={"thing": "x" * 200}), 1.0)
    assert not spool.exists


def test_damage_is_told_by_its_place_in_the_queue(file: Path) -> None:
    spool = opened(file, "store", ROOM)
    put(spool, 1)
    spool.close()
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE waiting SET entry = x'81a1'")
    connection.close()
    with pytest.raises(EncodingError, match="entry 1 of the spool"):
        decoded(spool.waiting(1)[0])


def test_a_file_of_a_newer_version_is_refused(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(StoreUnavailable, match=r"format 99, .* up to 2; it is left as it is"):
        put(opened(file, "store", ROOM), 1)


def test_a_folder_that_cannot_be_written_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("no folder")
    with pytest.raises(StoreUnavailable, match="cannot be used"):
        put(opened(tmp_path / "taken" / "spool", "store", ROOM), 1)


def _made(folder: Path, **keys: object) -> Spool | None:
    config = MemoryConfig(path=folder, **keys)
    return spool_of(config, deployment(config, {}), None)


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({}, "{folder}/agent_memory.db-spool"),
        ({"ltm_url": "sqlite:////elsewhere/x.db"}, "{folder}/agent_memory.db-spool"),
        ({"redis_url": "redis://h"}, "{folder}/agent_memory.db-spool"),
        ({"redis_url": "redis://h", "ltm_config": {"db_path": "l.db"}}, "{folder}/l.db-spool"),
        ({"redis_url": "redis://h", "ltm_url": "sqlite:////elsewhere/x%20y.db"},
         "/elsewhere/x y.db-spool"),
        ({"redis_url": "redis://h", "ltm_url": "postgresql+psycopg://u:p@db/d"},
         "{folder}/agent_memory.db-spool"),
    ],
)  # fmt: skip
def test_it_lies_beside_long_term_memory(
    tmp_path: Path, keys: dict[str, object], where: str
) -> None:
    spool = _made(tmp_path, **keys)
    assert spool is not None
    assert str(spool.file) == where.format(folder=tmp_path)


@pytest.mark.parametrize(
    "keys",
    [
        {"spool_max_bytes": 0},
        {"engine": "fake"},
        {"engine": "fake", "ltm_config": {"db_path": "l.db"}},
        {"redis_url": "redis://h", "ltm_url": "sqlite:///:memory:"},
        {"redis_url": "redis://h", "ltm_config": {"db_path": ":memory:"}},
    ],
)
def test_there_is_none_where_nothing_is_durable(tmp_path: Path, keys: dict[str, object]) -> None:
    assert _made(tmp_path, **keys) is None


def test_the_store_is_named_without_what_may_change_or_must_stay_secret(tmp_path: Path) -> None:
    def name(**keys: object) -> str:
        spool = _made(tmp_path, **keys)
        assert spool is not None
        return spool._store

    one = name(redis_url="redis://user:sesame@h:1", ltm_url="postgresql+psycopg://u:sesame@db/d")
    assert one == name(redis_url="redis://h:1", ltm_url="postgresql+psycopg://v:other@db/d")
    assert "sesame" not in one
    assert one != name(redis_url="redis://h:2", ltm_url="postgresql+psycopg://u:p@db/d")
    assert one != name(redis_url="redis://h:1", ltm_url="postgresql+psycopg://u:p@db/e")
    assert name() != name(stm_config={"namespace": "other"})


FORMAT_1 = """
    CREATE TABLE waiting (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        store TEXT NOT NULL, spooled_at REAL NOT NULL, entry BLOB NOT NULL, refused TEXT
    );
    CREATE INDEX waiting_by_store ON waiting (store, number);
    PRAGMA user_version=1;
"""


def test_a_file_of_format_1_is_read_as_it_is_and_gets_owners_when_it_is_written(
    file: Path,
) -> None:
    entry = an_entry(run_id="räuber", agent_id="a/b*", memory_id=a_memory_id(1))
    with contextlib.closing(sqlite3.connect(file)) as old, old:
        old.executescript(FORMAT_1)
        put = "INSERT INTO waiting (store, spooled_at, entry) VALUES (?, ?, ?)"
        old.executemany(put, [("store", 1.0, coded(entry)), ("store", 2.0, b"damaged")])

    def check(spool: Spool) -> None:
        assert spool.owners() == {entry.key[:2]}
        assert spool.numbers(*entry.key[:2]) == [1]
        assert [decoded(one).key for one in spool.read([1])] == [entry.key]
        assert [one.spooled_at for one in spool.all_waiting()] == [1.0, 2.0]
        spool.close()

    check(opened(file, "store", ROOM, read_only=True))
    with contextlib.closing(sqlite3.connect(file)) as kept:
        assert kept.execute("PRAGMA user_version").fetchone() == (1,)
    check(opened(file, "store", ROOM))
    with contextlib.closing(sqlite3.connect(file)) as kept:
        assert kept.execute("PRAGMA user_version").fetchone() == (2,)
    check(opened(file, "store", ROOM, read_only=True))


def test_what_waits_is_known_to_have_changed_whoever_changed_it(file: Path) -> None:
    mine, other = opened(file, "store", ROOM), opened(file, "store", ROOM)
    assert mine.version() is None
    put(mine, 1)
    seen = mine.version()
    assert mine.version() == seen
    put(other, 2)
    assert mine.version() != seen
    seen = mine.version()
    mine.done([1])
    assert mine.version() != seen
    seen = mine.version()
    mine.close()
    other.done([2])
    assert mine.version() != seen
    mine.close()
    other.close()
