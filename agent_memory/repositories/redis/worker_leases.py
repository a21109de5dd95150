"""Which workers share the upkeep of a memory, by leases that they renew.

Times are the server's own, so that clocks of machines need not agree.
"""

from __future__ import annotations

from agent_memory.connections.redis.answers import are_texts
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.script import Script
from agent_memory.repositories.redis.keys import KeySpace

_HOLD = Script(
    """
    local now = redis.call('TIME')
    now = now[1] + now[2] / 1000000
    redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
    return redis.call('ZRANGE', KEYS[1], 0, -1)
    """,
    are_texts,
)


class WorkerLeases:
    """The workers of one memory.

    Args:
        channel: The server.
        namespace: What the keys of short-term memory begin with.
    """

    def __init__(self, channel: RedisChannel, namespace: str) -> None:
        self._channel = channel
        self._key = KeySpace(namespace).workers

    def hold(self, worker: str, seconds: float) -> list[str]:
        """Be one of the workers for a while, and know the others.

        Args:
            worker: The name of this one.
            seconds: For how long; a worker that is heard no more is none after that.

        Returns:
            The names of all workers at this moment, this one's among them.

        Raises:
            StoreUnavailable: The server does not answer.
        """
        (held,) = self._channel.run(_HOLD, [([self._key], [worker, repr(seconds)])])
        return sorted(name.decode(errors="replace") for name in held)

    def release(self, worker: str) -> None:
        """Be none any more."""
        self._channel.call("ZREM", self._key, worker)
