"""A second copy of each code of contents, beside the entries of a Redis tier that were coded by it.

Codes are registered in long-term memory. Should its file be lost, the entries in Redis stay
readable by these copies; a code takes some kilobytes.
"""

from __future__ import annotations

from agent_memory.compression.rows import Stored
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.repositories.redis.inspection import TierInspection
from agent_memory.values.coded import code_named_by

_SAMPLED = 256  # rows


class CodeCopies:
    """The copies of a namespace; a ``CodeSource``.

    Args:
        channel: The server.
        namespace: What every key begins with.
        buckets: Over how many buckets agents are spread; 0: over none.
    """

    def __init__(self, channel: RedisChannel, namespace: str, buckets: int = 0) -> None:
        self._buckets = buckets
        self._channel = channel
        self._namespace = namespace

    def code(self, version: int) -> bytes | None:
        """The bytes of a version's code; None if there is no copy.

        Raises:
            StoreUnavailable: The server does not answer.
        """
        copy: bytes | None = self._channel.call("GET", self._key(version))
        return copy

    def coded_rows(self, version: int) -> list[Stored]:
        """Some entries of the namespace whose contents the code of a version has coded.

        Raises:
            StoreUnavailable: The server does not answer.
        """
        found: list[Stored] = []
        for batch in TierInspection(self._channel, self._namespace, buckets=self._buckets).scan():
            names = [key.name for key in batch if key.kind == key.expected == "hash" and key.owner]
            asked = [("HMGET", name, "contents", "step_number") for name in names]
            for contents, step in self._channel.call_all(asked):
                if contents and code_named_by(contents) == version and (step or b"").isdigit():
                    found.append(Stored(contents, int(step), None))
            if len(found) >= _SAMPLED:
                break
        return found

    def keep(self, version: int, code: bytes) -> None:
        """Keep a copy of a version's code.

        Raises:
            StoreUnavailable: The server does not answer.
        """
        self._channel.call("SET", self._key(version), code)

    def _key(self, version: int) -> str:
        return f"{self._namespace}:code:{version}"
