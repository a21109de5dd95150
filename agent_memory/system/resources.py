"""Opens what a configuration needs, once in a process, and shares it.

All agents, stores and runs of one configuration use one server lease, one connection pool, one
SQL engine and one set of repositories. ``acquire`` counts users; the last ``release`` closes.
After ``os.fork`` the child goes on with connections of its own.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import threading
import time
from collections.abc import Callable, Hashable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property

from agent_memory.compression.codes import Codes
from agent_memory.compression.levels import CompressionEngine, ContentsCodec
from agent_memory.config import MemoryConfig
from agent_memory.connections.circuit_breaker import CircuitBreaker
from agent_memory.connections.deployment import deployment
from agent_memory.connections.folder_record import check_folder, record_folder
from agent_memory.connections.outages import Outages
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.engine import RedisEngine
from agent_memory.connections.serving import connector
from agent_memory.connections.sql import open_engine, place_of, watch
from agent_memory.embeddings.encoder import FittedEncoder
from agent_memory.embeddings.engine import AutoencoderEmbeddingEngine
from agent_memory.embeddings.registry import UNTRAINED, EncoderRegistry
from agent_memory.embeddings.widths import Widths
from agent_memory.errors import (
    ConfigError,
    EntryConflict,
    MemoryStoreError,
    QueryEngineMissing,
    StoreUnavailable,
)
from agent_memory.models.ltm import ltm_models
from agent_memory.models.system import SystemModels
from agent_memory.repositories.contract import LongTermMemory, MemoryRepository
from agent_memory.repositories.read_only import ReadOnlyRepository
from agent_memory.repositories.redis.attributes import DeclaredAttributes
from agent_memory.repositories.redis.codes import CodeCopies
from agent_memory.repositories.redis.footprint import server_bytes
from agent_memory.repositories.redis.models import ModelBackend
from agent_memory.repositories.redis.repository import ImRepository, StmRepository
from agent_memory.repositories.redis.tier_search import TierSearch
from agent_memory.repositories.sql import schema
from agent_memory.repositories.sql.encoders import EncoderVersions
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.tiers.ageing import Ages, Moment, PresentSteps
from agent_memory.tiers.expiry import ExpiryFilter, Shown
from agent_memory.tiers.intake import LONGEST_PAUSE, Intake
from agent_memory.tiers.spool import spool_of
from agent_memory.values.entry import Tier
from agent_memory.values.forking import after_fork
from agent_memory.values.identity import MemoryIds, Ordinals
from agent_memory.values.status import MemoryStatus


class Resources:
    """Everything that one configuration needs, opened.

    Attributes:
        config: The configuration.
        deployment: Where it says the memory lives.
        read_only: Whether writes are refused.
        stm: Short-term memory.
        im: Intermediate memory.
        ltm: Long-term memory.
        intake: The way into short-term memory, also while that is away.
        search: The query engine's view of short-term and of intermediate memory.
        models: The models of all tiers: SQLAlchemy's under the table prefix, Redis-OM's.
        sql_engine: The SQL engine of long-term memory.
        channels: The connections to the server: one, or one for each of two databases.
        versions: Where versions of the encoder are registered.
        encoders: Make the vectors of entries, and compare them.
        codes: Make the bytes of contents where a code has been fitted to them.
        compression: Brings entries to the level of a tier.
        ids: Makes memory ids.
        ordinals: Counts entries for reproducible ids.
        clock: Gives the time in seconds since 1970.
        steps: At which step each run is.
        stores: Counts what this process stores.
        outages: Counts and logs stores that a caller found unreachable.
        upkeep_outages: The same for upkeep that no caller waits for; never raises.

    Raises:
        StoreUnavailable: A server, file or folder does not answer.
        SchemaOutOfDate: Long-term memory needs a migration.
        ConfigError: The configuration needs a package that is not installed.
    """

    def __init__(
        self,
        config: MemoryConfig,
        *,
        read_only: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.config = config
        self.deployment = deployment(config)
        self.read_only = read_only
        self.clock = clock
        self._declared: list[DeclaredAttributes] = []
        self._copied: set[int] = set()  # versions whose code lies beside the Redis tiers
        self.ids = MemoryIds(clock)
        self.ordinals = Ordinals()
        self.steps = PresentSteps(by_steps=config.clock == "steps")
        self.stores = itertools.count(1)
        self.outages = Outages(config.on_store_error)
        # What waits above stays there, and the next upkeep goes on with it, whatever the reason.
        self.upkeep_outages = Outages("log", MemoryStoreError)
        self._upkeep_breaker = CircuitBreaker(0.0, LONGEST_PAUSE, clock)
        self._ltm_breaker = CircuitBreaker(0.0, LONGEST_PAUSE, clock)
        logging.getLogger("agent_memory").setLevel(config.logging_level.upper())
        with ExitStack() as opened:
            self._open(opened)
            self._choose_encoder()
            self._opened = opened.pop_all()
        if not read_only:
            # What a process left behind that was killed while the server was away.
            self.upkeep_outages.guard(None, self.intake.replay)

    @property
    def tiers(self) -> tuple[MemoryRepository, MemoryRepository, LongTermMemory]:
        """The repositories, richest tier first."""
        return self.stm, self.im, self.ltm

    @property
    def shown(self) -> tuple[Shown, Shown, Shown]:
        """The tiers as questions see them: without what is over its age and shall be dropped."""
        if self.config.on_expiry == "demote":
            return self.tiers
        above, below = Ages.of(self.config)
        return (
            ExpiryFilter(self.stm, above, self.moment),
            ExpiryFilter(self.im, below, self.moment),
            self.ltm,
        )

    def moment(self, run_id: str) -> Moment:
        """When it is now, in a run."""
        return Moment(self.clock(), self.steps.of(run_id))

    def used_bytes(self) -> int:
        """How many bytes the server of the Redis tiers holds, whoever stored them.

        Where the server does not tell, what the tiers take, estimated from a sample.

        Raises:
            StoreUnavailable: It does not answer.
        """
        used = server_bytes(self._stm_channel)
        return (
            self.stm.upkeep.stored_bytes() + self.im.upkeep.stored_bytes() if used is None else used
        )

    @property
    def redis_engine(self) -> RedisEngine:
        """The server of short-term and intermediate memory, and what it can do.

        Raises:
            StoreUnavailable: It does not answer.
        """
        return self._stm_channel.engine

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

    def refresh_encoder(self) -> None:
        """Encode with the version that is active by now, unless the configuration chose one.

        Raises:
            StoreUnavailable: Long-term memory does not answer.
        """
        config = self.config.autoencoder_config
        if config.use_neural_embeddings and config.model_path is None:
            self.encoders.refresh()
            self.use_code(self.encoders.current.version)

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

    def _copy_code(self, version: int) -> None:
        """See that a version's code lies beside the Redis tiers too, once."""
        if self.read_only or version in self._copied:
            return
        code = self.versions.code(version)
        if code is not None:
            self._code_copies.keep(version, code)
            self._copied.add(version)

    def declared_paths(self) -> list[str]:
        """The attributes that any process has declared, whose values are to stay exact.

        Raises:
            StoreUnavailable: The server does not answer.
        """
        declared = [
            *self.config.indexed_attributes,
            *(path for declared in self._declared for path in declared.all_paths()),
        ]
        return list(dict.fromkeys(declared))

    def highest_version_named(self) -> int:
        """The highest version of the encoder that any entry names, by its vector or its contents.

        Redis may hold entries of versions that a long-term database which was lost had
        registered; their numbers are not to be given to others.
        """
        vectors = (version for tier in self.tiers for version in tier.encodings.versions())
        return max([*vectors, *self.im.encodings.code_versions()], default=0)

    def upkeep(self, work: Callable[[], bool]) -> None:
        """Do upkeep that no caller waits for, unless it would only keep the caller waiting.

        It is left out while the server is away, and for a while after it has failed: a database
        that another process keeps locked would cost each caller its whole busy timeout.

        Args:
            work: What to do; returns True.
        """
        breaker = self._upkeep_breaker
        if self.intake.breaker.is_away or not breaker.is_due:
            return
        begun = breaker.ticks()
        if self.upkeep_outages.guard(False, work):
            breaker.returned()
        else:
            breaker.failed(MemoryStoreError("upkeep failed"), breaker.ticks() - begun)

    def status(self) -> MemoryStatus:
        """How the stores are, as this process knows it.

        Raises:
            StoreUnavailable: The spool cannot be read.
        """
        short_term, spool = self.intake.status()
        long_term = self._ltm_breaker.status(place_of(self.sql_engine))
        return MemoryStatus(short_term, long_term, spool, self.outages.failures)

    def level(self, tier: Tier) -> int:
        """The compression level of a tier."""
        if tier is Tier.STM:
            return 0
        part = self.config.im_config if tier is Tier.IM else self.config.ltm_config
        return part.compression_level

    def close(self) -> None:
        """Close all connections and give the server's lease back."""
        self._opened.close()

    def _open(self, opened: ExitStack) -> None:
        self._check_there()
        embedded = self.deployment.engine == "embedded"
        if embedded:
            check_folder(self.config, self.deployment)
        # Opened first: an outdated schema is to be told before a server is started.
        self._open_database(opened)
        # No limit here: it is for what comes in, and what is stored already must be able to move.
        most = self.config.max_entry_bytes
        codec = ContentsCodec(codes=self.codes, most_read=most)
        ltm = self._ltm_repository(
            ContentsCodec(codes=self.codes, most_read=most, beside_vectors=True)
        )
        stm, im = self._open_redis_tiers(opened, codec)
        self._code_copies = CodeCopies(self.channels[-1], self.config.im_config.namespace)
        self.codes.also_from(self._code_copies)
        if embedded and not self.read_only:
            record_folder(self.config, self.deployment)
        if not self.read_only:
            for repository in (stm, im, ltm):
                repository.upkeep.declare_attributes()
        self.stm: MemoryRepository = ReadOnlyRepository(stm) if self.read_only else stm
        self.im: MemoryRepository = ReadOnlyRepository(im) if self.read_only else im
        self.ltm: LongTermMemory = ReadOnlyRepository(ltm) if self.read_only else ltm
        self.intake = Intake(
            (self.stm, self.im, self.ltm),
            self._stm_channel,
            spool_of(self.config, self.deployment),
            clock=self.clock,
        )
        opened.callback(self.intake.close)
        self.models = SystemModels.of(
            ltm_models(self.config.ltm_config.table_prefix),
            ModelBackend(self.stm, self.search[Tier.STM], codec),
            ModelBackend(self.im, self.search[Tier.IM], codec),
        )

    def _choose_encoder(self) -> None:
        engine = self.embedding_engine if self.config.autoencoder_config.model_path else None
        if engine is None:
            self.refresh_encoder()
        elif isinstance(engine.encoder, FittedEncoder):
            self.encoders.use(self._registered(engine.encoder))

    def _registered(self, encoder: FittedEncoder) -> int:
        """The version of an encoder that was given as a file; the same for the same file."""
        artifact = encoder.to_bytes()
        name = f"file-{hashlib.sha256(artifact).hexdigest()[:16]}"
        version = self.versions.named(name)
        if version is not None:
            return version
        if self.read_only:
            raise ConfigError(
                "model_path: its encoder is not registered in this memory, which was opened "
                "read-only; leave model_path out, or open the memory for writing once"
            )
        try:
            return self.versions.register(
                artifact,
                kind="file",
                at=self.clock(),
                name=name,
                above=self.highest_version_named(),
            )
        except EntryConflict:
            # Another process has just registered the same file.
            return self._registered(encoder)

    def _check_there(self) -> None:
        where = self.deployment
        if self.read_only and where.engine == "embedded" and not where.path.is_dir():
            raise StoreUnavailable(f"there is no memory in {where.path} to open read-only")

    def _open_database(self, opened: ExitStack) -> None:
        config = self.config.ltm_config
        widths = Widths.of(self.config.autoencoder_config)
        self.sql_engine = open_engine(self.deployment.ltm_url, read_only=self.read_only)
        opened.callback(self.sql_engine.dispose)
        watch(self.sql_engine, self._ltm_breaker.failed, self._ltm_breaker.returned)
        if self.read_only:
            schema.check(self.sql_engine, config.table_prefix)
        else:
            schema.ensure(self.sql_engine, config.table_prefix)
        self.versions = EncoderVersions(self.sql_engine, config.table_prefix)
        self.encoders = EncoderRegistry(widths, self.versions)
        self.codes = Codes(self.versions, exact=self.config.indexed_attributes)
        self.compression = CompressionEngine(
            self.config.autoencoder_config, self.encoders, self.codes
        )

    def _ltm_repository(self, codec: ContentsCodec) -> LtmRepository:
        return LtmRepository(
            self.sql_engine,
            codec,
            table_prefix=self.config.ltm_config.table_prefix,
            indexed_attributes=self.config.indexed_attributes,
            clock=self.clock,
        )

    def _open_redis_tiers(
        self, opened: ExitStack, codec: ContentsCodec
    ) -> tuple[StmRepository, ImRepository]:
        stm, im = self.config.stm_config, self.config.im_config
        connect = connector(
            opened, self.deployment, self.config.durability, search=self.config.search
        )
        stm_channel = connect(stm.db)
        # One channel for both, where one database holds both: then a move is one transaction.
        im_channel = stm_channel if im.db == stm.db else connect(im.db)
        stm_channel.call("PING")
        widths = self.config.autoencoder_config
        self.search = {
            Tier.STM: self._search(stm_channel, stm.namespace, widths.stm_dim),
            Tier.IM: self._search(im_channel, im.namespace, widths.im_dim),
        }
        self._stm_channel = stm_channel
        self.channels = (stm_channel,) if im_channel is stm_channel else (stm_channel, im_channel)
        self._require_query_engine()
        return (
            StmRepository(
                stm_channel,
                ContentsCodec(self.config.max_entry_bytes),
                namespace=stm.namespace,
                clock=self.clock,
                vector_cache_bytes=self.config.vector_cache_bytes,
                search=self._asked(Tier.STM),
                indexed_attributes=self.config.indexed_attributes,
            ),
            ImRepository(
                im_channel,
                codec,
                namespace=im.namespace,
                clock=self.clock,
                vector_cache_bytes=self.config.vector_cache_bytes,
                search=self._asked(Tier.IM),
                indexed_attributes=self.config.indexed_attributes,
            ),
        )

    def _search(self, channel: RedisChannel, namespace: str, width: int) -> TierSearch:
        declared = DeclaredAttributes(channel, namespace, ())
        self._declared.append(declared)
        return TierSearch(
            channel,
            namespace,
            width,
            read_only=self.read_only,
            attributes=declared.all_paths,
        )

    def _asked(self, tier: Tier) -> TierSearch | None:
        """The index that answers questions of similarity; None: vectors are compared here."""
        return self.search[tier] if self.config.similarity == "server" else None

    def _require_query_engine(self) -> None:
        asked_for = self.config.search is True or self.config.similarity == "server"
        if asked_for and not self.redis_engine.has_query_engine:
            raise QueryEngineMissing(
                f"{self._stm_channel.where} ({self.redis_engine}) has no query engine, and "
                "the configuration asks for one: use Redis 8, Redis Stack or the embedded server "
                "with the extra (pip install 'agent-memory[search]'), or leave search and "
                "similarity out"
            )


@dataclass
class _Held:
    resources: Resources
    users: int = 0


class _Shared:
    """The open resources of this process, by configuration, and how many use each."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._held: dict[Hashable, _Held] = {}
        after_fork(self._unlock)

    def acquire(
        self, config: MemoryConfig, read_only: bool, clock: Callable[[], float]
    ) -> Resources:
        # A run of its own needs nothing of its own; where it lives may differ by environment.
        key = (_without_run(config), deployment(config), read_only, clock)
        with self._lock:
            held = self._held.get(key)
            if held is None:
                held = self._held[key] = _Held(Resources(config, read_only=read_only, clock=clock))
            held.users += 1
            return held.resources

    def release(self, resources: Resources) -> None:
        with self._lock:
            for key, held in list(self._held.items()):
                if held.resources is resources:
                    held.users -= 1
                    if held.users == 0:
                        del self._held[key]
                        resources.close()

    def _unlock(self) -> None:
        self._lock = threading.RLock()


_shared = _Shared()


def acquire(
    config: MemoryConfig, *, read_only: bool = False, clock: Callable[[], float] = time.time
) -> Resources:
    """Get the resources of a configuration, opened if they are not; ``release`` them after.

    Args:
        config: The configuration.
        read_only: Whether writes are refused.
        clock: Gives the time in seconds since 1970.

    Raises:
        StoreUnavailable: A server, file or folder does not answer.
        SchemaOutOfDate: Long-term memory needs a migration.
        ConfigError: The configuration needs a package that is not installed.
    """
    return _shared.acquire(config, read_only, clock)


def release(resources: Resources) -> None:
    """Give resources back; the last user closes them."""
    _shared.release(resources)


def _without_run(config: MemoryConfig) -> MemoryConfig:
    return config.model_copy(update={"run_id": "default"})
