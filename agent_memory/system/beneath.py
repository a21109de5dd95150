"""What lies beneath the repositories: the connections, and the Redis tiers seen through them."""

from __future__ import annotations

from dataclasses import dataclass

from agent_memory.config import MemoryConfig
from agent_memory.connections.circuit_breaker import CircuitBreaker
from agent_memory.connections.deployment import Deployment
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.cluster_channel import ClusterChannel
from agent_memory.connections.redis.engine import RedisEngine
from agent_memory.connections.sql import SqlEngine
from agent_memory.repositories.redis.inspection import TierInspection
from agent_memory.repositories.redis.keys import BUCKETS


@dataclass(frozen=True, eq=False)
class Connections:
    """The servers, beneath the repositories.

    Attributes:
        deployment: Where they are.
        stm: The connection to the database of short-term memory.
        im: The same of intermediate memory; the same object where one database holds both.
        sql_engine: The SQL engine of long-term memory.
        sql_breaker: Whether long-term memory is away, as this process knows it.
    """

    deployment: Deployment
    stm: RedisChannel
    im: RedisChannel
    sql_engine: SqlEngine
    sql_breaker: CircuitBreaker

    @property
    def channels(self) -> tuple[RedisChannel, ...]:
        """The connections to Redis, each once."""
        return (self.stm,) if self.im is self.stm else (self.stm, self.im)

    @property
    def buckets(self) -> int:
        """Over how many buckets the agents of the Redis tiers are spread; 0: over none."""
        return BUCKETS if isinstance(self.stm, ClusterChannel) else 0

    @property
    def redis_engine(self) -> RedisEngine:
        """The server of short-term and intermediate memory, and what it can do.

        Raises:
            StoreUnavailable: It does not answer.
        """
        return self.stm.engine


def inspections(
    connections: Connections, config: MemoryConfig
) -> tuple[TierInspection, TierInspection]:
    """Short-term and intermediate memory, beneath their repositories."""
    names = (config.stm_config.namespace, config.im_config.namespace)
    return (
        TierInspection(connections.stm, names[0], names, connections.buckets),
        TierInspection(connections.im, names[1], names, connections.buckets),
    )
