"""Where entries are stored and found: one contract, several engines.

Names are loaded when they are first used, so that importing the package loads no driver.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_memory.repositories.contract import LongTermMemory, MemoryRepository
    from agent_memory.repositories.encodings import Encodings
    from agent_memory.repositories.in_memory import InMemoryRepository
    from agent_memory.repositories.moves import MoveNotes, OpenMove
    from agent_memory.repositories.nearest import Neighbour, Probe, Vectors
    from agent_memory.repositories.outcomes import Added, Gone
    from agent_memory.repositories.redis.repository import ImRepository, StmRepository
    from agent_memory.repositories.sql.repository import LtmRepository
    from agent_memory.repositories.upkeep import TierUpkeep

_HOMES = {
    "Added": "outcomes",
    "Encodings": "encodings",
    "Gone": "outcomes",
    "ImRepository": "redis.repository",
    "InMemoryRepository": "in_memory",
    "LongTermMemory": "contract",
    "LtmRepository": "sql.repository",
    "MemoryRepository": "contract",
    "MoveNotes": "moves",
    "Neighbour": "nearest",
    "OpenMove": "moves",
    "Probe": "nearest",
    "StmRepository": "redis.repository",
    "TierUpkeep": "upkeep",
    "Vectors": "nearest",
}

__all__ = [
    "Added",
    "Encodings",
    "Gone",
    "ImRepository",
    "InMemoryRepository",
    "LongTermMemory",
    "LtmRepository",
    "MemoryRepository",
    "MoveNotes",
    "Neighbour",
    "OpenMove",
    "Probe",
    "StmRepository",
    "TierUpkeep",
    "Vectors",
]


def __getattr__(name: str) -> object:
    """Load a public name from its home."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
