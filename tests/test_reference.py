"""Each public name is on a page of the reference, and says what it is with an example that runs."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import agent_memory
from agent_memory.errors import MemoryStoreError

PAGES = Path(__file__).parents[1] / "docs" / "reference"
DIRECTIVE = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)
ON_PAGES = {name for page in PAGES.glob("*.md") for name in DIRECTIVE.findall(page.read_text())}

# Modules that are public as a whole: what they define is.
MODULES = (
    "agent_memory.connections.sql",
    "agent_memory.errors",
    "agent_memory.models.ltm",
    "agent_memory.repositories.sql.schema",
    "agent_memory.testing",
    "agent_memory.testing.tally",
)


INTEGRATIONS = "agent_memory.integrations."


def _has_extra(path: str) -> bool:
    """Whether the package that an integration stands on is installed."""
    return find_spec(path.removeprefix(INTEGRATIONS).partition(".")[0]) is not None


def _found(path: str) -> object:
    """What a dotted path of the reference names."""
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        home, _, name = path.rpartition(".")
        return getattr(importlib.import_module(home), name)


def _own_names(module: ModuleType) -> list[str]:
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return list(listed)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    ]


def _public() -> Iterator[tuple[str, object]]:
    for name in agent_memory.__all__:
        yield f"agent_memory.{name}", getattr(agent_memory, name)
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in _own_names(module):
            yield f"{module_name}.{name}", getattr(module, name)


def _members(owner: type) -> Iterator[tuple[str, object]]:
    """The public calls and properties of a class that are the package's own."""
    for name in dir(owner):
        # What a test of a contract says is its name.
        if name.startswith(("_", "test_")):
            continue
        home = next((base for base in owner.__mro__ if name in vars(base)), None)
        if home is None or not home.__module__.startswith("agent_memory"):
            continue
        value = inspect.getattr_static(owner, name)
        if isinstance(value, staticmethod | classmethod):
            value = value.__func__
        if isinstance(value, property) or inspect.isfunction(value):
            yield name, value


PUBLIC = dict(_public())
MEMBERS = {
    f"{path}.{name}": member
    for path, value in PUBLIC.items()
    if inspect.isclass(value)
    for name, member in _members(value)
}


def test_what_the_reference_pages_name_is_there() -> None:
    missing = {path for path in ON_PAGES if path.startswith(INTEGRATIONS) and not _has_extra(path)}
    assert [path for path in sorted(ON_PAGES - missing) if _found(path) is None] == []


def test_each_public_name_is_on_a_reference_page() -> None:
    missing = [
        path
        for path, value in PUBLIC.items()
        if not ON_PAGES
        & {path, path.rpartition(".")[0], getattr(value, "__module__", None) or path}
    ]
    assert missing == []


def test_each_public_name_says_what_it_is() -> None:
    assert [path for path, value in (PUBLIC | MEMBERS).items() if not inspect.getdoc(value)] == []


def test_each_name_of_the_package_has_an_example_that_runs() -> None:
    """The examples run with ``pytest agent_memory``."""
    shown_elsewhere = {
        f"agent_memory.{name}"
        for name, value in ((name, getattr(agent_memory, name)) for name in agent_memory.__all__)
        if inspect.isclass(value) and issubclass(value, MemoryStoreError)
    }
    without = [
        path
        for path, value in PUBLIC.items()
        if path.count(".") == 1
        and path not in shown_elsewhere
        and ">>> " not in (inspect.getdoc(value) or "")
    ]
    assert without == []
