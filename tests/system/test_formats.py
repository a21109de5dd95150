"""Every format has a number: each number ever written is read, and a newer one is refused."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from agent_memory import (
    AgentMemorySystem,
    MemoryConfig,
    MemoryEntry,
    NewerFormat,
    Query,
    SchemaOutOfDate,
    StoreUnavailable,
    Vector,
    VectorStore,
    schema,
)
from agent_memory.compression.fitted import artifact as code_artifact
from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.embedded import manifest
from agent_memory.connections.sql import writing
from agent_memory.embeddings import artifact as encoder_artifact
from agent_memory.embeddings import own, vector_store
from agent_memory.embeddings.encoder import FittedEncoder
from agent_memory.models import ltm_vectors
from agent_memory.repositories.sql import encoders
from agent_memory.system.backups import file as backup_file
from agent_memory.system.backups.coded import coded_rows
from agent_memory.system.backups.file import Backup
from agent_memory.system.frames import exact
from agent_memory.tiers import quarantine, spool
from agent_memory.tiers.waiting import decoded
from agent_memory.values import coded, extensions, formats
from agent_memory.values.check_report import Kind
from agent_memory.values.contents import pack, unpack
from agent_memory.values.sealing import sealed, unsealed
from tests.system.assets.make_files import QUARANTINED, STATES, VECTORS, entries

ROOT = Path(__file__).parents[2]
ASSETS = Path(__file__).parent / "assets"
CODES = ROOT / "tests" / "compression" / "assets"
REVISIONS = ROOT / "tests" / "migrations" / "assets"

NUMBERS: dict[str, int] = {
    "memory": formats.MEMORY,
    "embedded server": manifest.FORMAT,
    "exact contents": extensions.NEWEST,
    "further codings of contents": coded.NEWEST_FURTHER,
    "codes of contents": code_artifact.MAGIC[-1],
    "vectors in long-term memory": ltm_vectors.NEWEST,
    "encoders": encoder_artifact.MAGIC[-1],
    "rows of encoder versions": encoders.FORMAT,
    "spaces of own vectors": own.MAGIC[-1],
    "vector files": vector_store.MAGIC[-1],
    "spool": spool.FORMAT,
    "quarantine": quarantine.FORMAT,
    "backups": backup_file.FORMAT,
    "exports": exact.FORMAT,
    "schema": int(schema.HEAD),
}
"""The newest number of each format, as the page on migrations lists it."""

KEPT: dict[str, tuple[Path, str]] = {
    "memory": (ASSETS, "memory_{}.tar.xz"),
    "codes of contents": (CODES, "code_{}.msgpack"),
    "encoders": (ASSETS, "encoder_{}.amenc"),
    "spaces of own vectors": (ASSETS, "own_{}.amown"),
    "vector files": (ASSETS, "vectors_{}.amvec"),
    "spool": (ASSETS, "spool_{}.db"),
    "quarantine": (ASSETS, "quarantine_{}.db"),
    "backups": (ASSETS, "format_{}.backup"),
    "exports": (ASSETS, "export_{}.parquet"),
    "schema": (REVISIONS, "{:04}.db"),
}
"""Where a file of each number is kept. What has none here is in these: see the tests below."""


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[AgentMemorySystem]:
    """A memory with entries in each tier, on a server of its own."""
    config = MemoryConfig(
        path=tmp_path / "memory", search=False,
        stm_config={"memory_limit": 2}, im_config={"memory_limit": 2},
    )  # fmt: skip
    with AgentMemorySystem(config, upkeep=False) as memory:
        for step in range(6):
            memory.store_agent_state("ant", {"step": step}, step)
        memory.maintain()
        yield memory


def test_the_page_lists_every_format_with_its_number() -> None:
    page = (ROOT / "docs" / "migrations.md").read_text()
    listed = dict(re.findall(r"^\| ([a-z][^|]*?) \| (\d+) \|", page, re.MULTILINE))
    assert listed == {name: str(number) for name, number in NUMBERS.items()}


@pytest.mark.parametrize("name", KEPT)
def test_a_file_of_every_number_is_kept(name: str) -> None:
    folder, pattern = KEPT[name]
    missing = [
        number
        for number in range(1, NUMBERS[name] + 1)
        if not (folder / pattern.format(number)).is_file()
    ]
    assert not missing, f"make {pattern} of the numbers {missing} in {folder}"


# -- what was written is read -----------------------------------------------------------------


@pytest.mark.parametrize("kept", sorted(ASSETS.glob("memory_*.tar.xz")), ids=lambda kept: kept.name)
def test_a_folder_of_an_earlier_version_is_read_whole(kept: Path, tmp_path: Path) -> None:
    with tarfile.open(kept) as packed:
        packed.extractall(tmp_path, filter="data")
    folder = tmp_path / "memory"
    try:
        AgentMemorySystem.open(folder, upkeep=False).close()
    except SchemaOutOfDate:
        schema.upgrade(f"sqlite:///{folder}/agent_memory.db")
    with AgentMemorySystem.open(folder, upkeep=False) as memory:
        report = memory.check(repair=True)
        assert report.sound, report.findings
        assert not (folder / "agent_memory.db-aside").exists()
        state, step = see_all(memory, tmp_path)
        nearest = memory.recall(Query(agent_id="ant", limit=1), near=state, touch=False)
        assert nearest[0].entry.step_number == step


@pytest.mark.parametrize("kept", ["memory_1_unsummed", "memory_1_early_sums"])
def test_a_backup_of_codes_from_before_todays_checksum_is_restored(
    kept: str, tmp_path: Path
) -> None:
    with tarfile.open(ASSETS / f"{kept}.tar.xz") as packed:
        packed.extractall(tmp_path, filter="data")
    folder = tmp_path / "memory"
    try:
        AgentMemorySystem.open(folder, upkeep=False).close()
    except SchemaOutOfDate:
        schema.upgrade(f"sqlite:///{folder}/agent_memory.db")
    with AgentMemorySystem.open(folder, upkeep=False) as memory:
        # Which saves contents as they are stored.
        memory.backup(tmp_path / "saved")
    with closing(Backup(tmp_path / "saved")) as backup:
        codes = [row["id"] for row in backup.table("versions") if row["dictionary"] is not None]
        assert any(coded_rows(backup, version) for version in codes)
    restored = MemoryConfig(path=tmp_path / "restored", engine="embedded", search=False)
    assert AgentMemorySystem.restore(tmp_path / "saved", restored).verified
    with AgentMemorySystem(restored, upkeep=False) as memory:
        see_all(memory, tmp_path)
        assert memory.check().sound


def see_all(memory: AgentMemorySystem, beside: Path) -> tuple[dict[str, Any], int]:
    """See that a kept memory is whole; gives the last state and its step."""
    for agent, step, state in json.loads((beside / "expected.json").read_text()):
        (hit,) = memory.recall(Query(agent_id=agent, steps=(step, step)), touch=False)
        bounds = hit.entry.error_bounds or {}
        assert hit.entry.contents.keys() == state.keys()
        for name, value in state.items():
            found = hit.entry.contents[name]
            if name in bounds:
                assert abs(found - value) <= bounds[name]
            else:
                assert found == value
    return state, step


OTHER = Vector([4.0, 3.0], space="minilm")


def test_files_of_every_number_are_read(tmp_path: Path) -> None:
    store = VectorStore(3)
    store.load(ASSETS / "vectors_1.amvec")
    assert [found for found, _ in store.search(VECTORS[1], k=1)] == ["b"]
    assert FittedEncoder.from_bytes((ASSETS / "encoder_1.amenc").read_bytes()).encode(STATES).size
    space = own.OwnSpace.from_bytes((ASSETS / "own_1.amown").read_bytes())
    assert (space.name, space.dim) == ("minilm", 384)
    for number in range(1, spool.FORMAT + 1):
        for read_only in (True, False):
            file = copied(f"spool_{number}.db", tmp_path)
            with closing(spool.Spool(file, "a store", 1 << 20, read_only=read_only)) as waits:
                assert [decoded(one) for one in waits.all_waiting()] == entries()
                assert waits.owners() == {("default", "ant")}
                assert len(waits.numbers("default", "ant")) == len(entries())
    for number in range(quarantine.FORMAT + 1):
        kept = quarantine.Quarantine(copied(f"quarantine_{number}.db", tmp_path))
        assert list(kept) == [QUARANTINED]
    pytest.importorskip("pyarrow")
    for number, kind in product((1, 2), ("parquet", "jsonl", "csv")):
        with AgentMemorySystem({"engine": "fake"}) as memory:
            memory.import_(ASSETS / f"export_{number}.{kind}")
            found = memory.recall(Query(agent_id="ant", limit=9), touch=False)
            bees = memory.recall(agent_id="bee", near=OTHER, touch=False) if number > 1 else []
        assert sorted((hit.entry for hit in found), key=steps) == sorted(entries(), key=steps)
        assert [hit.score for hit in bees] == [pytest.approx(0.96)] * (number - 1)


def steps(entry: MemoryEntry) -> int:
    return entry.step_number


def copied(name: str, folder: Path) -> Path:
    return Path(shutil.copy(ASSETS / name, folder / name))


# -- what is newer is refused by both numbers, and left as it is ------------------------------


def numbered(file: Path, number: int) -> Path:
    """A SQLite file whose number is another one."""
    with closing(sqlite3.connect(file)) as beneath:
        beneath.execute(f"PRAGMA user_version={number}")
    return file


def later_magic(raw: bytes, magic: bytes) -> bytes:
    assert raw[: len(magic)] == magic
    return raw[: len(magic) - 1] + bytes([magic[-1] + 1]) + raw[len(magic) :]


def read_vectors(folder: Path) -> None:
    file = folder / "later.amvec"
    file.write_bytes(later_magic((ASSETS / "vectors_1.amvec").read_bytes(), vector_store.MAGIC))
    VectorStore(3).load(file)


def read_encoder(_: Path) -> None:
    raw = (ASSETS / "encoder_1.amenc").read_bytes()
    FittedEncoder.from_bytes(later_magic(raw, encoder_artifact.MAGIC))


def read_own(_: Path) -> None:
    own.OwnSpace.from_bytes(later_magic((ASSETS / "own_1.amown").read_bytes(), own.MAGIC))


def read_code(_: Path) -> None:
    later = bytes([code_artifact.MAGIC[-1] + 1])
    code_artifact.from_bytes(code_artifact.MAGIC[:-1] + later + bytes(80))


def read_further(_: Path) -> None:
    ContentsCodec().decode(bytes([coded.FURTHER, coded.NEWEST_FURTHER + 1, 5, 6, 7]), 0)


def read_extension(_: Path) -> None:
    unpack(b"\x81\xa1x\xd4" + bytes([extensions.NEWEST + 1, 0]))


def read_vector(_: Path) -> None:
    ltm_vectors.decode_vector(ltm_vectors.NEWEST + 1, bytes(8))


def read_backup(folder: Path) -> None:
    file = folder / "later.backup"
    with backup_file.being_written(file) as connection:
        connection.execute("COMMIT")
        connection.execute(f"PRAGMA user_version={backup_file.FORMAT + 1}")
        connection.execute("BEGIN")
    AgentMemorySystem.restore(file, {"engine": "fake"})


def read_parquet(folder: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(ASSETS / "export_2.parquet")
    reported = {**table.schema.metadata, b"agent_memory.format": b"%d" % (exact.FORMAT + 1)}
    parquet.write_table(table.replace_schema_metadata(reported), folder / "later.parquet")
    with AgentMemorySystem({"engine": "fake"}) as memory:
        memory.import_(folder / "later.parquet")


def read_exact_bytes(_: Path) -> None:
    values = unpack(unsealed(exact.exact_bytes(entries()[0])))
    exact.exact_entry(sealed(pack({**values, "format": exact.FORMAT + 1})))


NEWER: dict[str, Callable[[Path], None]] = {
    "vector files": read_vectors,
    "encoders": read_encoder,
    "spaces of own vectors": read_own,
    "codes of contents": read_code,
    "further codings of contents": read_further,
    "exact contents": read_extension,
    "vectors in long-term memory": read_vector,
    "backups": read_backup,
    "exports": read_parquet,
    "exports: exact bytes": read_exact_bytes,
}


@pytest.mark.parametrize("name", NEWER)
def test_a_newer_number_is_refused_by_both_numbers(name: str, tmp_path: Path) -> None:
    known = NUMBERS[name.partition(":")[0]]
    with pytest.raises(NewerFormat, match=both(known)):
        NEWER[name](tmp_path)


def both(known: int) -> str:
    return rf"format {known + 1}, .* up to {known}; .*pip install --upgrade agent-memory"


def test_a_newer_spool_or_quarantine_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    file = numbered(copied("spool_1.db", tmp_path), spool.FORMAT + 1)
    before = file.read_bytes()
    with pytest.raises(StoreUnavailable, match=both(spool.FORMAT)):
        spool.Spool(file, "a store", 1 << 20).put(entries()[0], 0.0)
    assert file.read_bytes() == before
    file = numbered(copied("quarantine_1.db", tmp_path), quarantine.FORMAT + 1)
    with pytest.raises(StoreUnavailable, match=both(quarantine.FORMAT)):
        quarantine.Quarantine(file).put(QUARANTINED)


@pytest.mark.parametrize("record", ["folder", "server", "database", "embedded server"])
def test_a_memory_of_a_newer_number_is_refused_whichever_record_says_so(
    memory: AgentMemorySystem, record: str
) -> None:
    folder = Path(str(memory.config.path))
    known = manifest.FORMAT if record == "embedded server" else formats.MEMORY
    later = str(known + 1)
    if record == "server":
        memory._resources.connections.stm.call(
            "HSET", f"{memory.config.stm_config.namespace}:memory", "format", later
        )
    memory.close()
    if record == "folder":
        file = folder / "memory.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"format": later}))
    elif record == "embedded server":
        (folder / "embedded.json").write_text(json.dumps({"format": known + 1, "modules": []}))
    elif record == "database":
        with closing(sqlite3.connect(folder / "agent_memory.db")) as beneath, beneath:
            beneath.execute("UPDATE agent_ltm_memory SET value = ? WHERE name = 'format'", (later,))
    for read_only in (True, False):
        with pytest.raises(NewerFormat, match=both(known)):
            AgentMemorySystem.open(folder, read_only=read_only)


def test_a_record_without_a_number_gets_one_when_it_is_opened_for_writing(
    memory: AgentMemorySystem,
) -> None:
    folder = Path(str(memory.config.path))
    memory.close()
    file = folder / "memory.json"
    made = json.loads(file.read_text())
    del made["format"]
    file.write_text(json.dumps(made))
    AgentMemorySystem.open(folder, read_only=True).close()
    assert "format" not in json.loads(file.read_text())
    AgentMemorySystem.open(folder).close()
    assert json.loads(file.read_text())["format"] == str(formats.MEMORY)


LATER_CONTENTS = bytes([coded.FURTHER, coded.NEWEST_FURTHER + 1, 5, 6, 7])


def test_a_repair_leaves_what_a_newer_version_stored_where_it_is(
    memory: AgentMemorySystem,
) -> None:
    connections = memory._resources.connections
    for tier, namespace in ((memory.stm, "stm"), (memory.im, "im")):
        (key, *_) = tier.keys("default", "ant")
        name = f"agent_memory:{namespace}:{{default/ant}}:{key.memory_id}"
        connections.stm.call("HSET", name, "contents", LATER_CONTENTS)
    with writing(memory.sql_engine).begin() as connection:
        one, other = connection.scalars(text("SELECT id FROM agent_ltm_entries ORDER BY id"))
        for row, column, value in (
            (one, "contents", LATER_CONTENTS),
            (other, "embedding_coding", 9),
        ):
            connection.execute(
                text(f"UPDATE agent_ltm_entries SET {column} = :value WHERE id = :row"),  # noqa: S608
                {"row": row, "value": value},
            )
    before = stored_rows(memory)
    report = memory.check(repair=True)
    assert report.found == {Kind.NEWER: 4}, report.findings
    assert report.left == 4
    assert "pip install --upgrade agent-memory" in str(report.findings[0])
    assert stored_rows(memory) == before
    assert not Path(f"{memory.config.path}/agent_memory.db-aside").exists()
    with pytest.raises(NewerFormat, match=both(coded.NEWEST_FURTHER)):
        memory.recall(Query(agent_id="ant"), touch=False)


def stored_rows(memory: AgentMemorySystem) -> Any:
    with memory.sql_engine.connect() as connection:
        asked = "SELECT id, contents, embedding, embedding_coding FROM agent_ltm_entries"
        rows = [tuple(row) for row in connection.execute(text(asked))]
    counts = [len(tier.keys("default", "ant")) for tier in (memory.stm, memory.im)]
    return rows, counts


def test_a_newer_row_of_an_encoder_version_is_told_and_not_used(
    memory: AgentMemorySystem, caplog: pytest.LogCaptureFixture
) -> None:
    version = memory.train_encoder(STATES, epochs=1).version
    with writing(memory.sql_engine).begin() as connection:
        connection.execute(
            text("UPDATE agent_ltm_encoder_versions SET format = :later WHERE id = :version"),
            {"later": encoders.FORMAT + 1, "version": version},
        )
    folder = Path(str(memory.config.path))
    memory.close()
    with AgentMemorySystem.open(folder, upkeep=False) as again:
        report = again.check(repair=True)
        assert report.found[Kind.NEWER] == 1
        assert again.store_agent_state("ant", {"step": 9}, 9)
    assert re.search(both(encoders.FORMAT), caplog.text)
