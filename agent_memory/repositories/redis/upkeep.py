"""What upkeep reads of a Redis tier."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.errors import EncodingError
from agent_memory.models.redis import memory_id_of
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.counts import AgentCounts
from agent_memory.repositories.redis.counts import agent_counts
from agent_memory.repositories.redis.entries import HashMapper
from agent_memory.repositories.redis.footprint import stored_bytes
from agent_memory.repositories.redis.keys import KeySpace
from agent_memory.repositories.redis.queries import entries_answering
from agent_memory.repositories.upkeep import TierUpkeep, log_unreadable
from agent_memory.values.entry import EntryKey, MemoryEntry
from agent_memory.values.query import Query


class RedisUpkeep(TierUpkeep):
    """Reads entries past those that are damaged, counts and measures them.

    Args:
        tier: Reads the tier.
        channel: The server.
        key_space: The tier's keys.
        mapper: Turns hashes into entries.
        declare: Declares the attributes of this process, and indexes what is stored.
    """

    def __init__(
        self,
        tier: MemoryRepository,
        channel: RedisChannel,
        key_space: KeySpace,
        mapper: HashMapper,
        declare: Callable[[], None],
    ) -> None:
        super().__init__(tier)
        self._tier = tier
        self._channel = channel
        self._key_space = key_space
        self._mapper = mapper
        self._declare = declare

    def get_readable(self, keys: Sequence[EntryKey]) -> list[MemoryEntry]:
        """Return those of the entries that are stored here and can be read."""
        readable = []
        for key, values in zip(keys, self._mapper.read(self._key_space.names(keys)), strict=True):
            if any(values):
                try:
                    readable.append(self._mapper.decode(values))
                except EncodingError as error:
                    # Damage may have reached what says whose it is.
                    log_unreadable(
                        EncodingError(
                            f"entry {key.memory_id} of agent {key.agent_id!r} in run "
                            f"{key.run_id!r} in {self._tier.tier.name}: {error}"
                        )
                    )
        return readable

    def find_readable(self, queries: Sequence[Query]) -> list[list[MemoryEntry]]:
        """Return what answers each of some queries and can be read."""
        return entries_answering(
            self._channel, self._key_space.namespace, queries, self.get_readable
        )

    def agent_counts(
        self, run_id: str, agents: Iterable[str] | None = None, horizon: float | None = None
    ) -> dict[str, AgentCounts]:
        """What each of some agents of a run has here; one request for all of them."""
        names = self._tier.agents(run_id) if agents is None else list(dict.fromkeys(agents))
        prefixes = [self._key_space.prefix(run_id, name) for name in names]
        found = agent_counts(self._channel, prefixes, horizon)
        return {name: told for name, told in zip(names, found, strict=True) if told is not None}

    def importances(self, run_id: str, agent_id: str) -> list[tuple[EntryKey, float]]:
        """How important each entry of an agent is that is not pinned, newest first."""
        prefix = self._key_space.prefix(run_id, agent_id)
        newest, scored, pinned = self._channel.call_all(
            [
                ("ZREVRANGE", f"{prefix}times", 0, -1),
                ("ZRANGE", f"{prefix}importance", 0, -1, "WITHSCORES"),
                ("ZRANGE", f"{prefix}pinned", 0, -1),
            ]
        )
        stays = set(pinned)
        try:
            scores = dict(zip(scored[::2], map(float, scored[1::2]), strict=True))
        except ValueError as error:
            raise self._channel.not_redis("ZRANGE") from error
        return [
            (EntryKey(run_id, agent_id, memory_id_of(name)), scores[name])
            for name in newest
            if name in scores and name not in stays
        ]

    def stored_bytes(self) -> int:
        """How many bytes the server uses for all entries here, estimated from a sample."""
        prefixes = [
            self._key_space.prefix(run_id, agent_id)
            for run_id in self._tier.runs()
            for agent_id in self._tier.agents(run_id)
        ]
        return stored_bytes(self._channel, prefixes)

    def declare_attributes(self) -> None:
        """Declare the attributes of this process, and index what is stored by all declared ones.

        From then on every process that writes indexes them, whatever it declares itself. A process
        that is killed meanwhile leaves the rest to the next one that declares.
        """
        self._declare()
