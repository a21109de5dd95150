"""A run that is interrupted at random instants for minutes loses nothing and leaves nothing open.

``AGENT_MEMORY_TEST_STORM`` is how many seconds all of it takes: a few by default, and ten minutes
by ``make faults``.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from agent_memory import AgentMemorySystem, MemoryConfig
from agent_memory.values.check_report import Kind
from tests.faults.looking import look, whole
from tests.faults.processes import left_behind
from tests.faults.scenarios import LIMITS
from tests.faults.storming import Storm

pytestmark = [
    pytest.mark.faults,
    # Of what is interrupted in a destructor, Python says that it goes on.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    # What was being opened or connected just then is closed by Python itself.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*was deleted while still open:ResourceWarning"),
]

SECONDS = float(os.environ.get("AGENT_MEMORY_TEST_STORM", "5")) / 2
SEED = int(os.environ.get("AGENT_MEMORY_TEST_SEED", random.randrange(2**32)))


def test_interruptions_at_random_instants_lose_and_leave_nothing(tmp_path: Path) -> None:
    folder, log = tmp_path / "memory", tmp_path / "log"
    storm = Storm(folder, log, SEED)
    assert storm.rage(SECONDS) >= SECONDS / 10  # many more, where nothing else is at work
    storm.close()
    left_behind(folder).assert_none(f"closed after a storm of seed {SEED}")
    look(folder, log, f"a storm of seed {SEED}", in_place=False)


def test_interruptions_at_random_instants_leave_postgresql_nothing_open(
    tmp_path: Path, postgresql_memory: str
) -> None:
    folder = tmp_path / "memory"
    storm = Storm(folder, tmp_path / "log", SEED, ltm_url=postgresql_memory)
    assert storm.rage(SECONDS) >= SECONDS / 10  # many more, where nothing else is at work
    expected = storm.noted.expected()
    storm.close()
    left_behind(folder).assert_none(f"closed after a storm of seed {SEED}")
    config = MemoryConfig(
        path=folder, engine="embedded", search=False, ltm_url=postgresql_memory, **LIMITS
    )
    with AgentMemorySystem(config, upkeep=False) as system:
        system.maintain()
        whole(system, expected).assert_none(f"after a storm of seed {SEED}")
        # The note of a broken move may not be old enough to be taken away.
        assert {found.kind for found in system.check().findings} <= {Kind.MOVE}
