"""Gathers what is remembered, for an encoder to learn from."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from agent_memory.errors import EncodingError
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.retrieval.recall import fetch
from agent_memory.values.entry import EntryKey, MemoryEntry

_BATCH = 500  # entries read at once

_logger = logging.getLogger(__name__)


def remembered(
    tiers: Sequence[MemoryRepository], runs: Iterable[str], most: int
) -> list[MemoryEntry]:
    """Entries of every tier and type, in the order of time.

    Args:
        tiers: The repositories, richest first.
        runs: Of which runs.
        most: How many at most; of more, as many are taken of each agent, evenly spaced by step.

    Returns:
        The entries, oldest first. One that cannot be read is left out, and logged.
    """
    agents = [(run_id, agent_id) for run_id in runs for agent_id in agents_of(tiers, run_id)]
    held = sum(tier.count(run_id, agent_id) for run_id, agent_id in agents for tier in tiers)
    every = max(1, -(-held // most))
    found = [
        entry
        for number, (run_id, agent_id) in enumerate(agents)
        for entry in _readable(tiers, _keys(tiers, run_id, agent_id)[number % every :: every])
    ]
    found.sort(key=lambda entry: (entry.timestamp, entry.memory_id))
    return found


def agents_of(tiers: Sequence[MemoryRepository], run_id: str) -> list[str]:
    """The agents that have entries of a run in any tier, sorted."""
    return sorted({agent_id for tier in tiers for agent_id in tier.agents(run_id)})


def _keys(tiers: Sequence[MemoryRepository], run_id: str, agent_id: str) -> list[EntryKey]:
    """The keys of an agent's entries, the lowest tier's first, each once."""
    return list(
        dict.fromkeys(key for tier in reversed(tiers) for key in tier.keys(run_id, agent_id))
    )


def _readable(tiers: Sequence[MemoryRepository], keys: Sequence[EntryKey]) -> Iterator[MemoryEntry]:
    for first in range(0, len(keys), _BATCH):
        batch = keys[first : first + _BATCH]
        try:
            hits = fetch(tiers, batch)
        except EncodingError:
            hits = [hit for key in batch for hit in _readable_alone(tiers, key)]
        for hit in hits:
            yield hit.entry


def _readable_alone(tiers: Sequence[MemoryRepository], key: EntryKey) -> list[Any]:
    try:
        return fetch(tiers, [key])
    except EncodingError as error:
        # Its traceback would add nothing to its message.
        _logger.error("not learned from: %s", error)  # noqa: TRY400
        return []
