"""The encoder that a memory works with: the version in use, its code of contents, and a change.

Versions are registered in long-term memory. A version's code also has a copy beside the Redis
tiers, so that what it has coded there can be read if the database is lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from agent_memory.compression.codes import Codes
from agent_memory.compression.levels import CompressionEngine
from agent_memory.config import MemoryConfig
from agent_memory.embeddings.encoder import FittedEncoder
from agent_memory.embeddings.engine import AutoencoderEmbeddingEngine
from agent_memory.embeddings.own import KIND, OwnSpace
from agent_memory.embeddings.own_spaces import OwnSpaces
from agent_memory.embeddings.registry import UNTRAINED, EncoderRegistry
from agent_memory.errors import ConfigError, EntryConflict, StoreReadOnly
from agent_memory.repositories.redis.attributes import DeclaredAttributes
from agent_memory.repositories.redis.codes import CodeCopies
from agent_memory.repositories.sql.encoders import EncoderVersions
from agent_memory.tiers.forgetting import Tiers


@dataclass(frozen=True, eq=False)
class CurrentEncoder:
    """Which version this process encodes with, and everything that follows it.

    Attributes:
        config: The configuration, which may say which encoder to use.
        read_only: Whether writes are refused.
        versions: Where versions of the encoder are registered.
        registry: Makes the vectors of entries, and compares them.
        codes: Make the bytes of contents where a code has been fitted to them.
        compression: Brings entries to the level of a tier.
        copies: The copies of codes beside the Redis tiers.
        declared: The declared attributes of each Redis tier.
        spaces: The vectors of models of the user's own.
    """

    config: MemoryConfig
    read_only: bool
    versions: EncoderVersions
    registry: EncoderRegistry
    codes: Codes
    compression: CompressionEngine
    copies: CodeCopies
    declared: Sequence[DeclaredAttributes]
    spaces: OwnSpaces
    _copied: set[int] = field(default_factory=set)

    @cached_property
    def embedding_engine(self) -> AutoencoderEmbeddingEngine | None:
        """The trainable encoder of the configuration; None without neural embeddings.

        It begins as the file that ``model_path`` names, which is what the memory encodes with
        too; training it here does not change the memory's vectors: see ``Encoders.train``.
        """
        config = self.config.autoencoder_config
        if not config.use_neural_embeddings:
            return None
        return AutoencoderEmbeddingEngine(
            config.model_path,
            config.input_dim,
            config.stm_dim,
            config.im_dim,
            config.ltm_dim,
            hidden_layers=config.hidden_layers,
        )

    def refresh(self) -> None:
        """Encode with the version that is active by now, unless the configuration chose one.

        Raises:
            StoreUnavailable: Long-term memory does not answer.
        """
        config = self.config.autoencoder_config
        if config.use_neural_embeddings and config.model_path is None:
            self.registry.refresh()
            self.use_code(self.registry.current.version)

    def use_code(self, version: int) -> None:
        """Code contents with the code of a version from now on, if it has one.

        Raises:
            StoreUnavailable: A store does not answer.
        """
        if version != UNTRAINED:
            self._copy_code(version)
            # Other processes may have declared more since the code was fitted.
            self.codes.keep_exact(self.declared_paths())
        self.codes.use(version)

    def declared_paths(self) -> list[str]:
        """The attributes that any process has declared, whose values are to stay exact.

        Raises:
            StoreUnavailable: The server does not answer.
        """
        declared = (path for tier in self.declared for path in tier.all_paths())
        return list(dict.fromkeys([*self.config.indexed_attributes, *declared]))

    def _copy_code(self, version: int) -> None:
        """See that a version's code also lies beside the Redis tiers; once in this process."""
        if self.read_only or version in self._copied:
            return
        code = self.versions.code(version)
        if code is not None:
            self.copies.keep(version, code)
            self._copied.add(version)


def highest_version_named(tiers: Tiers) -> int:
    """The highest version of the encoder that any entry names, by its vector or its contents.

    Redis may hold entries of versions that a lost long-term database had registered; their
    numbers are not to be given to others.
    """
    vectors = (version for tier in tiers for version in tier.encodings.versions())
    return max([*vectors, *tiers[1].encodings.code_versions()], default=0)


def open_spaces(
    config: MemoryConfig,
    registry: EncoderRegistry,
    versions: EncoderVersions,
    tiers: Tiers,
    clock: Callable[[], float],
    *,
    read_only: bool,
) -> OwnSpaces:
    """The spaces of own vectors of a memory, registered among the versions of its encoder.

    Raises:
        ConfigError: The embedder makes other vectors than those that are stored under its name.
        StoreUnavailable: Long-term memory does not answer.
    """

    def register(space: OwnSpace) -> int:
        if read_only:
            raise StoreReadOnly(
                f"the memory was opened read-only, and holds no vectors of {space.name!r}"
            )
        return versions.register(
            space.to_bytes(),
            kind=KIND,
            at=clock(),
            name=space.name,
            metrics={"dim": space.dim},
            above=highest_version_named(tiers),
        )

    spaces = OwnSpaces(registry, versions, config.embedder, register)
    spaces.check()
    return spaces


def choose_encoder(encoder: CurrentEncoder, tiers: Tiers, clock: Callable[[], float]) -> None:
    """Encode with the version that the configuration names, or else with the active one.

    Raises:
        ConfigError: The memory was opened read-only and does not know the encoder of a file.
        StoreUnavailable: A store does not answer.
    """
    model_path = encoder.config.autoencoder_config.model_path
    engine = encoder.embedding_engine if model_path else None
    if engine is None:
        encoder.refresh()
    elif isinstance(engine.encoder, FittedEncoder):
        encoder.registry.use(_registered(encoder, tiers, clock, engine.encoder))


def _registered(
    encoder: CurrentEncoder, tiers: Tiers, clock: Callable[[], float], given: FittedEncoder
) -> int:
    """The version of an encoder that was given as a file; the same for the same file."""
    artifact = given.to_bytes()
    name = f"file-{hashlib.sha256(artifact).hexdigest()[:16]}"
    version = encoder.versions.named(name)
    if version is not None:
        return version
    if encoder.read_only:
        raise ConfigError(
            "model_path: its encoder is not registered in this memory, which was opened "
            "read-only; leave model_path out, or open the memory for writing once"
        )
    try:
        return encoder.versions.register(
            artifact,
            kind="file",
            at=clock(),
            name=name,
            above=highest_version_named(tiers),
        )
    except EntryConflict:
        # Another process has just registered the same file.
        return _registered(encoder, tiers, clock, given)
