"""Gives stored entries vectors of another version of the encoder, where they are.

It may be stopped at any moment and begun again: each entry names the version of its vector, and
only those are looked at that name another.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from agent_memory.compression.levels import CompressionEngine
from agent_memory.errors import EncodingError, InvalidEntry
from agent_memory.repositories.contract import LongTermMemory, MemoryRepository
from agent_memory.repositories.upkeep import log_unreadable
from agent_memory.values.entry import EntryKey, MemoryEntry
from agent_memory.values.progress import EntriesProgress
from agent_memory.values.query import Query

_BATCH = 500  # entries encoded and written at once
_PASSES = 5

_logger = logging.getLogger(__name__)


class Reencoded(NamedTuple):
    """What came of re-encoding entries."""

    done: int
    """Entries that were given a vector of the version."""
    unreadable: int
    """Entries whose contents cannot be read or encoded, or have no text for the model that was
    asked for; they keep what they have."""
    left: int
    """Entries that were found with another version's vector once more at the end."""


class Recoded(NamedTuple):
    """What came of recoding contents."""

    done: int
    """Entries whose contents are coded as those that come."""
    left: int
    """Entries that changed meanwhile or cannot be read; they are as they were."""


def reencode(
    tiers: Sequence[MemoryRepository],
    compression: CompressionEngine,
    version: int,
    runs: Sequence[str],
    progress: EntriesProgress | None = None,
    kept: Sequence[int] = (),
) -> Reencoded:
    """Re-encode the entries of some runs that have no vector of a version.

    A move that was under way may carry an old vector down with it; so the tiers are passed over
    from the top down again until none is found.

    Args:
        tiers: The repositories, richest first.
        compression: Encodes at the width of an entry's level.
        version: The version.
        runs: Of which runs.
        progress: Called with each batch.
        kept: Versions whose vectors stay too.

    Raises:
        EncoderNotFound: The version is not registered.
        EncodingError: What is registered is damaged.
        EmbedderError: The model of the version fails; what was done stays done.
        StoreUnavailable: A tier does not answer; what was done stays done.
    """
    right = version, *kept
    done, unreadable, left = 0, set[EntryKey](), 0
    wide = [*_too_wide(tiers[-1], compression.narrowest(version), version, runs)]
    total = sum(len(keys) for _, keys in [*wide, *_outdated(tiers, right, runs)])
    for _ in range(_PASSES):
        changed, wide_now, wide = 0, wide, []
        for tier, keys in [*wide_now, *_outdated(tiers, right, runs)]:
            for batch in _batches([key for key in keys if key not in unreadable]):
                pairs = _encoded(tier, batch, compression, version, unreadable)
                read, entries = [old for old, _ in pairs], [new for _, new in pairs]
                changed += sum(tier.encodings.reembed(entries, read))
                if progress is not None:
                    progress(min(done + changed + len(unreadable), total), total)
        done += changed
        left = sum(len(set(keys) - unreadable) for _, keys in _outdated(tiers, right, runs))
        if not left:
            break
    return Reencoded(done, len(unreadable), left)


def recode(
    tier: LongTermMemory, runs: Sequence[str], progress: EntriesProgress | None = None
) -> Recoded:
    """Code the contents of long-term memory again, as those that come are coded now.

    It may be stopped at any moment and begun again.

    Args:
        tier: Long-term memory.
        runs: Of which runs.
        progress: Called with each batch.

    Raises:
        StoreUnavailable: It does not answer; what was done stays done.
    """
    agents = [(run_id, agent_id) for run_id in runs for agent_id in tier.agents(run_id)]
    total = sum(tier.count(run_id, agent_id) for run_id, agent_id in agents)
    done, passed = 0, 0
    for run_id, agent_id in agents:
        for batch in _batches(tier.keys(run_id, agent_id)):
            entries = tier.upkeep.get_readable(batch)
            done += sum(tier.encodings.recode(entries))
            passed += len(batch)
            if progress is not None:
                progress(min(passed, total), total)
    return Recoded(done, passed - done)


def _outdated(
    tiers: Sequence[MemoryRepository], versions: Sequence[int], runs: Sequence[str]
) -> Iterator[tuple[MemoryRepository, list[EntryKey]]]:
    for tier in tiers:
        for run_id in runs:
            for agent_id in tier.agents(run_id):
                yield tier, tier.encodings.outdated(run_id, agent_id, *versions)


def _too_wide(
    tier: MemoryRepository, width: int, version: int, runs: Sequence[str]
) -> Iterator[tuple[MemoryRepository, list[EntryKey]]]:
    """Entries that came down while their version was not there to carry their vectors down."""
    for run_id in runs:
        for agent_id in tier.agents(run_id):
            try:
                groups = tier.encodings.vectors(Query(run_id=run_id, agent_id=agent_id))
            except EncodingError as error:
                # One of this agent's is damaged: the entries of others are re-encoded all the same.
                log_unreadable(error)
                continue
            wide = [
                EntryKey(run_id, agent_id, memory_id)
                for group in groups
                if group.version == version and group.matrix.shape[1] > width
                for memory_id in group.memory_ids
            ]
            yield tier, wide


def _batches(keys: Sequence[EntryKey]) -> Iterator[Sequence[EntryKey]]:
    for first in range(0, len(keys), _BATCH):
        yield keys[first : first + _BATCH]


def _encoded(
    tier: MemoryRepository,
    keys: Sequence[EntryKey],
    compression: CompressionEngine,
    version: int,
    unreadable: set[EntryKey],
) -> list[tuple[MemoryEntry, MemoryEntry]]:
    """Entries as they are and with new vectors; what cannot be read or encoded is noted."""
    # A fault of the version itself is raised here, and not taken for the entries' fault.
    compression.embed([], version)
    try:
        read = tier.get_many(keys)
        pairs = [*zip(read, compression.embed(read, version), strict=True)]
        # Those that have no text for the user's own model.
        unreadable.update(new.key for _, new in pairs if new.encoder_version != version)
        return [(old, new) for old, new in pairs if _differ(old, new)]
    except (EncodingError, InvalidEntry) as error:
        if len(keys) == 1:
            # Its traceback would add nothing to its message.
            _logger.error("not re-encoded: %s", error)  # noqa: TRY400
            unreadable.update(keys)
            return []
        middle = len(keys) // 2
        return [
            pair
            for half in (keys[:middle], keys[middle:])
            for pair in _encoded(tier, half, compression, version, unreadable)
        ]


def _differ(old: MemoryEntry, new: MemoryEntry) -> bool:
    sizes = [None if one.embedding is None else len(one.embedding) for one in (old, new)]
    return sizes[0] != sizes[1] or old.encoder_version != new.encoder_version
