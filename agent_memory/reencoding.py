"""Gives stored entries vectors of another version of the encoder, where they are.

It may be stopped at any moment and begun again: each entry names the version of its vector, and
only those are looked at that name another.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from agent_memory.compression import CompressionEngine
from agent_memory.entry import EntryKey, MemoryEntry
from agent_memory.errors import EncodingError, InvalidEntry
from agent_memory.repositories.base import MemoryRepository

Progress = Callable[[int, int], object]
"""Called with how many entries were dealt with so far, and how many there are."""

_BATCH = 500  # entries encoded and written at once
_PASSES = 5

_logger = logging.getLogger(__name__)


class Reencoded(NamedTuple):
    """What came of encoding entries anew."""

    done: int
    """Entries that have a vector of the version now."""
    unreadable: int
    """Entries whose contents cannot be read or encoded; they keep what they have."""
    left: int
    """Entries that were stored or moved with another version's vector meanwhile."""


def reencode(
    tiers: Sequence[MemoryRepository],
    compression: CompressionEngine,
    version: int,
    runs: Sequence[str],
    progress: Progress | None = None,
) -> Reencoded:
    """Encode the entries of some runs anew that have no vector of a version.

    A move that was under way may carry an old vector down with it; so the tiers are passed over
    from the top down again until none is found.

    Args:
        tiers: The repositories, richest first.
        compression: Encodes at the width of an entry's level.
        version: The version.
        runs: Of which runs.
        progress: Told of each batch.

    Raises:
        EncoderNotFound: The version is not registered.
        EncodingError: What is registered is damaged.
        StoreUnavailable: A tier does not answer; what was done stays done.
    """
    done, unreadable, left = 0, set[EntryKey](), 0
    total = sum(len(keys) for _, keys in _outdated(tiers, version, runs))
    for _ in range(_PASSES):
        changed = 0
        for tier, keys in _outdated(tiers, version, runs):
            for batch in _batches([key for key in keys if key not in unreadable]):
                entries = _encoded(tier, batch, compression, version, unreadable)
                changed += sum(tier.reembed(entries))
                if progress is not None:
                    progress(min(done + changed + len(unreadable), total), total)
        done += changed
        left = sum(len(set(keys) - unreadable) for _, keys in _outdated(tiers, version, runs))
        if not left:
            break
    return Reencoded(done, len(unreadable), left)


def _outdated(
    tiers: Sequence[MemoryRepository], version: int, runs: Sequence[str]
) -> Iterator[tuple[MemoryRepository, list[EntryKey]]]:
    for tier in tiers:
        for run_id in runs:
            for agent_id in tier.agents(run_id):
                yield tier, tier.outdated(run_id, agent_id, version)


def _batches(keys: Sequence[EntryKey]) -> Iterator[Sequence[EntryKey]]:
    for first in range(0, len(keys), _BATCH):
        yield keys[first : first + _BATCH]


def _encoded(
    tier: MemoryRepository,
    keys: Sequence[EntryKey],
    compression: CompressionEngine,
    version: int,
    unreadable: set[EntryKey],
) -> list[MemoryEntry]:
    """The entries with new vectors; those that cannot be read or encoded are noted."""
    # Whatever is wrong with the version itself is to be told, not taken for the entries' fault.
    compression.embed([], version)
    try:
        return compression.embed(tier.get_many(keys), version)
    except (EncodingError, InvalidEntry) as error:
        if len(keys) == 1:
            # Its traceback would add nothing to its message.
            _logger.error("not encoded anew: %s", error)  # noqa: TRY400
            unreadable.update(keys)
            return []
        middle = len(keys) // 2
        return [
            entry
            for half in (keys[:middle], keys[middle:])
            for entry in _encoded(tier, half, compression, version, unreadable)
        ]
