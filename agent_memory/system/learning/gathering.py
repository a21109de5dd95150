"""Gathers what an encoder learns from: states that are given, or entries that are stored."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from agent_memory.errors import EncodingError, InvalidEntry, MemoryStoreError
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.querying import agents_of
from agent_memory.retrieval.recall import fetch
from agent_memory.values.contents import plain_contents
from agent_memory.values.entry import EntryKey, MemoryEntry
from agent_memory.values.interruptions import raise_if_interrupted
from agent_memory.values.quoting import quoted

_BATCH = 500  # entries read at once
_MOST_BYTES = 2**26  # of a state that is given

_logger = logging.getLogger(__name__)


class Sample(NamedTuple):
    """What is learned from, in the order of time."""

    states: list[Any]
    """The states, as given or as the contents of entries."""
    steps: list[int]
    """The step of each; 0 of given ones."""
    learned_from: dict[str, list[str]]
    """Whose entries they are, by run; whose given ones are is not recorded."""


def sample_of_states(states: Iterable[object]) -> Sample:
    """A sample of states that are given.

    Raises:
        InvalidEntry: There are none to go through, or one is no state.
    """
    try:
        given = [plain_contents(state, _MOST_BYTES) for state in states]
    except MemoryStoreError:
        raise  # of a state, or of what its caller reads them from
    except Exception as error:
        raise_if_interrupted(error)
        raise InvalidEntry(
            f"states: some are needed, not {quoted(states)} ({type(error).__name__})"
        ) from error
    return Sample(given, [0] * len(given), {})


def sample_of_entries(tiers: Sequence[MemoryRepository], runs: Sequence[str], most: int) -> Sample:
    """A sample of the stored entries of some runs; see ``stored_entries``."""
    agents = {run_id: agents_of(tiers, run_id) for run_id in runs}
    entries = stored_entries(tiers, runs, most)
    return Sample(
        [entry.contents for entry in entries], [entry.step_number for entry in entries], agents
    )


def stored_entries(
    tiers: Sequence[MemoryRepository], runs: Iterable[str], most: int
) -> list[MemoryEntry]:
    """Stored entries of every tier and type, in the order of time.

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
