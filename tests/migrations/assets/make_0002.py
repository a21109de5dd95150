"""Made 0002.db and 0002.jsonl, and is kept to show how: python -m tests.migrations.assets.make_0002

To be run by a version of the package whose head is 0002 only. The entries are those of 0001.
"""

from __future__ import annotations

import shutil

from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.sql import open_engine
from agent_memory.repositories.sql import schema
from agent_memory.repositories.sql.repository import LtmRepository
from tests.migrations.assets.make_0001 import DECLARED, HERE, NOW


def main() -> None:
    """Make both files again: the database of 0001, in which its attributes are declared."""
    database = HERE / "0002.db"
    shutil.copy(HERE / "0001.db", database)
    shutil.copy(HERE / "0001.jsonl", HERE / "0002.jsonl")
    engine = open_engine(f"sqlite:///{database}")
    schema.upgrade(engine, revision="0002")
    repository = LtmRepository(
        engine, ContentsCodec(), indexed_attributes=DECLARED, clock=lambda: NOW
    )
    repository.upkeep.declare_attributes()
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        # One file, without a log beside it.
        driver.execute("PRAGMA journal_mode=DELETE")
        driver.execute("VACUUM")
    engine.dispose()


if __name__ == "__main__":
    main()
