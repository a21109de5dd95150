"""Opens channels to the server of a deployment: the embedded one, one of its own, or a fake."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Literal

from agent_memory.connections.circuit_breaker import server_breaker
from agent_memory.connections.deployment import Deployment
from agent_memory.connections.embedded.folder_channel import FolderChannel
from agent_memory.connections.embedded.modules import Search
from agent_memory.connections.embedded.server import EmbeddedServer
from agent_memory.connections.embedded.snapshot import can_be_served, copied_folder
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.clients import RedisClient, fake_server, open_redis
from agent_memory.connections.redis.opening import open_channel

Connector = Callable[[int], RedisChannel]
"""Opens a channel to a database of a server."""


def connector(
    opened: ExitStack,
    where: Deployment,
    durability: Literal["everysec", "always"] = "everysec",
    *,
    search: Search = "auto",
    read_only: bool = False,
) -> Connector:
    """Give what opens channels to a deployment's server, and start that if it is embedded.

    Args:
        opened: Closes the server and all channels.
        where: The deployment.
        durability: When the embedded server syncs.
        search: Whether the embedded server shall have a query engine.
        read_only: Whether nothing will be written: then a folder that may not be written is read
            from a copy.

    Raises:
        StoreUnavailable: The embedded server cannot be started.
        ConfigError: A package is missing.
    """
    if where.engine == "fake":
        return _fake_connector(opened)
    if where.engine == "embedded":
        folder = where.path
        if read_only and not can_be_served(folder):
            folder = copied_folder(opened, folder)
        server = EmbeddedServer.open(folder, durability, search=search)
        opened.callback(server.close)
        return _embedded_connector(opened, server, f"the embedded server in {where.path}")
    url, breaker = where.redis_url or "", server_breaker()

    def connect(db: int) -> RedisChannel:
        channel = open_channel(url, db, breaker=breaker, confirmation=where.confirmation)
        opened.callback(channel.close)
        return channel

    return connect


def _embedded_connector(opened: ExitStack, server: EmbeddedServer, name: str) -> Connector:
    breaker = server_breaker()

    def connect(db: int) -> RedisChannel:
        def heal() -> RedisClient:
            server.ensure_running()
            # Its socket may have a new name by now.
            return open_redis(f"unix://{server.socket_path}", db)

        client = open_redis(f"unix://{server.socket_path}", db)
        channel = FolderChannel(client, name, heal, server, breaker)
        opened.callback(channel.close)
        return channel

    return connect


def _fake_connector(opened: ExitStack) -> Connector:
    open_client = fake_server()

    def connect(db: int) -> RedisChannel:
        channel = RedisChannel(open_client(db), "the fake server", in_process=True)
        opened.callback(channel.close)
        return channel

    return connect
