"""Counts retrievals in a Redis tier, each once though its answer may be lost."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.errors import InvalidEntry
from agent_memory.repositories.moves import token_at
from agent_memory.repositories.redis import scripts
from agent_memory.repositories.redis.calls import by_agent, flat, in_order
from agent_memory.repositories.redis.keys import KeySpace
from agent_memory.values.entry import EntryKey

NOTED_SECONDS = 30 * 86_400.0
"""Seconds for which the note of a count outlives the process that never took it away."""


class RetrievalCounts:
    """Counts of retrievals, and the notes of those whose answers may not have come.

    Args:
        channel: The server.
        key_space: The keys of the tier.
        clock: Gives the time in seconds since 1970.
    """

    def __init__(
        self, channel: RedisChannel, key_space: KeySpace, clock: Callable[[], float]
    ) -> None:
        self._channel = channel
        self._key_space = key_space
        self._clock = clock

    def add(self, counts: Mapping[EntryKey, int], at: float, token: str | None) -> list[EntryKey]:
        """Count retrievals; see ``MemoryRepository.touch``."""
        if not math.isfinite(at):
            raise InvalidEntry(f"at: {at} is not a finite number")
        keys = list(counts)
        groups = by_agent(keys)
        outdated = token_at(self._clock() - NOTED_SECONDS)
        calls = []
        for number, (agent, places) in enumerate(groups):
            named = "" if token is None else f"{token}-{number}"
            pairs = flat((keys[place].memory_id, counts[keys[place]]) for place in places)
            calls.append(
                (
                    [*self._key_space.of(agent), self._key_space.counted_of(agent)],
                    [repr(float(at)), named, outdated, *pairs],
                )
            )
        replies = self._channel.run(scripts.TOUCH, calls, repeatable=token is not None)
        found = in_order(groups, replies)
        return [key for key, there in zip(keys, found, strict=True) if not there]

    def close(self, token: str) -> None:
        """Take away the notes of a count; see ``MemoryRepository.touched``."""
        # Of all of its groups: their names go on with a hyphen, after which the full stop comes.
        ends = f"[{token}-", f"({token}."
        self._channel.call_all([("ZREMRANGEBYLEX", key, *ends) for key in self._key_space.counted])
