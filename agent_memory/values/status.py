"""How a memory is: which stores are up, and what waits for the others. Values, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """How a store was when it was last asked.

    Attributes:
        name: Which it is, and where.
        up: Whether it answered.
        away_since: When it was first found away, in seconds since 1970; None while it is up.
        reason: What it, or its driver, said; empty while it is up.

    Examples:
        >>> from agent_memory import StoreStatus
        >>> StoreStatus("redis at localhost").up
        True
    """

    name: str
    up: bool = True
    away_since: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SpoolStatus:
    """What waits on this machine's disk for short-term memory to come back.

    Attributes:
        file: Where it waits.
        entries: How many entries wait for this memory's server, put there by any process.
        stored_bytes: Bytes in use in the file.
        max_bytes: How many there may be.
        waiting_since: When the oldest was acknowledged, in seconds since 1970; None without any.
        refused: How many of them the server answers with an error of their own; they stay, and
            are tried again by ``maintain`` and when the memory is opened.
        elsewhere: How many entries in the file are for another server; they are stored when the
            memory is opened with that server's URL.

    Examples:
        >>> from pathlib import Path
        >>> from agent_memory import SpoolStatus
        >>> SpoolStatus(Path("memory.db-spool"), 0, 4096, 2**30).waiting_since is None
        True
    """

    file: Path
    entries: int
    stored_bytes: int
    max_bytes: int
    waiting_since: float | None = None
    refused: int = 0
    elsewhere: int = 0


@dataclass(frozen=True, slots=True)
class MemoryStatus:
    """How a memory is, as this process knows it; nothing is asked to tell it.

    Attributes:
        short_term: The server of short-term and intermediate memory, as of the last store.
        long_term: The database of long-term memory, as of the last write to it.
        spool: What waits; None where there is no spool.
        failures: How many calls failed because a store was away (``Outages.failures``).

    Examples:
        >>> memory.status.long_term.up
        True
    """

    short_term: StoreStatus
    long_term: StoreStatus
    spool: SpoolStatus | None
    failures: int
