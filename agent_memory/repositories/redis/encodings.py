"""The vectors and codes of a Redis tier: counted by version, and replaced after a training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.models.redis import Value
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.encodings import Encodings
from agent_memory.repositories.redis import scripts
from agent_memory.repositories.redis.calls import by_agent, flat, in_order
from agent_memory.repositories.redis.entries import vector_values
from agent_memory.repositories.redis.keys import KeySpace
from agent_memory.values.coded import code_named_by
from agent_memory.values.entry import EntryKey, MemoryEntry

_REPLACING_ANY: list[Value] = ["", "any"]


class RedisEncodings(Encodings):
    """How the entries of a Redis tier are encoded.

    Args:
        tier: Reads the tier.
        channel: The server.
        key_space: The tier's keys.
        clock: Gives the time in seconds since 1970.
    """

    def __init__(
        self,
        tier: MemoryRepository,
        channel: RedisChannel,
        key_space: KeySpace,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(tier)
        self._tier = tier
        self._channel = channel
        self._key_space = key_space
        self._clock = clock

    def reembed(
        self, entries: Sequence[MemoryEntry], read: Sequence[MemoryEntry] | None = None
    ) -> list[bool]:
        """Store entries' vectors and encoder versions in place of those they had."""
        groups = by_agent([entry.key for entry in entries])
        wanted = [_REPLACING_ANY] * len(entries) if read is None else [*map(vector_values, read)]
        calls = []
        for agent, places in groups:
            changes = flat(
                [one.memory_id, one.revision, *vector_values(one), *wanted[place]]
                for place, one in ((place, entries[place]) for place in places)
            )
            calls.append((self._key_space.of(agent), [repr(self._clock()), *changes]))
        stored = in_order(groups, self._channel.run(scripts.REEMBED, calls))
        return [code == 1 for code in stored]

    def outdated(self, run_id: str, agent_id: str, *versions: int) -> list[EntryKey]:
        """The keys of an agent's entries whose vector no such version made, or that have none."""
        kept = {str(version).encode() for version in versions}
        return [key for key, found in self._versions(run_id, agent_id) if found not in kept]

    def versions(self) -> dict[int, int]:
        """How many entries of every run name each version of the encoder."""
        counts = Counter(
            version
            for run_id, agent_id in self._tier.upkeep.all_agents()
            for _, version in self._versions(run_id, agent_id)
        )
        numbers = {_version(version): count for version, count in counts.items()}
        return {version: count for version, count in numbers.items() if version is not None}

    def code_versions(self) -> dict[int, int]:
        """How many entries have contents coded by the code of each version."""
        counts = Counter(
            code_named_by(contents or b"")
            for run_id, agent_id in self._tier.upkeep.all_agents()
            for _, contents in self._field(run_id, agent_id, "contents")
        )
        return {version: count for version, count in counts.items() if version is not None}

    def _versions(self, run_id: str, agent_id: str) -> Iterator[tuple[EntryKey, bytes | None]]:
        return self._field(run_id, agent_id, "encoder_version")

    def _field(
        self, run_id: str, agent_id: str, name: str
    ) -> Iterator[tuple[EntryKey, bytes | None]]:
        """A field of all entries of an agent."""
        prefix = self._key_space.prefix(run_id, agent_id)
        keys = self._tier.keys(run_id, agent_id)
        asked = [("HGET", prefix + key.memory_id, name) for key in keys]
        return zip(keys, self._channel.call_all(asked), strict=True)


def _version(stored: bytes | None) -> int | None:
    """The version that an entry names; None of none, and of one that is damaged."""
    return int(stored) if stored is not None and stored.isdigit() and len(stored) < 20 else None
