"""Made 0001_first.sql at commit 119df00: a database of revision 0001 as it was when it landed.

To be run with that commit first on the path: python make_0001_first.py FILE. The revision was
edited once, by commit 3b20c98, which gave tombstones the column ``released_at``.
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from agent_memory import AgentMemorySystem, MemoryConfig

LIMITS = {"stm_config": {"memory_limit": 2}, "im_config": {"memory_limit": 2}}


def main(file: Path) -> None:
    """Store what is in the asset, and write it down as statements."""
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/ltm.db"
        config = MemoryConfig(engine="fake", path=folder, ltm_url=url, **LIMITS)
        with AgentMemorySystem(config) as memory:
            for step in range(8):
                for agent in ("ant", "bee"):
                    memory.store_agent_state(agent, {"of": agent, "step": step}, step)
            memory.maintain()
            memory.get_memory_agent("bee").clear_memory()
        beneath = sqlite3.connect(f"{folder}/ltm.db")
        file.write_text("\n".join(beneath.iterdump()) + "\n")
        beneath.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
