"""Where a Redis server is, and how its tiers hold entries."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from agent_memory.config.limits import Level, Namespace, Positive, Share
from agent_memory.values.config_part import ConfigPart
from agent_memory.values.secrets import Password

_LONGEST_TTL = 10**11  # seconds; a server refuses times that end beyond its calendar

_Port = Annotated[int, Field(ge=1, le=65535)]


class _RedisPlace(ConfigPart):
    host: str = Field(default="localhost", min_length=1)
    port: _Port = 6379
    db: Annotated[int, Field(ge=0, lt=2**31)] = 0
    password: Password = Field(default=None, repr=False)

    @property
    def connection_params(self) -> dict[str, Any]:
        """What a Redis client needs: host, port, db and password."""
        return {
            "host": self.host,
            "port": self.port,
            "db": self.db,
            "password": self.password,
        }


class _RedisConfig(_RedisPlace):
    max_age_steps: Positive | None = None


class RedisSTMConfig(_RedisConfig):
    """Short-term memory: Redis, full detail.

    Args:
        host: Server name, when the engine is "redis" and no ``redis_url`` is given.
        port: Server port.
        db: Redis database. The query engine indexes database 0 only.
        password: Server password; shown nowhere.
        ttl: Age in seconds past which an entry moves on (clock "wall").
        memory_limit: How many entries an agent may hold here.
        namespace: What every key begins with.
        max_age_steps: Age in steps past which an entry moves on; None for no such limit.

    Examples:
        >>> from agent_memory import RedisSTMConfig
        >>> RedisSTMConfig(memory_limit=200, max_age_steps=50).ttl
        86400
    """

    ttl: Positive = 86_400
    memory_limit: Positive = 1_000
    namespace: Namespace = "agent_memory:stm"


class RedisIMConfig(_RedisConfig):
    """Intermediate memory: Redis, level-1 compressed.

    The other arguments are those of ``RedisSTMConfig``.

    Args:
        compression_level: How far contents and vectors are compressed: 0 (exact), 1 or 2.

    Examples:
        >>> from agent_memory import RedisIMConfig
        >>> RedisIMConfig().compression_level
        1
    """

    ttl: Positive = 604_800
    memory_limit: Positive = 10_000
    namespace: Namespace = "agent_memory:im"
    compression_level: Level = 1


def names_a_server(part: _RedisConfig) -> bool:
    """Whether a part says which Redis server to use: host, port or password is set."""
    default = _RedisConfig()
    return (part.host, part.port, part.password) != (default.host, default.port, default.password)


class RedisMemoryConfig(_RedisPlace):
    """The memory of states by step: ``AgentMemory`` and ``AgentMemoryManager``.

    Args:
        host: Server name. With host, port and password at their defaults the embedded server
            serves, as for ``MemoryConfig``.
        port: Server port.
        db: Redis database.
        password: Server password; shown nowhere.
        memory_limit: How many states an agent may hold; the least worth keeping leave first.
        ttl: How long a state is kept, in seconds.
        enable_semantic_search: Kept for those who set it: similarity is ``AgentMemorySystem``'s.
        embedding_dimension: The same.
        memory_priority_decay: What a priority is multiplied by for every ``cleanup_interval``
            later states, when those least worth keeping leave.
        cleanup_interval: An agent's states are tidied every so many of its stores.
        namespace: What every key begins with.

    Examples:
        >>> from agent_memory import RedisMemoryConfig
        >>> RedisMemoryConfig(ttl=600).memory_limit
        1000
    """

    memory_limit: Positive = 1_000
    ttl: Annotated[int, Field(gt=0, le=_LONGEST_TTL)] = 3_600
    enable_semantic_search: bool = True
    embedding_dimension: Positive = 128
    memory_priority_decay: Share = 0.95
    cleanup_interval: Positive = 100
    namespace: Namespace = "agent_memory"

    @property
    def connection_params(self) -> dict[str, Any]:
        """What a Redis client needs: host, port, db, password and ``decode_responses``.

        Examples:
            >>> RedisMemoryConfig().connection_params["decode_responses"]
            True
        """
        return super().connection_params | {"decode_responses": True}
