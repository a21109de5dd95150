"""The command that says which server and which database belong together from now on."""

from __future__ import annotations

from typing import Annotated

import typer

from agent_memory.cli.opening import Folder, plain_errors
from agent_memory.config import MemoryConfig
from agent_memory.connections.deployment import deployment
from agent_memory.connections.folder_record import recorded_config
from agent_memory.errors import ConfigError
from agent_memory.system.rebinding import rebind as bind
from agent_memory.values.urls import without_password


def rebind(
    path: Folder = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="The other database, or the other server, is gone.")
    ] = False,
) -> None:
    """Let a server and a database belong together whose former counterpart is gone for good."""
    with plain_errors():
        config = MemoryConfig(path=path)
        where = deployment(config)
        if where.engine == "embedded":
            config = MemoryConfig(path=path, engine="embedded", **recorded_config(where.path))
            where = deployment(config)
        place = without_password(where.ltm_url)
        server = without_password(where.redis_url or f"the embedded server in {where.path}")
        if not yes:
            raise ConfigError(
                f"{server} and {place} would belong together from now on, and nobody could open "
                "either with another: if what belonged to them is gone for good, add --yes"
            )
        identity = bind(config)
        typer.echo(f"{server} and {place} belong together: memory {identity}")
