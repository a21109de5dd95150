"""What one configuration needs, opened: a value whose parts are handed to those who use them.

``opening`` builds it, ``sharing`` hands it out and closes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from agent_memory.config import MemoryConfig
from agent_memory.connections.outages import Outages
from agent_memory.errors import StoreReadOnly
from agent_memory.models.system import SystemModels
from agent_memory.repositories.redis.footprint import server_bytes
from agent_memory.repositories.redis.tier_search import TierSearch
from agent_memory.retrieval.access_log import AccessLog
from agent_memory.retrieval.similarity import SimilaritySearch
from agent_memory.system.beneath import Connections
from agent_memory.system.encoder_in_use import CurrentEncoder
from agent_memory.system.identity import MemoryIdentity
from agent_memory.system.new_entries import NewEntries
from agent_memory.system.open_batches import OpenBatches
from agent_memory.system.run_endings import RunEndings
from agent_memory.system.unattended import UnattendedUpkeep
from agent_memory.tiers.ageing import PresentSteps
from agent_memory.tiers.expiry import TierReader
from agent_memory.tiers.forgetting import Tiers
from agent_memory.tiers.intake import Intake
from agent_memory.values.entry import Tier


@dataclass(frozen=True, eq=False)
class Resources:
    """Everything that one configuration needs, opened.

    Attributes:
        config: The configuration.
        read_only: Whether writes are refused.
        clock: Gives the time in seconds since 1970.
        connections: The servers, beneath the repositories.
        identity: Which server and database belong together.
        tiers: The repositories, richest tier first.
        readers: The tiers as questions see them: without entries over their age, where those are
            to be dropped.
        search: The query engine's view of short-term and of intermediate memory.
        models: The models of all tiers: SQLAlchemy's under the table prefix, Redis-OM's.
        encoder: The encoder in use, and its versions.
        similarity: Answers what is near a state, memory or vector.
        new_entries: Makes entries of what callers give.
        intake: The way into short-term memory, also while that is away.
        steps: The step at which each run is.
        stores: Counts what this process stores.
        access_log: Counts retrievals, of all runs together, where times are no steps.
        outages: Counts and logs stores that a caller found unreachable.
        upkeep: Does upkeep that no caller waits for.
        batches: What this process has gathered to be stored.
        endings: Which runs end with an object of this process.
        close: Closes all connections and gives the server's lease back.
    """

    config: MemoryConfig
    read_only: bool
    clock: Callable[[], float]
    connections: Connections
    identity: MemoryIdentity
    tiers: Tiers
    readers: tuple[TierReader, TierReader, TierReader]
    search: Mapping[Tier, TierSearch]
    models: SystemModels
    encoder: CurrentEncoder
    similarity: SimilaritySearch
    new_entries: NewEntries
    intake: Intake
    steps: PresentSteps
    stores: Iterator[int]
    access_log: AccessLog
    outages: Outages
    upkeep: UnattendedUpkeep
    batches: OpenBatches
    endings: RunEndings
    close: Callable[[], None]

    def check_writable(self, consequence: str) -> None:
        """Refuse what would write to a memory that was opened read-only.

        Raises:
            StoreReadOnly: It was; the message ends in the consequence.
        """
        if self.read_only:
            raise StoreReadOnly(f"the memory was opened read-only; {consequence}")

    def used_bytes(self) -> int:
        """How many bytes the server of the Redis tiers holds, whoever stored them.

        Where the server does not say, what the tiers take, estimated from a sample.

        Raises:
            StoreUnavailable: It does not answer.
        """
        used = server_bytes(self.connections.stm)
        stm, im, _ = self.tiers
        return stm.upkeep.stored_bytes() + im.upkeep.stored_bytes() if used is None else used

    def level(self, tier: Tier) -> int:
        """The compression level of a tier."""
        return level_of(self.config, tier)


def level_of(config: MemoryConfig, tier: Tier) -> int:
    """The compression level of a tier in a configuration."""
    if tier is Tier.STM:
        return 0
    part = config.im_config if tier is Tier.IM else config.ltm_config
    return part.compression_level
