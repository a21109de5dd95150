"""Processes of the faults: what runs in a folder, and programs that are begun without waiting."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent_memory.testing.wholeness import Findings

ROOT = Path(__file__).parents[2]
PATIENCE = 300.0
"""Seconds after which what must happen is taken not to: only a failure waits so long."""


def running(folder: Path, *kinds: str) -> list[int]:
    """Pids of the servers and keepers that work in a folder, without asking the product."""
    words = {"keeper": b"keeper.py", "server": b"valkey"}
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (process / "cmdline").read_bytes()
            inside = (process / "cwd").readlink().is_relative_to(folder)
            kind = next((kind for kind, word in words.items() if word in line), None)
            if inside and kind is not None and (not kinds or kind in kinds):
                found.append(int(process.name))
    return found


def killed(*pids: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def eventually(holds: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.01)
    return holds()


def left_behind(folder: Path) -> Findings:
    """Processes and drafts that are there though nobody has the folder open."""
    if not eventually(lambda: not running(folder)):
        return Findings(leaks=tuple(f"process {pid}" for pid in running(folder)))
    drafts = [path.name for path in folder.glob("*.json.*")]
    return Findings(leaks=tuple(f"file {name}" for name in drafts))


class Launcher:
    """Forks one fresh child after the other from a process that has loaded all and opened nothing.

    Starting an interpreter for each kill would take most of the time.

    Args:
        program: A file that calls ``serve``.
    """

    def __init__(self, program: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def start(self, **arguments: Any) -> int:
        """Begin a child; gives its pid."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(arguments, default=str) + "\n")
        self._process.stdin.flush()
        return self._line()

    def wait(self) -> int:
        """Wait for the child that was begun last; gives its exit code, or minus its signal."""
        return self._line()

    def _line(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def serve(run: Callable[..., None]) -> None:
    """Run a function in a child of this process for each line of arguments that comes."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.setsid()
                run(**json.loads(line))
                code = 0
            except BaseException:
                sys.excepthook(*sys.exc_info())
                raise
            finally:
                sys.stderr.flush()
                os._exit(code)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()
