"""Packages that frames and pictures need and an extra brings."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from agent_memory.errors import ConfigError

EXTRAS: Mapping[str, str] = {
    "pyarrow": "frames",
    "pandas": "frames",
    "polars": "polars",
    "duckdb": "duckdb",
    "altair": "explore",
    "vl_convert": "explore",
}
"""The extra that brings each package."""


def need(*packages: str) -> None:
    """See that packages are installed; none is imported for that.

    Raises:
        ConfigError: One is not; the message says how to install it.
    """
    for package in packages:
        if find_spec(package) is None:
            raise ConfigError(
                f"this needs {package}: pip install 'agent-memory[{EXTRAS[package]}]'"
            )
