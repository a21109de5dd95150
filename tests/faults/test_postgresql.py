"""A program whose long-term memory is on PostgreSQL is killed; and its server goes away."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text

from agent_memory import AgentMemorySystem, MemoryConfig, Query, StoreUnavailable
from agent_memory.testing.acknowledged import Acknowledgements
from agent_memory.testing.tally import count
from agent_memory.values.check_report import Kind
from tests.faults.looking import whole
from tests.faults.processes import PATIENCE, ROOT
from tests.faults.scenarios import LIMITS, contents_of
from tests.fuzzing import KILLS

pytestmark = pytest.mark.faults

ROUNDS = max(KILLS // 5, 2)

# Stores and moves for ever, writes down what was acknowledged, and keeps nothing above for long.
PROGRAM = """
import json
import sys
from pathlib import Path

from agent_memory import AgentMemorySystem, MemoryConfig
from agent_memory.testing.acknowledged import Acknowledgements
from tests.faults.scenarios import LIMITS, contents_of

where, log, first = sys.argv[1:]
noted = Acknowledgements(Path(log))
with AgentMemorySystem(MemoryConfig(**LIMITS, **json.loads(where))) as system:
    for step in range(int(first), 10**9):
        for agent in ("ant", "bee"):
            noted.storing(agent, step)
            if system.store_agent_state(agent, contents_of(agent, step), step):
                noted.stored(agent, step)
"""


@pytest.fixture
def where(embedded_where: dict[str, Any], postgresql_memory: str) -> dict[str, Any]:
    """A memory whose long-term part is on the server."""
    return {**embedded_where, "ltm_url": postgresql_memory}


@pytest.fixture
def embedded_where(tmp_path: Path) -> dict[str, Any]:
    return {"path": str(tmp_path / "memory"), "engine": "embedded", "search": False}


@pytest.mark.long
def test_a_program_that_is_killed_while_it_moves_to_postgresql_loses_and_doubles_nothing(
    where: dict[str, Any], tmp_path: Path
) -> None:
    chance = random.Random(5)
    log = tmp_path / "log"
    noted = Acknowledgements(log)
    for kill in range(ROUNDS):
        before = len(noted.expected().certain)
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, json.dumps(where), log, str(kill * 10**6)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        deadline = time.monotonic() + PATIENCE
        while len(noted.expected().certain) < before + 60 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.05))
        process.kill()
        process.wait()
        count("kills")
        with AgentMemorySystem(MemoryConfig(**LIMITS, **where), upkeep=False) as system:
            system.maintain()
            whole(system, noted.expected()).assert_none(f"after kill {kill}")
            assert system.ltm.count("default") > 60 * kill
            # The note of a broken move may have come of age since it was last looked at.
            assert {found.kind for found in system.check().findings} <= {Kind.MOVE}
    noted.close()


def test_entries_wait_above_while_postgresql_lets_nobody_in_and_moves_resume(
    where: dict[str, Any], postgresql_url: str
) -> None:
    name = make_url(where["ltm_url"]).database
    with AgentMemorySystem(MemoryConfig(**LIMITS, **where)) as system:
        for step in range(30):
            assert system.store_agent_state("ant", contents_of("ant", step), step)
        server = create_engine(postgresql_url, isolation_level="AUTOCOMMIT")
        with server.connect() as connection:
            connection.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            everybody = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
            )
            connection.execute(text(everybody), {"name": name})
            for step in range(30, 60):
                assert system.store_agent_state("ant", contents_of("ant", step), step)
            with pytest.raises(StoreUnavailable):
                system.ltm.count("default")
            connection.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        server.dispose()
        system.maintain()
        assert system.ltm.count("default") == 50
        steps = [hit.entry.step_number for hit in system.recall(Query(agent_id="ant"))]
        assert sorted(steps) == [*range(60)]
