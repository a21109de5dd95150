"""The shape of the code: how large its parts may be, and how many there are side by side."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "agent_memory"

LONGEST_FILE = 400
"""Lines of a file of the package."""
LONGEST_TEST = 600
"""Lines of a file of tests or benchmarks."""
MOST_METHODS = 25
"""Public methods of a class, those of its bases not counted."""
MOST_ENTRIES = 15
"""Modules and folders at the root of the package, beside its ``__init__.py``."""

# What is not so yet. Each of these sets only ever shrinks.
TOO_LONG = {
    "agent_memory/config.py",
    "agent_memory/models/redis_om/entry.py",
    "agent_memory/system/memory_system.py",
    "tests/faults/test_outages.py",
    "tests/system/test_system.py",
}
TOO_MANY_METHODS: set[str] = set()

# An exception of a whole file: of ruff, of flake8, or of mypy.
_WHOLE_FILE = re.compile(r"^#\s*(ruff:\s*noqa|flake8:\s*noqa|mypy:|type:\s*ignore)", re.MULTILINE)


def files(*folders: str) -> Iterator[tuple[str, str]]:
    """The files of some folders: the path of each, and what it says."""
    for folder in folders:
        for file in sorted((ROOT / folder).rglob("*.py")):
            yield str(file.relative_to(ROOT)), file.read_text()


def too_long(longest: int, *folders: str) -> set[str]:
    return {path for path, text in files(*folders) if len(text.splitlines()) > longest}


def test_no_file_is_too_long() -> None:
    found = too_long(LONGEST_FILE, "agent_memory") | too_long(LONGEST_TEST, "tests", "benchmarks")
    assert found <= TOO_LONG


def test_no_class_has_too_many_public_methods() -> None:
    found = {
        f"{path}::{node.name}"
        for path, text in files("agent_memory")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef) and len(public_methods(node)) > MOST_METHODS
    }
    assert found <= TOO_MANY_METHODS


def public_methods(class_: ast.ClassDef) -> set[str]:
    """The names of methods and properties; what is overloaded is one."""
    return {
        node.name
        for node in class_.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
    }


def test_no_file_as_a_whole_is_excepted_from_a_rule() -> None:
    found = {
        path
        for path, text in files("agent_memory", "migrations", "tests", "benchmarks", "examples")
        if _WHOLE_FILE.search(text)
    }
    assert not found


def test_the_root_of_the_package_holds_its_rooms_and_little_else() -> None:
    entries = {
        entry.name
        for entry in PACKAGE.iterdir()
        if (entry.suffix == ".py" or any(entry.glob("*.py"))) and entry.name != "__init__.py"
    }
    assert len(entries) <= MOST_ENTRIES, sorted(entries)
