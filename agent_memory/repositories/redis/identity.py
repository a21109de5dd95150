"""What the namespace of a tier on a Redis server records of the memory that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping

from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.repositories.redis.keys import KeySpace
from agent_memory.values.formats import FORMAT, check_record

_ID = "id"


class NamespaceRecord:
    """Named texts in a hash beside a tier's entries.

    Args:
        channel: The server.
        namespace: What every key of the tier begins with.
        buckets: Over how many buckets its agents are spread; 0: over none.
    """

    def __init__(self, channel: RedisChannel, namespace: str, buckets: int = 0) -> None:
        self._channel = channel
        self.buckets = buckets
        self.namespace = namespace
        self.key = f"{namespace}:memory"

    @property
    def db(self) -> int:
        """The number of the database, which a URL may have named."""
        return int(self._channel.client.connection_pool.connection_kwargs.get("db") or 0)

    @property
    def place(self) -> str:
        """Where the namespace is, for messages."""
        return f"namespace {self.namespace!r} in database {self.db} of {self._channel.where}"

    def read(self) -> dict[str, str]:
        """What is recorded; nothing where no memory has recorded anything.

        Raises:
            NewerFormat: A newer version made that memory.
            StoreUnavailable: The server does not answer.
        """
        fields = self._channel.call("HGETALL", self.key)
        held = dict(zip(map(_text, fields[::2]), map(_text, fields[1::2]), strict=True))
        check_record(self.place, held.get(FORMAT))
        return held

    def claim(self, identity: str, more: Mapping[str, str]) -> dict[str, str]:
        """Record an identity, unless there is one; gives what is recorded then.

        Args:
            identity: The memory's.
            more: What is recorded beside it, if this comes first or the identity is the same.

        Raises:
            StoreUnavailable: The server does not answer, or takes no writes.
        """
        held = self.read()
        if _ID not in held:
            # Written only then: a server that is full takes no writes, and is to be emptied.
            self._channel.call("HSETNX", self.key, _ID, identity)
            held = self.read()
        if held.get(_ID) == identity and any(held.get(name) != more[name] for name in more):
            self._put(more)
            return {**held, **more}
        return held

    def note(self, values: Mapping[str, str]) -> None:
        """Record something beside the identity, whether there is one or not."""
        self._put(values)

    def is_taken(self, identity: str) -> bool:
        """Whether the namespace holds the entries of a memory of another identity."""
        held = self.read().get(_ID)
        key_space = KeySpace(self.namespace, self.buckets)
        listed = self._channel.call_all([("EXISTS", key) for key in key_space.runs])
        return held != identity and (held is not None or any(listed))

    def put(self, identity: str, more: Mapping[str, str]) -> None:
        """Record an identity in place of what is recorded.

        Raises:
            StoreUnavailable: The server does not answer, or takes no writes.
        """
        self._put({_ID: identity, **more})

    def _put(self, values: Mapping[str, str]) -> None:
        flat = [text for pair in values.items() for text in pair]
        self._channel.call("HSET", self.key, *flat)


def _text(raw: object) -> str:
    return raw.decode(errors="backslashreplace") if isinstance(raw, bytes) else str(raw)
