"""Made memory_*.tar.xz: whole folders, as versions of the package left them behind.

To be run with the package of a commit first on the path: python make_memory.py FILE. Beside the
folder the archive holds ``expected.json``, which says what was stored in it.

    memory_1_before_codes.tar.xz   commit 3b20c98: vectors, and neither codes nor checksums
    memory_1_before_sums.tar.xz    commit 56dcb8a: a fitted encoder, contents without checksums
    memory_1_unsummed.tar.xz       commit 037bd94: codes of format 1, whose rows have no checksum
    memory_1_early_sums.tar.xz     commit f411dba: ... or one that is not over the code
    memory_1.tar.xz                commit 2232af7: codes of format 1, checksums, schema 0002
    memory_2.tar.xz                the first commit whose records have a number, schema 0003
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from agent_memory import AgentMemorySystem, MemoryConfig

LIMITS = {"stm_config": {"memory_limit": 4}, "im_config": {"memory_limit": 4}}
AGENTS = ("ant", "bee")


def state(step: int) -> dict[str, Any]:
    """What an agent is in at a step; it comes back from JSON as it is."""
    return {
        "x": round(math.sin(step), 3),
        "mood": ["calm", "alert"][step % 2],
        "at": [step, step % 3],
        "age": step,
        "note": "n" * (step % 5),
        "nothing": None,
    }


def main(file: Path) -> None:
    """Store, train, move and store on, and pack the folder."""
    with TemporaryDirectory() as parent:
        folder = Path(parent, "memory")
        config: dict[str, Any] = {"path": folder, "engine": "embedded", **LIMITS}
        with contextlib.suppress(ValueError):  # the first versions know no query engine
            config = dict(MemoryConfig(**config, search=False))
        with AgentMemorySystem(MemoryConfig(**config)) as memory:
            _store(memory, range(12))
            with contextlib.suppress(AttributeError, TypeError):  # nor training
                memory.train_encoder([state(step) for step in range(200)], epochs=2)
            _store(memory, range(12, 20))
        expected = [[agent, step, state(step)] for agent in AGENTS for step in range(20)]
        Path(parent, "expected.json").write_text(json.dumps(expected))
        with tarfile.open(file, "w:xz") as packed:
            for name in ("memory", "expected.json"):
                packed.add(Path(parent, name), name)


def _store(memory: AgentMemorySystem, steps: range) -> None:
    for step in steps:
        for agent in AGENTS:
            assert memory.store_agent_state(agent, state(step), step)
    memory.maintain()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
