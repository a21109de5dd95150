"""Says which server and which database belong together, where that has changed for good."""

from __future__ import annotations

from contextlib import ExitStack

from agent_memory.config import MemoryConfig
from agent_memory.connections.circuit_breaker import CircuitBreaker
from agent_memory.connections.deployment import deployment
from agent_memory.connections.serving import connector
from agent_memory.connections.sql import open_engine
from agent_memory.repositories.sql import schema
from agent_memory.system.beneath import Connections
from agent_memory.system.identity import MemoryIdentity


def rebind(config: MemoryConfig) -> str:
    """Record that the server and the database of a configuration belong together.

    For a server whose database is gone for good, or a database that goes on with another server.
    No other process should have the memory open.

    Args:
        config: The configuration.

    Returns:
        The memory's identity from now on.

    Raises:
        ConfigError: A part of it is in this process alone.
        SchemaOutOfDate: Long-term memory needs a migration.
        StoreUnavailable: The server or the database does not answer.
    """
    where = deployment(config)
    with ExitStack() as opened:
        sql_engine = open_engine(where.ltm_url)
        opened.callback(sql_engine.dispose)
        schema.ensure(sql_engine, config.ltm_config.table_prefix)
        connect = connector(opened, where, config.durability, search=config.search)
        stm, im = connect(config.stm_config.db), connect(config.im_config.db)
        breaker = CircuitBreaker(0.0, 0.0)
        connections = Connections(where, stm, im, sql_engine, breaker)
        identity = MemoryIdentity(config, where, connections, connect)
        identity.bind()
        return identity.id or ""
