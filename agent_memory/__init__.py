"""The memory that agents in simulations keep.

Names are loaded when they are first used: importing the package loads neither torch nor a
database driver.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_memory.api import AgentMemoryAPI
    from agent_memory.backups.restoring import RestoreReceipt
    from agent_memory.backups.saving import BackupReceipt
    from agent_memory.compression import CompressionEngine
    from agent_memory.config import (
        AutoencoderConfig,
        MemoryConfig,
        RedisIMConfig,
        RedisMemoryConfig,
        RedisSTMConfig,
        SQLiteLTMConfig,
    )
    from agent_memory.consolidation import Moves
    from agent_memory.core import AgentMemorySystem
    from agent_memory.embeddings.autoencoder import StateAutoencoder
    from agent_memory.embeddings.engine import AutoencoderEmbeddingEngine
    from agent_memory.embeddings.vector_store import VectorStore
    from agent_memory.entry import EntryKey, Hit, MemoryEntry, MemoryType, Order, Query, Tier
    from agent_memory.erasing import ForgettingReceipt
    from agent_memory.errors import (
        CommandRefused,
        ConfigError,
        EncodingError,
        EntriesWouldBeLost,
        EntryConflict,
        EntryNotFound,
        IndexBuilding,
        IndexConflict,
        InvalidEntry,
        MemoryNotEmpty,
        MemoryStoreError,
        QueryEngineMissing,
        RunHasForks,
        SchemaOutOfDate,
        SearchIndexError,
        StoreReadOnly,
        StoreUnavailable,
        WritesRefused,
    )
    from agent_memory.hooks import install_memory_hooks, with_memory
    from agent_memory.legacy import AgentMemory, AgentMemoryManager
    from agent_memory.memory_agent import MemoryAgent
    from agent_memory.repositories.redis import ImRepository, StmRepository
    from agent_memory.repositories.sql import LtmRepository
    from agent_memory.soundness import CheckReport, Finding
    from agent_memory.status import MemoryStatus, SpoolStatus, StoreStatus
    from agent_memory.stores import RedisIMStore, RedisSTMStore, SQLiteLTMStore

_HOMES = {
    "AgentMemory": "legacy",
    "AgentMemoryAPI": "api",
    "AgentMemoryManager": "legacy",
    "AgentMemorySystem": "core",
    "AutoencoderConfig": "config",
    "AutoencoderEmbeddingEngine": "embeddings.engine",
    "BackupReceipt": "backups.saving",
    "CheckReport": "soundness",
    "CommandRefused": "errors",
    "CompressionEngine": "compression",
    "ConfigError": "errors",
    "EncodingError": "errors",
    "EntriesWouldBeLost": "errors",
    "EntryConflict": "errors",
    "EntryKey": "entry",
    "EntryNotFound": "errors",
    "Finding": "soundness",
    "ForgettingReceipt": "erasing",
    "Hit": "entry",
    "ImRepository": "repositories.redis",
    "IndexBuilding": "errors",
    "IndexConflict": "errors",
    "InvalidEntry": "errors",
    "LtmRepository": "repositories.sql",
    "MemoryAgent": "memory_agent",
    "MemoryConfig": "config",
    "MemoryEntry": "entry",
    "MemoryNotEmpty": "errors",
    "MemoryStatus": "status",
    "MemoryStoreError": "errors",
    "MemoryType": "entry",
    "Moves": "consolidation",
    "Order": "entry",
    "Query": "entry",
    "QueryEngineMissing": "errors",
    "RedisIMConfig": "config",
    "RedisIMStore": "stores",
    "RedisMemoryConfig": "config",
    "RedisSTMConfig": "config",
    "RedisSTMStore": "stores",
    "RestoreReceipt": "backups.restoring",
    "RunHasForks": "errors",
    "SQLiteLTMConfig": "config",
    "SQLiteLTMStore": "stores",
    "SchemaOutOfDate": "errors",
    "SearchIndexError": "errors",
    "SpoolStatus": "status",
    "StateAutoencoder": "embeddings.autoencoder",
    "StmRepository": "repositories.redis",
    "StoreReadOnly": "errors",
    "StoreStatus": "status",
    "StoreUnavailable": "errors",
    "Tier": "entry",
    "VectorStore": "embeddings.vector_store",
    "WritesRefused": "errors",
    "install_memory_hooks": "hooks",
    "with_memory": "hooks",
}

__all__ = [
    "AgentMemory",
    "AgentMemoryAPI",
    "AgentMemoryManager",
    "AgentMemorySystem",
    "AutoencoderConfig",
    "AutoencoderEmbeddingEngine",
    "BackupReceipt",
    "CheckReport",
    "CommandRefused",
    "CompressionEngine",
    "ConfigError",
    "EncodingError",
    "EntriesWouldBeLost",
    "EntryConflict",
    "EntryKey",
    "EntryNotFound",
    "Finding",
    "ForgettingReceipt",
    "Hit",
    "ImRepository",
    "IndexBuilding",
    "IndexConflict",
    "InvalidEntry",
    "LtmRepository",
    "MemoryAgent",
    "MemoryConfig",
    "MemoryEntry",
    "MemoryNotEmpty",
    "MemoryStatus",
    "MemoryStoreError",
    "MemoryType",
    "Moves",
    "Order",
    "Query",
    "QueryEngineMissing",
    "RedisIMConfig",
    "RedisIMStore",
    "RedisMemoryConfig",
    "RedisSTMConfig",
    "RedisSTMStore",
    "RestoreReceipt",
    "RunHasForks",
    "SQLiteLTMConfig",
    "SQLiteLTMStore",
    "SchemaOutOfDate",
    "SearchIndexError",
    "SpoolStatus",
    "StateAutoencoder",
    "StmRepository",
    "StoreReadOnly",
    "StoreStatus",
    "StoreUnavailable",
    "Tier",
    "VectorStore",
    "WritesRefused",
    "install_memory_hooks",
    "with_memory",
]


def __getattr__(name: str) -> object:
    """Load a public name from its home."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{home}")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        remedy = f"{name} needs torch: pip install 'agent-memory[train]'"
        raise ModuleNotFoundError(remedy, name="torch") from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
