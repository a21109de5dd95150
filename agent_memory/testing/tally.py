"""Counts what tests of faults did and met, over all of their processes; a plugin of pytest.

Name it in the root folder's ``conftest.py``: ``pytest_plugins = ["agent_memory.testing.tally"]``.
A table stands at the end of each run in which anything was counted, and the run fails if anything
was met that must not be.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from tempfile import mkstemp

import pytest

VARIABLE = "AGENT_MEMORY_TEST_TALLY"
"""Names the file that counts go to; tests' processes inherit it."""

DONE = ("kills", "interruptions", "races", "fuzzed cases")
"""What tests did."""
MET = ("losses", "doubles", "resurrections", "ghosts", "leaks")
"""What they must not meet."""


def count(what: str, number: int = 1) -> None:
    """Count something; nothing happens in a run without the plugin.

    Args:
        what: One of ``DONE`` or ``MET``.
        number: How many.

    Raises:
        ValueError: ``what`` is neither.
    """
    if what not in DONE + MET:
        raise ValueError(f"{what!r} is none of {', '.join(DONE + MET)}")
    if (file := os.environ.get(VARIABLE)) and number:
        # One small write at the end of a file is whole, however many processes write, and stays
        # when the process is killed.
        with Path(file).open("ab", buffering=0) as lines:
            lines.write(json.dumps([what, number]).encode() + b"\n")


def counted(file: Path) -> Counter[str]:
    """What was counted in a file."""
    counts: Counter[str] = Counter()
    for line in file.read_text().splitlines():
        what, number = json.loads(line)
        counts[what] += number
    return counts


def table(counts: Counter[str]) -> list[str]:
    """The lines of the table."""
    return [f"{what:<14}{counts[what]:>8}" for what in (*DONE, *MET)]


def pytest_configure(config: pytest.Config) -> None:
    """Make the file, in the process that tells of it."""
    if not hasattr(config, "workerinput") and VARIABLE not in os.environ:
        handle, name = mkstemp(prefix="agent-memory-tally-")
        os.close(handle)
        os.environ[VARIABLE] = name
        config.add_cleanup(lambda: _forget(name))


def _forget(name: str) -> None:
    Path(name).unlink(missing_ok=True)
    os.environ.pop(VARIABLE, None)


def _of_this_run(config: pytest.Config) -> Counter[str]:
    file = os.environ.get(VARIABLE)
    return counted(Path(file)) if file and not hasattr(config, "workerinput") else Counter()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run if anything was met that must not be."""
    counts = _of_this_run(session.config)
    if any(counts[what] for what in MET) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    counts = _of_this_run(terminalreporter.config)
    if counts:
        terminalreporter.section("faults")
        for line in table(counts):
            terminalreporter.line(line)
