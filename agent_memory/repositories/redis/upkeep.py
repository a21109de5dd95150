"""What upkeep reads of a Redis tier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.errors import EncodingError
from agent_memory.models.redis import memory_id_of
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.counts import AgentCounts
from agent_memory.repositories.moves import Agent
from agent_memory.repositories.redis.counts import agent_counts
from agent_memory.repositories.redis.entries import HashMapper
from agent_memory.repositories.redis.footprint import stored_bytes
from agent_memory.repositories.redis.keys import KeySpace
from agent_memory.repositories.redis.queries import all_keys, entries_answering
from agent_memory.repositories.redis.registries import listed_agents
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
        replies = self._mapper.read(self._key_space.names(keys))
        try:
            return self._mapper.decode_many(replies)
        except EncodingError:
            return self._readable(keys, replies)

    def _readable(
        self, keys: Sequence[EntryKey], replies: Sequence[Sequence[bytes | None]]
    ) -> list[MemoryEntry]:
        """The entries of what was read, one after the other; those that are damaged are logged."""
        readable = []
        for key, values in zip(keys, replies, strict=True):
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
        return entries_answering(self._channel, self._key_space, queries, self.get_readable)

    def counts_of(
        self, agents: Iterable[Agent] | None = None, horizon: float | None = None
    ) -> dict[Agent, AgentCounts]:
        """What each of some agents has here, of any runs; one request for all of them."""
        owners = self.all_agents() if agents is None else list(dict.fromkeys(agents))
        found = agent_counts(self._channel, self._key_space, owners, horizon)
        return {owner: has for owner, has in zip(owners, found, strict=True) if has is not None}

    def all_agents(self) -> list[Agent]:
        """The agents of every run that have entries here; two requests for all of them."""
        runs = self._tier.runs()
        listed = listed_agents(self._channel, self._key_space, runs)
        return [
            (run_id, agent_id)
            for run_id, names in zip(runs, listed, strict=True)
            for agent_id in sorted(names)
        ]

    def entries_by_run(self) -> dict[str, int]:
        """How many entries each run has here; those that have none are left out."""
        owners = self.all_agents()
        totals: Counter[str] = Counter()
        for (run_id, _), number in zip(owners, self._numbers_of(owners), strict=True):
            totals[run_id] += number
        return {run_id: total for run_id, total in totals.items() if total}

    def keys_of(self, agents: Iterable[Agent]) -> list[EntryKey]:
        """The keys of all entries of some agents of any runs; one request for all of them."""
        return all_keys(self._channel, self._key_space, agents)

    def importances_of(self, agents: Iterable[Agent]) -> dict[Agent, list[tuple[EntryKey, float]]]:
        """How important each entry of some agents is that is not pinned, newest first."""
        owners = list(dict.fromkeys(agents))
        replies = iter(
            self._channel.call_all(
                [
                    command
                    for prefix in self._prefixes(owners)
                    for command in (
                        ("ZREVRANGE", f"{prefix}times", 0, -1),
                        ("ZRANGE", f"{prefix}importance", 0, -1, "WITHSCORES"),
                        ("ZRANGE", f"{prefix}pinned", 0, -1),
                    )
                ]
            )
        )
        grouped = zip(owners, replies, replies, replies, strict=True)
        return {owner: self._importances(owner, *of_it) for owner, *of_it in grouped}

    def _importances(
        self, owner: Agent, newest: list[bytes], scored: list[bytes], pinned: list[bytes]
    ) -> list[tuple[EntryKey, float]]:
        stays = set(pinned)
        try:
            scores = dict(zip(scored[::2], map(float, scored[1::2]), strict=True))
        except ValueError as error:
            raise self._channel.not_redis("ZRANGE") from error
        return [
            (EntryKey(*owner, memory_id_of(name)), scores[name])
            for name in newest
            if name in scores and name not in stays
        ]

    def _prefixes(self, owners: Iterable[Agent]) -> list[str]:
        return [self._key_space.prefix(*owner) for owner in owners]

    def _numbers_of(self, owners: Iterable[Agent]) -> list[int]:
        """How many entries each agent has."""
        return self._channel.call_all(
            [("ZCARD", f"{prefix}steps") for prefix in self._prefixes(owners)]
        )

    def stored_bytes(self) -> int:
        """How many bytes the server uses for all entries here, estimated from a sample."""
        return stored_bytes(self._channel, self._prefixes(self.all_agents()))

    def check_storable(self, entries: Sequence[MemoryEntry]) -> None:
        """Raise what storing entries here would raise for what is in them; stores nothing."""
        self._mapper.encode_many(entries)

    def declare_attributes(self) -> None:
        """Declare the attributes of this process, and index what is stored by all declared ones.

        From then on every process that writes indexes them, whatever it declares itself. A process
        that is killed meanwhile leaves the rest to the next one that declares.
        """
        self._declare()
