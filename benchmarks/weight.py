"""What importing costs, and how much memory a thousand agents take."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.measuring import Figure

_IMPORT = """
import json, sys, time
begin = time.perf_counter()
import agent_memory
took = time.perf_counter() - begin
drivers = ["torch", "redis", "sqlalchemy", "alembic", "sqlite3"]
print(json.dumps([took, [name for name in drivers if name in sys.modules]]))
"""

_AGENTS = """
import re, sys, tempfile
from pathlib import Path
from agent_memory import AgentMemorySystem, MemoryConfig
with tempfile.TemporaryDirectory() as folder:
    with AgentMemorySystem(MemoryConfig(path=Path(folder), engine="embedded")) as system:
        for agent in range(int(sys.argv[1])):
            for step in range(10):
                system.store_agent_state(agent, {"x": step, "y": 1.5}, step)
        status = Path("/proc/self/status").read_text()
        print(int(re.search(r"VmRSS:\\s+(\\d+) kB", status)[1]) / 1024)
"""


def figures() -> Iterator[Figure]:
    """Measure the import and the memory of agents, each in processes of their own."""
    yield _import()
    yield _agents()


def _import() -> Figure:
    runs = [json.loads(_python(_IMPORT)) for _ in range(5)]
    took = statistics.median(run[0] for run in runs)
    loaded = sorted({name for run in runs for name in run[1]})
    return Figure(
        "import agent_memory",
        "0.3 s or less, no torch, no driver",
        f"{took:.3f} s",
        took <= 0.3 and not loaded,
        f"loaded: {', '.join(loaded) or 'none of them'}",
    )


def _agents() -> Figure:
    one, thousand = (float(_python(_AGENTS, count)) for count in ("1", "1000"))
    return Figure(
        "1,000 agents in one system, beyond one agent",
        "50 MB or less",
        f"{thousand - one:.1f} MB",
        thousand - one <= 50,
        f"{thousand:.0f} MB against {one:.0f} MB resident",
    )


def _python(program: str, *arguments: str) -> str:
    done = subprocess.run(  # this interpreter, and a program of this file
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout
