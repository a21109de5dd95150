"""What a memory encodes with: vectors of states, codes of contents, and the codec over them."""

from __future__ import annotations

from dataclasses import dataclass

from agent_memory.compression.codes import Codes
from agent_memory.compression.levels import CompressionEngine, ContentsCodec
from agent_memory.config import MemoryConfig
from agent_memory.connections.sql import SqlEngine
from agent_memory.embeddings.registry import EncoderRegistry
from agent_memory.embeddings.widths import Widths
from agent_memory.repositories.sql.encoders import EncoderVersions


@dataclass(frozen=True)
class Coding:
    """What turns states into vectors and contents into bytes.

    Attributes:
        versions: Encoders as long-term memory holds them.
        registry: Encoders that are loaded.
        codes: Codes of contents.
        compression: The levels of the tiers.
        codec: Contents to bytes and back. It sets no limit: a limit is for what comes in, and
            what is stored already must be able to move.
    """

    versions: EncoderVersions
    registry: EncoderRegistry
    codes: Codes
    compression: CompressionEngine
    codec: ContentsCodec

    @classmethod
    def of(cls, config: MemoryConfig, sql_engine: SqlEngine) -> Coding:
        """What a configuration needs, on its database."""
        widths = Widths.of(config.autoencoder_config)
        versions = EncoderVersions(sql_engine, config.ltm_config.table_prefix)
        registry = EncoderRegistry(widths, versions, embedder=config.embedder)
        codes = Codes(versions, exact=config.indexed_attributes)
        return cls(
            versions,
            registry,
            codes,
            CompressionEngine(config.autoencoder_config, registry, codes),
            ContentsCodec(codes=codes, most_read=config.max_entry_bytes),
        )
