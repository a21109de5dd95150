"""Whether the server and the database of a memory belong together, as the doctor finds it."""

from __future__ import annotations

from contextlib import ExitStack

from agent_memory.cli.findings import Finding, State
from agent_memory.config import MemoryConfig
from agent_memory.connections.circuit_breaker import CircuitBreaker
from agent_memory.connections.deployment import Deployment, database_file
from agent_memory.connections.serving import Connector, connector
from agent_memory.connections.sql import open_engine
from agent_memory.repositories.redis.identity import NamespaceRecord
from agent_memory.system.beneath import Connections
from agent_memory.system.identity import MemoryIdentity
from agent_memory.values.urls import without_password


def look_at_identity(config: MemoryConfig, where: Deployment) -> list[Finding]:
    """Whether server and database belong together, and to no other memory; nothing is recorded.

    Raises:
        MemoryStoreError: They do not, or one of them does not answer.
    """
    if where.engine != "redis":
        return []  # a folder's server belongs to the folder, and a fake one to its process
    with ExitStack() as opened:
        connect = connector(opened, where)
        in_file, file = database_file(where.ltm_url)
        if in_file and (file is None or not file.exists()):
            return _look_without_database(config, where, connect)
        engine = open_engine(where.ltm_url, read_only=True)
        opened.callback(engine.dispose)
        channels = connect(config.stm_config.db), connect(config.im_config.db)
        connections = Connections(where, *channels, engine, CircuitBreaker(0.0, 0.0))
        MemoryIdentity(config, where, connections, connect).check()
    return [Finding("identity", "server and database belong together, and to no other memory")]


def _look_without_database(
    config: MemoryConfig, where: Deployment, connect: Connector
) -> list[Finding]:
    for part in (config.stm_config, config.im_config):
        record = NamespaceRecord(connect(part.db), part.namespace)
        held = record.read()
        if "id" in held:
            text = (
                f"{record.place} belongs to the long-term memory in "
                f"{held.get('database', 'another database')}, and "
                f"{without_password(where.ltm_url)} is not there: name that one (ltm_url or path), "
                "or another namespace or server; if it is gone for good: agent-memory rebind"
            )
            return [Finding("identity", text, State.BROKEN)]
    return [Finding("identity", "recorded on first use")]
