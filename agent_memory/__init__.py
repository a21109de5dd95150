"""The memory that agents in simulations keep.

Names are loaded when they are first used: importing the package loads neither torch nor a
database driver.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING

from agent_memory.interfaces.legacy.paths import install

if TYPE_CHECKING:
    from agent_memory.compression.levels import CompressionEngine
    from agent_memory.config import (
        AutoencoderConfig,
        MemoryConfig,
        RedisIMConfig,
        RedisMemoryConfig,
        RedisSTMConfig,
        SQLiteLTMConfig,
    )
    from agent_memory.embeddings.autoencoder import StateAutoencoder as StateAutoencoder
    from agent_memory.embeddings.engine import AutoencoderEmbeddingEngine
    from agent_memory.embeddings.vector_store import VectorStore
    from agent_memory.errors import (
        CommandRefused,
        ConfigError,
        EmbedderError,
        EncodingError,
        EntriesWaiting,
        EntriesWouldBeLost,
        EntryConflict,
        EntryNotFound,
        IndexBuilding,
        IndexConflict,
        InvalidCall,
        InvalidEntry,
        MemoryClosed,
        MemoryNotEmpty,
        MemoryStoreError,
        NewerFormat,
        NotAllStored,
        QueryEngineMissing,
        RunConflict,
        RunHasForks,
        SchemaOutOfDate,
        SearchIndexError,
        StoreFull,
        StoreReadOnly,
        StoreReplaced,
        StoreUnavailable,
        WritesRefused,
    )
    from agent_memory.interfaces.api import AgentMemoryAPI
    from agent_memory.interfaces.hooks import install_memory_hooks, with_memory
    from agent_memory.interfaces.legacy.memory import AgentMemory, AgentMemoryManager
    from agent_memory.repositories.redis.repository import ImRepository, StmRepository
    from agent_memory.repositories.sql import schema as schema
    from agent_memory.repositories.sql.repository import LtmRepository
    from agent_memory.system.agent_stores import RedisIMStore, RedisSTMStore, SQLiteLTMStore
    from agent_memory.system.backups.restoring import RestoreReceipt
    from agent_memory.system.backups.saving import BackupReceipt
    from agent_memory.system.erasure import ForgettingReceipt
    from agent_memory.system.frames.receipts import ExportReceipt, ImportReceipt
    from agent_memory.system.memory_agent import MemoryAgent
    from agent_memory.system.memory_system import AgentMemorySystem
    from agent_memory.tiers.consolidation import Moves
    from agent_memory.values.check_report import CheckReport, Finding
    from agent_memory.values.conditions import (
        between,
        contains,
        exists,
        matches,
        near_point,
        one_of,
    )
    from agent_memory.values.embedder import Embedder
    from agent_memory.values.entry import EntryKey, MemoryEntry, MemoryType, Tier
    from agent_memory.values.explanation import Explanation, TierPlan
    from agent_memory.values.pages import Hits
    from agent_memory.values.query import ALL_RUNS, Hit, Order, Query
    from agent_memory.values.rank import Rank, ScoreParts
    from agent_memory.values.run import RunSummary
    from agent_memory.values.sample import Sample
    from agent_memory.values.status import MemoryStatus, SpoolStatus, StoreStatus
    from agent_memory.values.stored import Stored
    from agent_memory.values.stretch import Stretch
    from agent_memory.values.timeline import Difference, History
    from agent_memory.values.vector import Vector

_HOMES = {
    "ALL_RUNS": "values.query",
    "AgentMemory": "interfaces.legacy.memory",
    "AgentMemoryAPI": "interfaces.api",
    "AgentMemoryManager": "interfaces.legacy.memory",
    "AgentMemorySystem": "system.memory_system",
    "AutoencoderConfig": "config",
    "AutoencoderEmbeddingEngine": "embeddings.engine",
    "BackupReceipt": "system.backups.saving",
    "CheckReport": "values.check_report",
    "CommandRefused": "errors",
    "CompressionEngine": "compression.levels",
    "ConfigError": "errors",
    "Embedder": "values.embedder",
    "EmbedderError": "errors",
    "EncodingError": "errors",
    "EntriesWaiting": "errors",
    "EntriesWouldBeLost": "errors",
    "EntryConflict": "errors",
    "EntryKey": "values.entry",
    "EntryNotFound": "errors",
    "Explanation": "values.explanation",
    "ExportReceipt": "system.frames.receipts",
    "Finding": "values.check_report",
    "ForgettingReceipt": "system.erasure",
    "Difference": "values.timeline",
    "Hit": "values.query",
    "History": "values.timeline",
    "Hits": "values.pages",
    "ImRepository": "repositories.redis.repository",
    "ImportReceipt": "system.frames.receipts",
    "IndexBuilding": "errors",
    "IndexConflict": "errors",
    "InvalidCall": "errors",
    "InvalidEntry": "errors",
    "LtmRepository": "repositories.sql.repository",
    "MemoryAgent": "system.memory_agent",
    "MemoryClosed": "errors",
    "MemoryConfig": "config",
    "MemoryEntry": "values.entry",
    "MemoryNotEmpty": "errors",
    "MemoryStatus": "values.status",
    "MemoryStoreError": "errors",
    "MemoryType": "values.entry",
    "Moves": "tiers.consolidation",
    "NewerFormat": "errors",
    "Order": "values.query",
    "Query": "values.query",
    "NotAllStored": "errors",
    "QueryEngineMissing": "errors",
    "Rank": "values.rank",
    "RedisIMConfig": "config",
    "RedisIMStore": "system.agent_stores",
    "RedisMemoryConfig": "config",
    "RedisSTMConfig": "config",
    "RedisSTMStore": "system.agent_stores",
    "RestoreReceipt": "system.backups.restoring",
    "RunConflict": "errors",
    "RunHasForks": "errors",
    "RunSummary": "values.run",
    "SQLiteLTMConfig": "config",
    "SQLiteLTMStore": "system.agent_stores",
    "Sample": "values.sample",
    "SchemaOutOfDate": "errors",
    "ScoreParts": "values.rank",
    "SearchIndexError": "errors",
    "SpoolStatus": "values.status",
    "StateAutoencoder": "embeddings.autoencoder",
    "StmRepository": "repositories.redis.repository",
    "StoreFull": "errors",
    "StoreReadOnly": "errors",
    "StoreStatus": "values.status",
    "StoreReplaced": "errors",
    "StoreUnavailable": "errors",
    "Stored": "values.stored",
    "Stretch": "values.stretch",
    "Tier": "values.entry",
    "TierPlan": "values.explanation",
    "Vector": "values.vector",
    "VectorStore": "embeddings.vector_store",
    "WritesRefused": "errors",
    "between": "values.conditions",
    "contains": "values.conditions",
    "exists": "values.conditions",
    "install_memory_hooks": "interfaces.hooks",
    "matches": "values.conditions",
    "near_point": "values.conditions",
    "one_of": "values.conditions",
    "with_memory": "interfaces.hooks",
}

__all__ = [
    "ALL_RUNS",
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
    "Difference",
    "Embedder",
    "EmbedderError",
    "EncodingError",
    "EntriesWaiting",
    "EntriesWouldBeLost",
    "EntryConflict",
    "EntryKey",
    "EntryNotFound",
    "Explanation",
    "ExportReceipt",
    "Finding",
    "ForgettingReceipt",
    "History",
    "Hit",
    "Hits",
    "ImRepository",
    "ImportReceipt",
    "IndexBuilding",
    "IndexConflict",
    "InvalidCall",
    "InvalidEntry",
    "LtmRepository",
    "MemoryAgent",
    "MemoryClosed",
    "MemoryConfig",
    "MemoryEntry",
    "MemoryNotEmpty",
    "MemoryStatus",
    "MemoryStoreError",
    "MemoryType",
    "Moves",
    "NewerFormat",
    "NotAllStored",
    "Order",
    "Query",
    "QueryEngineMissing",
    "Rank",
    "RedisIMConfig",
    "RedisIMStore",
    "RedisMemoryConfig",
    "RedisSTMConfig",
    "RedisSTMStore",
    "RestoreReceipt",
    "RunConflict",
    "RunHasForks",
    "RunSummary",
    "SQLiteLTMConfig",
    "SQLiteLTMStore",
    "Sample",
    "SchemaOutOfDate",
    "ScoreParts",
    "SearchIndexError",
    "SpoolStatus",
    "StateAutoencoder",
    "StmRepository",
    "StoreFull",
    "StoreReadOnly",
    "StoreReplaced",
    "StoreStatus",
    "StoreUnavailable",
    "Stored",
    "Stretch",
    "Tier",
    "TierPlan",
    "Vector",
    "VectorStore",
    "WritesRefused",
    "between",
    "contains",
    "exists",
    "install_memory_hooks",
    "matches",
    "near_point",
    "one_of",
    "with_memory",
]


# Modules that are public under a path of their own.
_MODULES = {"schema": "repositories.sql.schema"}
# Names that an extra brings; without it they are left out of ``import *`` and ``dir``.
_NEEDS = {"StateAutoencoder": ("torch", "train")}


def _is_there(package: str) -> bool:
    """Whether a package can be imported; it is not imported for that."""
    try:
        return find_spec(package) is not None
    except ValueError:  # somebody put a module of their own in its place
        return True


if not _is_there("torch"):
    __all__.remove("StateAutoencoder")

install()


def __getattr__(name: str) -> object:
    """Load a public name from its home."""
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{_MODULES[name]}")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{home}")
    except ModuleNotFoundError as error:
        package, extra = _NEEDS.get(name, (None, None))
        if package is None or error.name != package:
            raise
        remedy = f"{name} needs {package}: pip install 'agent-memory[{extra}]'"
        raise ModuleNotFoundError(remedy, name=package) from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return [*__all__]
