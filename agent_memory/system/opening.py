"""Opens what a configuration needs: the database, the server, the repositories, the encoder.

Each call opens its own; ``sharing`` opens once in a process.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial

from agent_memory.compression.levels import ContentsCodec
from agent_memory.config import MemoryConfig
from agent_memory.connections.circuit_breaker import CircuitBreaker
from agent_memory.connections.deployment import deployment
from agent_memory.connections.folder_record import check_folder, record_folder, settings_of
from agent_memory.connections.outages import Outages
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.risks import tell_risks
from agent_memory.connections.serving import Connector, connector
from agent_memory.connections.sql import SqlEngine, open_engine, watch
from agent_memory.errors import QueryEngineMissing, StoreUnavailable
from agent_memory.models.ltm import ltm_models
from agent_memory.models.system import SystemModels
from agent_memory.repositories.codec import Codec
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.read_only import ReadOnlyRepository
from agent_memory.repositories.redis.attributes import DeclaredAttributes
from agent_memory.repositories.redis.codes import CodeCopies
from agent_memory.repositories.redis.keys import KeySpace
from agent_memory.repositories.redis.model_backend import ModelBackend
from agent_memory.repositories.redis.repository import ImRepository, StmRepository
from agent_memory.repositories.redis.tier_search import TierSearch
from agent_memory.repositories.sql import schema
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.retrieval.access_log import AccessLog
from agent_memory.retrieval.feature_cache import FeatureCache
from agent_memory.retrieval.similarity import SimilaritySearch
from agent_memory.system.beneath import Connections
from agent_memory.system.coding import Coding
from agent_memory.system.encoder_in_use import CurrentEncoder, choose_encoder, open_spaces
from agent_memory.system.identity import MemoryIdentity
from agent_memory.system.new_entries import NewEntries
from agent_memory.system.open_batches import OpenBatches
from agent_memory.system.resources import Resources, level_of
from agent_memory.system.run_endings import RunEndings
from agent_memory.system.unattended import UnattendedUpkeep
from agent_memory.tiers.ageing import Ages, Moment, PresentSteps
from agent_memory.tiers.expiry import ExpiryFilter, TierReader
from agent_memory.tiers.forgetting import Tiers
from agent_memory.tiers.intake import LONGEST_PAUSE, Intake
from agent_memory.tiers.spool import spool_of
from agent_memory.tiers.waiting_reader import ReaderWithWaiting
from agent_memory.values.entry import Tier


def open_resources(
    config: MemoryConfig,
    opened: ExitStack,
    *,
    read_only: bool = False,
    clock: Callable[[], float] = time.time,
) -> Resources:
    """Open everything that a configuration needs.

    Args:
        config: The configuration.
        opened: Closes what is opened; the caller's to close, also if this fails.
        read_only: Whether writes are refused.
        clock: Gives the time in seconds since 1970.

    Raises:
        StoreUnavailable: A server, file or folder does not answer.
        SchemaOutOfDate: Long-term memory needs a migration.
        ConfigError: The configuration needs a package that is not installed.
    """
    logging.getLogger("agent_memory").setLevel(config.logging_level.upper())
    opening = _Opening(config, read_only, clock, opened)
    resources = opening.all()
    choose_encoder(resources.encoder, resources.tiers, clock)
    opening.record(resources.identity)
    opened.callback(resources.endings.close)
    if not read_only:
        # What a process left behind that was killed while the server was away.
        resources.upkeep.attempt(resources.intake.replay)
    return resources


class _Opening:
    """Opens one memory; what was opened by then is closed by its owner if this fails.

    Args:
        config: The configuration.
        read_only: Whether writes are refused.
        clock: Gives the time in seconds since 1970.
        opened: Closes what is opened here.
    """

    def __init__(
        self,
        config: MemoryConfig,
        read_only: bool,
        clock: Callable[[], float],
        opened: ExitStack,
    ) -> None:
        self._config = config
        self._where = deployment(config)
        self._read_only = read_only
        self._clock = clock
        self._opened = opened

    def all(self) -> Resources:
        """Open all of it."""
        config, clock = self._config, self._clock
        self._check_place()
        connections, identity = self._open_beneath()
        coding = Coding.of(config, connections.sql_engine)
        declared = self._declared(connections)
        search = self._search(connections, declared)
        self._check_query_engine(connections)
        copies = self._code_copies(connections, coding)
        tiers = self._tiers(connections, coding)
        encoder = self._encoder(coding, copies, tiers, declared)
        intake = self._intake(connections, tiers, identity)
        steps = PresentSteps(by_steps=config.clock == "steps", of_agents=config.ages_by_agent)
        return Resources(
            config=config,
            read_only=self._read_only,
            clock=clock,
            connections=connections,
            identity=identity,
            tiers=tiers,
            readers=self._readers(tiers, intake, steps),
            search=search,
            models=self._models(tiers, search, coding.codec, intake),
            encoder=encoder,
            similarity=self._similarity(coding, encoder),
            new_entries=NewEntries(
                *(coding.registry, encoder.spaces, config.clock == "steps"),
                *(config.max_entry_bytes, clock),
            ),
            intake=intake,
            steps=steps,
            stores=itertools.count(1),
            access_log=AccessLog(tiers, clock),
            outages=Outages(config.on_store_error),
            upkeep=UnattendedUpkeep(lambda: intake.breaker.is_away),
            batches=self._batches(connections, intake),
            endings=RunEndings(connections.sql_engine, config.ltm_config.table_prefix, clock),
            close=self._opened.close,
        )

    # -- servers ------------------------------------------------------------------------------

    def record(self, identity: MemoryIdentity) -> None:
        """Record how the memory is opened, once nothing of it was refused."""
        if self._read_only:
            return
        if self._where.engine == "embedded":
            record_folder(self._config, self._where)
        else:
            identity.record_settings(settings_of(self._config))

    def _check_place(self) -> None:
        where = self._where
        if where.engine != "embedded":
            return
        if self._read_only and not where.path.is_dir():
            raise StoreUnavailable(f"there is no memory in {where.path} to open read-only")
        check_folder(self._config, where)

    def _open_database(self) -> tuple[SqlEngine, CircuitBreaker]:
        engine = open_engine(self._where.ltm_url, read_only=self._read_only)
        self._opened.callback(engine.dispose)
        breaker = CircuitBreaker(0.0, LONGEST_PAUSE, self._clock)
        watch(engine, breaker.failed, breaker.returned)
        if self._read_only:
            schema.check(engine, self._config.ltm_config.table_prefix)
        else:
            schema.ensure(engine, self._config.ltm_config.table_prefix)
        return engine, breaker

    def _open_beneath(self) -> tuple[Connections, MemoryIdentity]:
        """The database and the servers, once it is settled that they hold this memory."""
        # An outdated schema is reported before a server is started, and a server that cannot be
        # used before a database is made.
        if self._where.engine == "embedded":
            sql_engine, sql_breaker = self._open_database()
            connect, channels = self._open_servers()
        else:
            connect, channels = self._open_servers()
            sql_engine, sql_breaker = self._open_database()
        connections = Connections(self._where, *channels, sql_engine, sql_breaker)
        identity = MemoryIdentity(self._config, self._where, connections, connect)
        identity.settle(read_only=self._read_only)
        return connections, identity

    def _open_servers(self) -> tuple[Connector, tuple[RedisChannel, RedisChannel]]:
        connect = connector(
            self._opened,
            self._where,
            self._config.durability,
            search=self._config.search,
            read_only=self._read_only,
        )
        return connect, self._connect(connect)

    def _connect(self, connect: Connector) -> tuple[RedisChannel, RedisChannel]:
        """Channels to the databases of short-term and of intermediate memory."""
        config = self._config
        stm = connect(config.stm_config.db)
        # One channel for both, where one database holds both: then a move is one transaction.
        same = config.im_config.db == config.stm_config.db
        im = stm if same else connect(config.im_config.db)
        stm.call("PING")
        if self._where.engine == "redis":
            tell_risks(stm, read_only=self._read_only, strict=config.strict_server)
        return stm, im

    def _check_query_engine(self, connections: Connections) -> None:
        config = self._config
        if config.search is True and not connections.redis_engine.has_query_engine:
            raise QueryEngineMissing(
                f"{connections.stm.where} ({connections.redis_engine}) has no query engine, and "
                "the configuration asks for one: use Redis 8, Redis Stack or the embedded server "
                "with the extra (pip install 'agent-memory[search]'), or leave search out"
            )

    # -- encoder and codes --------------------------------------------------------------------

    def _code_copies(self, connections: Connections, coding: Coding) -> CodeCopies:
        """The copies of codes beside intermediate memory, which the codes are read from too."""
        copies = CodeCopies(connections.im, self._config.im_config.namespace, connections.buckets)
        coding.codes.also_from(copies)
        for rows in (coding.versions.coded_rows, copies.coded_rows):
            coding.codes.look_in(rows)
        return copies

    def _encoder(
        self,
        coding: Coding,
        copies: CodeCopies,
        tiers: Tiers,
        declared: Mapping[Tier, DeclaredAttributes],
    ) -> CurrentEncoder:
        config, versions, registry = self._config, coding.versions, coding.registry
        spaces = open_spaces(
            config, registry, versions, tiers, self._clock, read_only=self._read_only
        )
        return CurrentEncoder(
            *(config, self._read_only, versions, registry),
            *(coding.codes, coding.compression, copies),
            [*declared.values()],
            spaces,
        )

    def _similarity(self, coding: Coding, encoder: CurrentEncoder) -> SimilaritySearch:
        config = self._config
        return SimilaritySearch(
            *(
                coding.registry,
                encoder.spaces,
                FeatureCache(config.vector_cache_bytes, coding.codes),
            ),
            *(coding.codes, partial(level_of, config), config.max_entry_bytes),
        )

    # -- tiers --------------------------------------------------------------------------------

    def _declared(self, connections: Connections) -> dict[Tier, DeclaredAttributes]:
        def declared(channel: RedisChannel, namespace: str) -> DeclaredAttributes:
            return DeclaredAttributes(channel, KeySpace(namespace, connections.buckets), ())

        config = self._config
        return {
            Tier.STM: declared(connections.stm, config.stm_config.namespace),
            Tier.IM: declared(connections.im, config.im_config.namespace),
        }

    def _search(
        self, connections: Connections, declared: Mapping[Tier, DeclaredAttributes]
    ) -> dict[Tier, TierSearch]:
        config = self._config
        widths = config.autoencoder_config

        def search(tier: Tier, channel: RedisChannel, namespace: str, width: int) -> TierSearch:
            paths = declared[tier].all_paths
            return TierSearch(
                channel, namespace, width, read_only=self._read_only, attributes=paths
            )

        stm, im = config.stm_config.namespace, config.im_config.namespace
        return {
            Tier.STM: search(Tier.STM, connections.stm, stm, widths.stm_dim),
            Tier.IM: search(Tier.IM, connections.im, im, widths.im_dim),
        }

    def _tiers(self, connections: Connections, coding: Coding) -> Tiers:
        config = self._config
        ltm = LtmRepository(
            connections.sql_engine,
            ContentsCodec(
                codes=coding.codes, most_read=config.max_entry_bytes, beside_vectors=True
            ),
            table_prefix=config.ltm_config.table_prefix,
            indexed_attributes=config.indexed_attributes,
            clock=self._clock,
            vector_cache_bytes=config.vector_cache_bytes,
            ef_search=config.ltm_config.ef_search,
        )
        stm = StmRepository(
            connections.stm,
            ContentsCodec(config.max_entry_bytes),
            namespace=config.stm_config.namespace,
            clock=self._clock,
            vector_cache_bytes=config.vector_cache_bytes,
            indexed_attributes=config.indexed_attributes,
            buckets=connections.buckets,
        )
        im = ImRepository(
            connections.im,
            coding.codec,
            namespace=config.im_config.namespace,
            clock=self._clock,
            vector_cache_bytes=config.vector_cache_bytes,
            indexed_attributes=config.indexed_attributes,
            buckets=connections.buckets,
        )
        if self._read_only:
            return ReadOnlyRepository(stm), ReadOnlyRepository(im), ReadOnlyRepository(ltm)
        for repository in (stm, im, ltm):
            repository.upkeep.declare_attributes()
        return stm, im, ltm

    def _readers(
        self, tiers: Tiers, intake: Intake, steps: PresentSteps
    ) -> tuple[TierReader, TierReader, TierReader]:
        """The tiers as questions see them."""
        stm, im, ltm = tiers
        above, below = Ages.of(self._config)

        def moment(run_id: str, agent_id: str) -> Moment:
            return Moment(self._clock(), steps.of(run_id, agent_id))

        def shown(ages: Ages, repository: MemoryRepository) -> TierReader:
            is_demoted = self._config.on_expiry == "demote"
            return repository if is_demoted else ExpiryFilter(repository, ages, moment)

        top = shown(above, stm)
        if intake.waiting is not None:
            top = ReaderWithWaiting(top, intake.waiting, partial(shown, above))
        return top, shown(below, im), ltm

    def _intake(self, connections: Connections, tiers: Tiers, identity: MemoryIdentity) -> Intake:
        intake = Intake(
            tiers,
            connections.stm,
            spool_of(self._config, self._where, identity.id, read_only=self._read_only),
            clock=self._clock,
            by_steps=self._config.clock == "steps",
        )
        self._opened.callback(intake.close)
        return intake

    def _batches(self, connections: Connections, intake: Intake) -> OpenBatches:
        """What is gathered and not yet stored: stored before any question is sent."""
        batches = OpenBatches()
        for channel in connections.channels:
            channel.before = batches.store_gathered
        if intake.waiting is not None:
            intake.waiting.before = batches.store_gathered
        return batches

    def _models(
        self,
        tiers: Tiers,
        search: Mapping[Tier, TierSearch],
        codec: Codec,
        intake: Intake,
    ) -> SystemModels:
        stm, im, _ = tiers
        waiting = intake.waiting
        backends = (
            ModelBackend(
                *(stm, search[Tier.STM], codec),
                lambda: waiting is not None and bool(waiting.owners()),
            ),
            ModelBackend(im, search[Tier.IM], codec),
        )
        for backend in backends:
            self._opened.callback(backend.close)
        return SystemModels.of(ltm_models(self._config.ltm_config.table_prefix), *backends)
