"""Runs the examples of the README and the docs as tests, each page in a folder of its own."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser


def _enter_own_folder(namespace: dict[str, Any]) -> None:
    namespace["_left"] = Path.cwd()
    os.chdir(mkdtemp(prefix="agent-memory-docs-"))


def _leave_own_folder(namespace: dict[str, Any]) -> None:
    os.chdir(namespace["_left"])


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser()],
    patterns=["README.md", "docs/*.md"],
    setup=_enter_own_folder,
    teardown=_leave_own_folder,
).pytest()
