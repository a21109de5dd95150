"""Made 0003.db and 0003.jsonl, and is kept to show how: python -m tests.migrations.assets.make_0003

To be run by a version of the package whose head is 0003 only. To what 0002 holds it adds entries
whose ids several agents share, some of them forgotten for one of these agents.
"""

from __future__ import annotations

import shutil
from dataclasses import replace

from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.sql import open_engine
from agent_memory.models.ltm_types import agent_hash
from agent_memory.repositories.sql import schema
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.testing import a_memory_id, an_entry
from tests.migrations.assets.make_0001 import DECLARED, HERE, NOW
from tests.migrations.listing import entry_line, tombstone_line


def main() -> None:
    """Make both files again."""
    database = HERE / "0003.db"
    shutil.copy(HERE / "0002.db", database)
    engine = open_engine(f"sqlite:///{database}")
    schema.upgrade(engine, revision="0003")
    repository = LtmRepository(
        engine, ContentsCodec(), indexed_attributes=DECLARED, clock=lambda: NOW
    )
    repository.upkeep.declare_attributes()
    events = [
        an_entry(memory_id=a_memory_id(2**70 + number), run_id="default", contents={"n": number})
        for number in range(3)
    ]
    shared = [
        replace(event, agent_id=agent) for event in events for agent in ("ant-1", "ant-2", "bee")
    ]
    repository.add_many(shared)
    forgotten = [entry for entry in shared if entry.agent_id == "ant-2"]
    repository.forget([entry.key for entry in forgotten], NOW + 3)
    lines = [
        *(HERE / "0002.jsonl").read_text().splitlines(),
        *(entry_line(entry) for entry in shared if entry not in forgotten),
        *(
            tombstone_line("default", entry.memory_id, NOW + 3, None, agent_hash("ant-2"))
            for entry in forgotten
        ),
    ]
    (HERE / "0003.jsonl").write_text("\n".join(sorted(lines)) + "\n")
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        # One file, without a log beside it.
        driver.execute("PRAGMA journal_mode=DELETE")
        driver.execute("VACUUM")
    engine.dispose()


if __name__ == "__main__":
    main()
