"""Leaves out the tests of packages that are not installed, and says so."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from agent_memory import AgentMemorySystem

_NEEDS = {
    "test_gymnasium*.py": ("gymnasium",),
    "test_minari.py": ("gymnasium", "minari", "h5py"),
    "test_pettingzoo.py": ("gymnasium", "pettingzoo"),
}
_MISSING = {
    files: [package for package in packages if find_spec(package) is None]
    for files, packages in _NEEDS.items()
}

collect_ignore_glob = [files for files, missing in _MISSING.items() if missing]


def pytest_report_header() -> list[str]:
    return [
        f"tests/integrations/{files} is left out: {', '.join(missing)} not installed"
        for files, missing in _MISSING.items()
        if missing
    ]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[AgentMemorySystem]:
    with AgentMemorySystem({"engine": "fake", "path": tmp_path}) as system:
        yield system
