"""A second copy of each code of contents, beside the entries of a Redis tier that were coded by it.

Codes are registered in long-term memory. Should its file be lost, the entries in Redis stay
readable by these copies; a code takes some kilobytes.
"""

from __future__ import annotations

from agent_memory.connections.redis.channel import RedisChannel


class CodeCopies:
    """The copies of a namespace; a ``CodeSource``.

    Args:
        channel: The server.
        namespace: What every key begins with.
    """

    def __init__(self, channel: RedisChannel, namespace: str) -> None:
        self._channel = channel
        self._namespace = namespace

    def code(self, version: int) -> bytes | None:
        """The bytes of a version's code; None if there is no copy.

        Raises:
            StoreUnavailable: The server does not answer.
        """
        copy: bytes | None = self._channel.call("GET", self._key(version))
        return copy

    def keep(self, version: int, code: bytes) -> None:
        """Keep a copy of a version's code.

        Raises:
            StoreUnavailable: The server does not answer.
        """
        self._channel.call("SET", self._key(version), code)

    def _key(self, version: int) -> str:
        return f"{self._namespace}:code:{version}"
