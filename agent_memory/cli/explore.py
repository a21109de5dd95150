"""``agent-memory explore``: a local page that shows what agents remember."""

from __future__ import annotations

import webbrowser
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from agent_memory.cli.opening import Folder, opened, opened_at, plain_errors
from agent_memory.connections.deployment import deployment
from agent_memory.errors import ConfigError
from agent_memory.system.memory_system import AgentMemorySystem
from agent_memory.values.urls import without_password

_NEEDED = ("altair", "starlette", "uvicorn", "vl_convert")


def explore(
    path: Folder = None,
    redis_url: Annotated[
        str | None, typer.Option(help="Server of short-term and intermediate memory.")
    ] = None,
    ltm_url: Annotated[str | None, typer.Option(help="Database of long-term memory.")] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="The port; 0: one that is free. Else 8765, or free."),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Show what agents remember on a local page, read-only, beside a live run if need be.

    The address holds a token of this start. Other machines cannot reach it. Ctrl-C ends it.
    """
    with plain_errors():
        _check_installed()
        from agent_memory.explorer.serving import explorer  # noqa: PLC0415  # an extra

        with (
            _memory(path, redis_url, ltm_url) as memory,
            explorer(memory, _place(memory, redis_url), port) as page,
        ):
            typer.echo(f"explore at {page.url}")
            typer.echo("Ctrl-C ends it")
            if browser:
                webbrowser.open(page.url)
            page.run()


def _check_installed() -> None:
    missing = [package for package in _NEEDED if find_spec(package) is None]
    if missing:
        raise ConfigError(f"this needs {missing[0]}: pip install 'agent-memory[explore]'")


def _memory(
    path: Path | None, redis_url: str | None, ltm_url: str | None
) -> AbstractContextManager[AgentMemorySystem]:
    if redis_url is None and ltm_url is None:
        return opened(path, read_only=True)
    given = {"path": path, "redis_url": redis_url, "ltm_url": ltm_url}
    return opened_at(**{name: value for name, value in given.items() if value is not None})


def _place(memory: AgentMemorySystem, redis_url: str | None) -> str:
    if redis_url is not None:
        return without_password(redis_url)
    return str(deployment(memory.config).path)
