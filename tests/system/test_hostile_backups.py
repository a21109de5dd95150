"""A backup that somebody has changed and sealed again is refused before anything is written."""

from __future__ import annotations

import itertools
import os
import random
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from agent_memory import AgentMemorySystem, EncodingError, MemoryConfig, StoreUnavailable
from agent_memory.system.backups.file import Backup
from agent_memory.system.backups.validation import validate
from tests.fuzzing import count_case
from tests.system import hostile_backups
from tests.system.hostile_backups import Damage, damaged

MOST = 1 << 20
_INNER_PAGE = 5  # the kind of page of a table that leads to others

LATER = ("agent_hash", "parameters")
"""Columns that early backups lack."""

WRONG = {
    *("runs.parameters = '[1]'", "runs.parameters = '{'"),
    *("runs.parent = 'nobody'", "runs.seed = 'NaN'", "runs.created_at = inf", "runs.status = None"),
    *("runs.fork_step = 0.5", "versions.tolerances = '{'", "versions.metrics = '[1]'"),
    *("versions.parent_id = 7", "versions.weights = 'x'", "versions.format = 2147483648"),
    *("tombstones.run = 'nobody'", "tombstones.memory_id = 'x'", "tombstones.released_at = inf"),
    *("entries.tier = None", "entries.tier = 7", "entries.tier = 0", "entries.number = None"),
    *("entries.fields = b'\\xc1'", "entries.memory_id = 'x'", "attributes.path = None"),
    *("field 0 = inf", "field 3 = 2", "field 4 = 7", "field 12 = {'x': 1}", "field 14 = 1"),
    *("no fields", "more fields", "unreadable.stored = b''", "unreadable.at = None"),
    *("a run that is its own parent", "runs that are each other's parents", "a run more"),
    *("a version that is its own parent", "columns that are calculated"),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile_backups.make_backup(tmp_path_factory.mktemp("hostile"))


def refused(saved: Path, bad: Path, damages: Iterable[Damage]) -> list[str]:
    """The names of the damages that are refused; an error of another type passes through."""
    names = []
    for damage in damages:
        count_case()
        with closing(Backup(damaged(saved, bad, damage))) as backup:
            try:
                validate(backup, MOST)
            except EncodingError as error:
                assert str(bad) in str(error)  # noqa: PT017  # others may be restored
                names.append(damage.name)
    return names


def all_damages(saved: Path) -> list[Damage]:
    return [
        *hostile_backups.of_columns(saved),
        *hostile_backups.of_fields(),
        *hostile_backups.of_tables(),
    ]


def test_a_damaged_and_resealed_backup_is_refused_by_a_typed_error(
    saved: Path, tmp_path: Path
) -> None:
    damages = all_damages(saved)
    wrong = [
        damage
        for damage in damages
        if damage.name in WRONG
        or damage.name.endswith("that never ends")
        or (" without " in damage.name and not damage.name.endswith(LATER))
        or damage.name.startswith("no ")
    ]
    assert {damage.name for damage in wrong} >= WRONG
    assert refused(saved, tmp_path / "bad", wrong) == [damage.name for damage in wrong]
    refused(saved, tmp_path / "bad", random.Random(5).sample(damages, 60))


@pytest.mark.long
def test_every_value_in_every_column_of_a_backup_is_taken_or_refused_by_a_typed_error(
    saved: Path, tmp_path: Path
) -> None:
    damages = all_damages(saved)
    assert len(refused(saved, tmp_path / "bad", damages)) > len(damages) / 2


def test_a_backup_that_is_refused_leaves_nothing_behind(saved: Path, tmp_path: Path) -> None:
    config = MemoryConfig(engine="embedded", path=tmp_path / "target", search=False)
    chosen = {"entries that never ends", "runs.parent = 'nobody'"}
    damages = [damage for damage in all_damages(saved) if damage.name in chosen]
    assert len(damages) == len(chosen)
    for damage in damages:
        with pytest.raises(EncodingError, match="cannot be restored"):
            AgentMemorySystem.restore(damaged(saved, tmp_path / "bad", damage), config)
    assert not (tmp_path / "target").exists()


def test_a_backup_whose_pages_lead_to_one_another_is_refused_in_bounded_time(
    saved: Path, tmp_path: Path
) -> None:
    root: list[int] = []

    def widen(connection: sqlite3.Connection) -> None:
        connection.execute("DROP TABLE attributes")
        connection.execute("CREATE TABLE attributes (path)")
        rows = [("x" * 1_900,)] * 4_000
        connection.executemany("INSERT INTO attributes VALUES (?)", rows)
        asked = "SELECT rootpage FROM sqlite_master WHERE name = 'attributes'"
        root.append(connection.execute(asked).fetchone()[0])

    bad = damaged(saved, tmp_path / "bad", Damage("wide", widen))
    raw = bytearray(bad.read_bytes()[: -hostile_backups.SEALED])
    size = int.from_bytes(raw[16:18])
    inner = [page for page in range(1, len(raw) // size) if raw[page * size] == _INNER_PAGE]
    levels = [root[0] - 1, *(page for page in inner if page != root[0] - 1)]
    # Each page of a level leads to the same one of the next, hundreds of times.
    for page, below in itertools.pairwise(levels):
        head = page * size
        for cell in range(int.from_bytes(raw[head + 3 : head + 5])):
            at = head + 12 + 2 * cell
            place = head + int.from_bytes(raw[at : at + 2])
            raw[place : place + 4] = (below + 1).to_bytes(4)
    bad.write_bytes(bytes(raw) + hostile_backups.seal_of(bytes(raw)))
    assert len(levels) > 3
    with closing(Backup(bad)) as backup, pytest.raises(EncodingError, match="cannot be restored"):
        validate(backup, MOST)


def test_a_file_that_is_no_database_is_refused_and_not_kept_open(tmp_path: Path) -> None:
    file = tmp_path / "file"
    raw = b"no database" * 1000
    file.write_bytes(raw + hostile_backups.seal_of(raw))
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        Backup(file)
    descriptors = [Path(entry) for entry in os.scandir("/proc/self/fd")]
    assert file not in [entry.readlink() for entry in descriptors if entry.is_symlink()]
