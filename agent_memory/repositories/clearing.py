"""Notes that a run, or agents of it, were cleared, for whoever brings older entries later."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

from agent_memory.values.entry import EntryKey


def clearing_marks(run_id: str, agents: Iterable[str] | None = None) -> list[EntryKey]:
    """Keys of no entry, which are forgotten and released to note when something was cleared.

    So whoever brings entries from elsewhere later can tell by ``LongTermMemory.forgotten`` that
    they are older than that.

    Args:
        run_id: The run.
        agents: Its agents that are cleared; None: the run as a whole.
    """
    names = [""] if agents is None else agents
    # The id says whose it is; a key without agent is that of its run.
    return [EntryKey(run_id, "", _mark(run_id, name)) for name in names]


def last_release(times: Collection[float | None]) -> float | None:
    """When a key was released that was forgotten several times over, as one agent's and of all.

    Args:
        times: When each of its marks was released, at least one; None: it was not.
    """
    released = [at for at in times if at is not None]
    return max(released) if len(released) == len(times) else None


def _mark(run_id: str, agent_id: str) -> str:
    """The id of a mark: a UUIDv8 that nothing else makes."""
    name = f"cleared\0{len(run_id)}:{run_id}\0{agent_id}"
    digits = hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
    return f"{digits[:12]}8{digits[13:16]}8{digits[17:]}"
