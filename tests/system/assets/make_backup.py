"""Made the backups of each format: python -m tests.system.assets.make_backup

A file is made by a version of the package that writes its format, and never again: it stands for
the backups that people have. What is in it is said by ``entries`` and ``FORGOTTEN``.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from agent_memory import AgentMemorySystem, MemoryConfig, MemoryEntry
from agent_memory.system.backups.file import FORMAT
from agent_memory.testing.samples import a_memory_id, an_entry

HERE = Path(__file__).parent
NOW = 1_700_000_000.0
STEPS = 6  # of which each tier holds two
FORGOTTEN = a_memory_id(999)
"""Was forgotten for good: for every agent up to format 1, then for "ant" alone."""

BEGUN: dict[str, Any] = {"parameters": {"ants": 2, "at": (1, 2.5)}, "seed": 2**70}
"""What the run was begun with, from format 3 on."""


def entries(made_by: int) -> list[MemoryEntry]:
    """The entries in a backup of a format; from 2 on both agents have the same ids."""
    return [
        an_entry(
            run_id="default",
            agent_id=agent,
            memory_id=a_memory_id(step + (100 * number if made_by < 2 else 0)),
            step_number=step,
            timestamp=NOW + step,
            contents={"of": agent, "step": step, "mood": f"m{step % 2}"},
            pinned=step == 1,
        )
        for number, agent in enumerate(("ant", "bee"))
        for step in range(STEPS)
    ]


def main() -> None:
    """Make the file of the format that this version writes."""
    limits = {"stm_config": {"memory_limit": 2}, "im_config": {"memory_limit": 2}}
    with TemporaryDirectory() as folder:
        config = MemoryConfig(engine="fake", path=folder, **limits)
        with AgentMemorySystem(config, upkeep=False) as system:
            system.run("default", **BEGUN).end_run("finished")
            for entry in entries(FORMAT):
                (system.ltm, system.im, system.stm)[entry.step_number // 2].add(entry)
            ant = entries(FORMAT)[0].key
            system.ltm.forget([ant._replace(memory_id=FORGOTTEN)], NOW)
            system.backup(HERE / f"format_{FORMAT}.backup")


if __name__ == "__main__":
    main()
