"""The shape of the code: how large its parts may be, and how many there are side by side."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "agent_memory"

LONGEST_FILE = 400
"""Lines of a file of the package."""
LONGEST_TEST = 600
"""Lines of a file of tests or benchmarks."""
MOST_METHODS = 25
"""Public methods of a class, those of its bases not counted."""
MOST_ROOMS = 14
"""Folders of code at the root of the package, beside `config` and `errors.py`."""

# An exception of a whole file: of ruff, of flake8, or of mypy.
_WHOLE_FILE = re.compile(r"^#\s*(ruff:\s*noqa|flake8:\s*noqa|mypy:|type:\s*ignore)", re.MULTILINE)

# Words that docstrings and comments do not use: each has a plainer one. Names in backticks or
# quotes are left out, such as those of columns and deprecated names.
_UNUSUAL = re.compile(
    r"\b(told|anew|lest|likeness|passage|census|soundness|unexpired|standing|aside|led|alike)\b",
    re.IGNORECASE,
)
_NAMED = re.compile(r"``[^`]*``|`[^`]*`|\"[^\"\n]*\"")


def files(*folders: str) -> Iterator[tuple[str, str]]:
    """The files of some folders: the path of each, and what it says."""
    for folder in folders:
        for file in sorted((ROOT / folder).rglob("*.py")):
            yield str(file.relative_to(ROOT)), file.read_text()


def settings() -> dict[str, Any]:
    """The tools' settings in ``pyproject.toml``."""
    tools: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    return tools


def rooms() -> set[str]:
    """The modules and folders of code at the root of the package, without suffix."""
    return {
        entry.stem
        for entry in PACKAGE.iterdir()
        if (entry.suffix == ".py" or any(entry.glob("*.py"))) and entry.name != "__init__.py"
    }


def too_long(longest: int, *folders: str) -> set[str]:
    return {path for path, text in files(*folders) if len(text.splitlines()) > longest}


def test_no_file_is_too_long() -> None:
    assert not too_long(LONGEST_FILE, "agent_memory", "migrations", "examples")
    assert not too_long(LONGEST_TEST, "tests", "benchmarks")


def test_no_class_has_too_many_public_methods() -> None:
    found = {
        f"{path}::{node.name}"
        for path, text in files("agent_memory")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef) and len(public_methods(node)) > MOST_METHODS
    }
    assert not found


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


def test_no_file_of_the_package_is_excepted_from_a_rule_by_the_settings() -> None:
    excepted = {
        name
        for name in settings()["ruff"]["lint"]["per-file-ignores"]
        if name.startswith("agent_memory")
    }
    # Tests that users run: each is its name, and asserts.
    assert excepted == {"agent_memory/testing/**"}


def test_the_root_of_the_package_holds_its_rooms_and_little_else() -> None:
    assert len(rooms() - {"config", "errors", "__main__"}) <= MOST_ROOMS, sorted(rooms())


def test_every_room_has_its_floor_and_none_has_a_circle() -> None:
    contracts = settings()["importlinter"]["contracts"]
    (floors,) = (
        one for one in contracts
        if one["type"] == "layers" and one["containers"] == ["agent_memory"]
    )  # fmt: skip
    named = {name.strip() for floor in floors["layers"] for name in re.split("[|:]", floor)}
    assert named == rooms()
    assert all(one["exhaustive"] for one in contracts if one["type"] == "layers")
    (circles,) = (one for one in contracts if one["type"] == "acyclic_siblings")
    assert circles["ancestors"] == ["agent_memory"]
    assert "ignore_imports" not in floors
    assert "ignore_imports" not in circles


def test_tests_mirror_the_rooms() -> None:
    folders = {entry.name for entry in (ROOT / "tests").iterdir() if any(entry.glob("test_*.py"))}
    assert folders - {"faults", "migrations", "mutants"} <= rooms()


def prose(text: str) -> Iterator[str]:
    """The docstrings and comments of a file."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield ast.get_docstring(node) or ""
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield str(node.value.value)  # what stands below a constant or an attribute
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def test_docstrings_and_comments_use_the_plain_word() -> None:
    found = {
        (path, match[0])
        for path, text in files("agent_memory", "migrations", "examples", "benchmarks")
        for part in prose(text)
        for match in _UNUSUAL.finditer(_NAMED.sub("", part))
    }
    assert not found
