"""Made 0001.db and 0001.jsonl, and is kept to show how: python -m tests.migrations.assets.make_0001

To be run by a version of the package whose head is 0001 only: the database must be one that this
version left behind. The listing is written of what was given, not of what the database gives back.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.sql import open_engine
from agent_memory.embeddings.int8_grid import on_int8_grid
from agent_memory.models.ltm import EncoderVersion
from agent_memory.repositories.sql import schema
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.testing import HOSTILE_CONTENTS, HOSTILE_NAMES, a_memory_id, an_entry
from agent_memory.values.contents import pack
from agent_memory.values.entry import MemoryEntry, MemoryType
from tests.migrations.listing import VERSION_FIELDS, entry_line, line

HERE = Path(__file__).parent
NOW = 1_700_000_000.0
DECLARED = ("role", "place.x")
LARGEST = 2_000  # bytes of contents, so that the asset stays small

FORGOTTEN, RELEASED = 12, 5

VERSIONS = (
    EncoderVersion(id=0, name="plain", kind="projection", status="active", format=1),
    EncoderVersion(
        id=1,
        name="trained",
        kind="pca",
        parent_id=0,
        status="active",
        format=2,
        tolerances={"energy": 0.5},
        metrics={"held_out": {"error": 0.125, "states": 400}},
        feature_schema=bytes(range(64)),
        dictionary=b"\0dictionary\xff",
        weights=bytes(range(256)) * 4,
    ),
)


def ordinary_entries() -> Iterator[MemoryEntry]:
    """Entries of three runs, with every field in use and every field left out."""
    chance = random.Random(1)
    vectors = np.random.default_rng(1).normal(size=(240, 32)).astype(np.float32)
    for number, vector in enumerate(vectors):
        role = ("scout", "worker", None)[number % 3]
        yield an_entry(
            memory_id=a_memory_id(number),
            run_id=("default", "episode-1", "епізод 2")[number % 3],
            agent_id=("ant-1", "ant-2", "7", "a:b*")[number // 3 % 4],
            step_number=number * 7 if number % 50 else 2**53 - number,
            timestamp=NOW + number / 8,
            memory_type=tuple(MemoryType)[number % 5 % 3],
            contents={"role": role, "place": {"x": number % 9, "y": chance.random()}, "n": number},
            importance_score=chance.random(),
            compression_level=number % 3,
            retrieval_count=number % 4,
            creation_time=NOW - 1 if number % 7 == 0 else NOW + number / 8,
            last_access_time=NOW + 999 if number % 11 == 0 else NOW + number / 8,
            embedding=(None, on_int8_grid(vector), vector)[number % 5 % 3],
            encoder_version=(None, 0, 1)[number % 5 % 3],
            revision=number % 6,
            error_bounds={"place.y": 0.25, "n": 0.0} if number % 4 == 0 else None,
        )


def odd_entries() -> Iterator[MemoryEntry]:
    """Contents of every type, and ids of every sort."""
    contents = [each for each in HOSTILE_CONTENTS if len(pack(each)) <= LARGEST]
    names = [name for name in HOSTILE_NAMES if len(name) <= 20]
    for number in range(max(len(contents), len(names))):
        yield an_entry(
            memory_id=a_memory_id(2**64 + number),
            run_id="odd",
            agent_id=names[number % len(names)],
            step_number=number,
            contents=contents[number] if number < len(contents) else {},
        )


def fill(engine: Engine) -> list[str]:
    """Store all, and give the listing of it."""
    schema.upgrade(engine, revision="0001")
    with Session(engine) as session, session.begin():
        for version in VERSIONS:
            version.created_at = NOW
            session.add(version)
        session.flush()
        versions = [
            line("encoder", {name: getattr(version, name) for name in VERSION_FIELDS})
            for version in VERSIONS
        ]
    repository = LtmRepository(
        engine, ContentsCodec(), indexed_attributes=DECLARED, clock=lambda: NOW
    )
    entries = [*ordinary_entries(), *odd_entries()]
    repository.add_many(entries)
    forgotten, kept = entries[:FORGOTTEN], entries[FORGOTTEN:]
    repository.forget([entry.key for entry in forgotten], NOW + 1)
    repository.release([entry.key for entry in forgotten[:RELEASED]], NOW + 2)
    stones = [
        line(
            "tombstone", entry.run_id, entry.memory_id, NOW + 1, NOW + 2 if at < RELEASED else None
        )
        for at, entry in enumerate(forgotten)
    ]
    attributes = [
        line(
            "attributes",
            entry.run_id,
            entry.memory_id,
            {"role": entry.contents["role"], "place.x": entry.contents["place"]["x"]},
        )
        for entry in kept
        if "place" in entry.contents
    ]
    return sorted([*map(entry_line, kept), *versions, *stones, *attributes])


def main() -> None:
    """Make both files again."""
    database = HERE / "0001.db"
    database.unlink(missing_ok=True)
    engine = open_engine(f"sqlite:///{database}")
    (HERE / "0001.jsonl").write_text("\n".join(fill(engine)) + "\n")
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        # One file, without a log beside it.
        driver.execute("PRAGMA journal_mode=DELETE")
        driver.execute("VACUUM")
    engine.dispose()


if __name__ == "__main__":
    main()
