"""Made 0004.db and 0004.jsonl, and is kept to show how: python -m tests.migrations.assets.make_0004

To be run by a version of the package whose head is 0004 only. To what 0003 holds it adds what runs
were begun with.
"""

from __future__ import annotations

import shutil

from agent_memory.connections.sql import open_engine
from agent_memory.models.ltm import ltm_models
from agent_memory.repositories.sql import schema
from agent_memory.repositories.sql.runs import RunRecords
from agent_memory.repositories.sql.transactions import Transactions
from agent_memory.values.run import RunRecord
from tests.migrations.assets.make_0001 import HERE, NOW
from tests.migrations.listing import line

PARAMETERS = {"ants": 20, "rate": 0.25, "at": {"$tuple": [1, 2]}, "none": None, "\u0000": "\ud800"}


def main() -> None:
    """Make both files again."""
    database = HERE / "0004.db"
    shutil.copy(HERE / "0003.db", database)
    engine = open_engine(f"sqlite:///{database}")
    schema.upgrade(engine, revision="0004")
    records = RunRecords(Transactions(engine), ltm_models(), lambda: NOW)
    records.begin(RunRecord("default", parameters={}, seed=0))
    records.begin(RunRecord("forked", "default", 3, 2**100, PARAMETERS))
    records.set_status("forked", "finished")
    lines = [
        *(HERE / "0003.jsonl").read_text().splitlines(),
        line("run", "default", None, None, 0, {}, "running"),
        line("run", "forked", "default", 3, 2**100, PARAMETERS, "finished"),
    ]
    (HERE / "0004.jsonl").write_text("\n".join(sorted(lines)) + "\n")
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        # One file, without a log beside it.
        driver.execute("PRAGMA journal_mode=DELETE")
        driver.execute("VACUUM")
    engine.dispose()


if __name__ == "__main__":
    main()
