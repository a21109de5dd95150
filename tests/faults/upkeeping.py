"""A program that backs up, restores or repairs, and kills itself on the way; tests run it.

Usage: upkeeping.py backup|restore|repair|store FOLDER FILE KILL_AT

The process kills itself at the KILL_AT-th point: where it is about to begin, or has just ended, a
write of this work. 0 lets it live.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent_memory import AgentMemorySystem, MemoryConfig
from agent_memory.repositories.redis.encodings import RedisEncodings
from agent_memory.repositories.redis.inspection import TierInspection
from agent_memory.repositories.redis.mending import TierMending
from agent_memory.repositories.redis.repository import RedisRepository
from agent_memory.repositories.sql.encodings import LtmEncodings
from agent_memory.repositories.sql.inspection import LongTermInspection
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.repositories.sql.tables import LongTermTables
from agent_memory.system.backups import file, restoring, saving
from agent_memory.system.checking import cross_tier as cross_tier_checks
from agent_memory.system.checking import long_term
from agent_memory.tiers.quarantine import Quarantine

POINTS: dict[str, list[tuple[Any, str]]] = {
    "backup": [(saving, "put_entries"), (file, "_seal"), (file, "_sync_folder")],
    "restore": [
        (LongTermTables, "restore"),
        (LtmRepository, "add_many"),
        (RedisRepository, "add_many"),
        (LongTermTables, "activate"),
        (restoring._Note, "write"),
        (restoring._Note, "remove"),
    ],
    "repair": [
        (Quarantine, "put"),
        (TierMending, "reindex"),
        (TierMending, "set_fields"),
        (TierMending, "take_out"),
        (TierInspection, "strays"),
        (LongTermInspection, "take_out"),
        (LongTermInspection, "set_attributes"),
        (RedisRepository, "remove_copied"),
        (RedisEncodings, "reembed"),
        (LtmEncodings, "reembed"),
        (long_term.LongTermCheck, "_check_file"),
    ],
}


class Points:
    def __init__(self, kill_at: int) -> None:
        self._left = kill_at

    def passed(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            self.passed()
            done = write(*args, **kwargs)
            self.passed()
            return done

        return watched


LIMITS: dict[str, Any] = {
    "stm_config": {"memory_limit": 4},
    "im_config": {"memory_limit": 6},
    "ltm_config": {"batch_size": 3},
    "cleanup_interval": 3,
}
AGENTS = ("ant", "bee")


def contents_of(step: int) -> dict[str, Any]:
    """What every agent remembers of a step."""
    return {"step": step, "payload": str(step) * 50}


def store(folder: str, acknowledged: str) -> None:
    """Store and move without end, and write down what was acknowledged before the next begins."""
    config = MemoryConfig(path=Path(folder), engine="embedded", search=False, **LIMITS)
    with AgentMemorySystem(config) as system, Path(acknowledged).open("a") as log:
        for step in range(1_000_000):
            for agent in AGENTS:
                if system.store_agent_state(agent, contents_of(step), step):
                    log.write(f"{agent} {step}\n")
                    log.flush()


def main(work: str, folder: str, saved: str, kill_at: str) -> None:
    if work == "store":
        store(folder, saved)
        return
    config = MemoryConfig(path=Path(folder), engine="embedded", search=False)
    points = Points(int(kill_at))
    cross_tier_checks._PAUSE = 0.01  # nobody else is at work here
    for owner, name in POINTS[work]:
        setattr(owner, name, points.around(getattr(owner, name)))
    if work == "restore":
        AgentMemorySystem.restore(saved, config)
        return
    with AgentMemorySystem(config, upkeep=False) as system:
        if work == "backup":
            system.backup(saved)
        else:
            system.check(repair=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
