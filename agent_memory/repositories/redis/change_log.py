"""The log of an agent's changes, which every write extends (``scripts``), as it is read.

Whoever keeps something of an agent's entries remembers the last record that was heeded, and asks
for what came after. A record names the entries that changed, or tells that many came or went.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.commands import Command

Record = list[Any]
"""A record of the log; an empty one where there was no log."""

_MANY_CAME, _MANY_WENT, _ANY_MAY_HAVE_CHANGED = b"+", b"-", b"!"
MARKS = {_MANY_CAME, _MANY_WENT, _ANY_MAY_HAVE_CHANGED}
"""Records that name no entries."""


class ChangeLog:
    """The log of one agent in one tier.

    Args:
        channel: The server.
        prefix: What all keys of the agent begin with.
    """

    def __init__(self, channel: RedisChannel, prefix: str) -> None:
        self._channel = channel
        self._prefix = prefix

    def news(self, seen: Record | None) -> Command:
        """The command that reads the log from the last record that was heeded; None: its end."""
        changes = f"{self._prefix}changes"
        if not seen:
            return ("XREVRANGE", changes, "+", "-", "COUNT", 1)
        return ("XRANGE", changes, seen[0], "+")

    def is_old(self, seen: Record | None, records: Sequence[Record]) -> bool:
        """Whether the answer to ``news`` tells nothing that was not heeded."""
        if seen is not None and len(records) == 1 and records[0] == seen:
            return True
        # Stored before there were logs, and not changed since: any change leaves a record, but
        # the removal of all.
        unlogged = seen == [] and not records
        return unlogged and bool(self._channel.call("EXISTS", f"{self._prefix}steps"))

    def changed(
        self, seen: Record | None, records: Sequence[Record], known: Collection[str]
    ) -> list[bytes] | None:
        """The ids of the entries to be read again.

        Args:
            seen: The last record that was heeded.
            records: The answer to ``news``.
            known: The ids of the entries that are kept.

        Returns:
            Those that came, changed or went; None for all there are.
        """
        if not (seen and records and records[0] == seen):
            # The log does not reach back to what is kept: there was none, it was cut, or it was
            # started again.
            return None
        logged = {record for _, (_, record) in records[1:]}
        # Of those that went and came again while nobody asked, the ids alone would tell nothing.
        if _ANY_MAY_HAVE_CHANGED in logged or {_MANY_CAME, _MANY_WENT} <= logged:
            return None
        names = {name for record in logged - MARKS for name in record.split()}
        if logged & MARKS:
            names |= set(self.ids()) ^ {name.encode() for name in known}
        return sorted(names)

    def ids(self) -> list[bytes]:
        """The ids of all entries there are."""
        ids: list[bytes] = self._channel.call("ZRANGE", f"{self._prefix}steps", 0, -1)
        return ids
