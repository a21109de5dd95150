"""The whole configuration of a memory system, and what its parts must agree on."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Annotated, Any, Literal, Never, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    field_validator,
    model_validator,
)

from agent_memory.config.encoder import AutoencoderConfig
from agent_memory.config.limits import LARGEST, Positive, Share
from agent_memory.config.long_term import PathTolerance, SQLiteLTMConfig, by_path
from agent_memory.config.redis import RedisIMConfig, RedisSTMConfig, names_a_server
from agent_memory.errors import ConfigError, InvalidEntry
from agent_memory.values.config_part import ConfigPart
from agent_memory.values.embedder import Embedder
from agent_memory.values.identity import checked_run_id
from agent_memory.values.paths import check_syntax
from agent_memory.values.secrets import Url
from agent_memory.values.urls import check_database, checked_redis_url


def _name_of(embedder: Embedder) -> str:
    """What JSON has of an embedder, whose model is none."""
    return embedder.name


class MemoryConfig(ConfigPart):
    """The whole configuration of a memory system.

    Args:
        stm_config: Short-term memory.
        im_config: Intermediate memory.
        ltm_config: Long-term memory.
        autoencoder_config: The encoder.
        cleanup_interval: An agent's tiers are tidied every so many of its inserts.
        memory_priority_decay: What importance is multiplied by for every ``cleanup_interval``
            later inserts, when the least important leave first.
        demote_first: Who leaves an overfull tier: "oldest" or "least_important".
        enable_memory_hooks: False: hooked classes act as before and record nothing.
        logging_level: Of the logger "agent_memory" alone.
        engine: "embedded" (a managed local server in ``path``), "redis" (the server of
            ``redis_url``, or host and port), "fake" (fakeredis in this process), or "auto":
            redis when a URL is given or host, port or password differ from their defaults,
            else embedded.
        path: The memory's folder; else $AGENT_MEMORY_PATH, else ./agent_memory_data.
        redis_url: ``redis://``, ``rediss://`` or ``unix://`` URL, or one that names Sentinels,
            ``redis+sentinel://host:port,host:port/NAME``, or servers of a cluster,
            ``redis+cluster://host:port,host:port``; else $AGENT_MEMORY_REDIS_URL.
        ltm_url: SQLAlchemy URL of long-term memory; else $AGENT_MEMORY_LTM_URL, else
            ``ltm_config.db_path`` in the folder.
        run_id: The simulation run that entries belong to unless a call names another.
        durability: "everysec": the death of any process loses nothing acknowledged, the death
            of the machine at most about the last second. "always": nothing either way.
            Embedded engine only.
        search: Whether the server has a query engine. "auto": a new folder gets one if the extra
            `search` is installed, and one that is there keeps what it was made with; any other
            server is taken as it is. True: it must have one. False: the embedded server must
            have none. A folder made otherwise is refused with the command that converts it.
        strict_server: Refuse a server of one's own that may lose entries by its settings: one that
            evicts, keeps no append-only file, or is a replica. False: the log says so once.
        wait_replicas: How many replicas of a server of one's own must have an entry before it
            counts as stored; until then it waits like one whose server is away. 0: the server's
            own word is enough, and a failover may lose what no replica had got yet.
        wait_timeout: How long a store waits for them, in seconds.
        clock: "wall": times in seconds since 1970. "steps": times are steps and ids are
            reproducible, so that the same seed leaves the same rows.
        on_expiry: What becomes of entries over their tier's age (``ttl``, ``max_age_steps``).
            "demote": they move down. "drop": they are removed, and no question finds them.
        step_clock: By whose newest step ``max_age_steps`` is counted. "agent": the agent's own, for
            agents that are born later, or whose episodes start again. "run": that of the run's
            newest entry, whoever stored it, so that entries of agents that are gone age too. None:
            the agent's where entries are dropped, the run's where they move down.
        redis_max_bytes: How many bytes the Redis server may hold: past that, the oldest entries of
            the agents that were quiet the longest move down. None: as many as it takes.
        on_store_error: "log": an unreachable store is logged once per outage and the dict-style
            calls return False. "raise": they raise ``StoreUnavailable``.
        indexed_attributes: Paths in contents (``home.food``, ``pos[0]``) whose values are indexed
            in every tier, and kept in a column of long-term memory for SQL to filter on.
        tolerances: By path, how far numbers may be off once a code has been fitted to contents:
            ``{"energy": {"level_1": 0.01, "level_2": 0.1, "relative": False}, "id": "exact"}``.
            "*" stands for all other paths; else 0.1 % of the range in intermediate memory, 1 % in
            long-term memory.
        max_entry_bytes: Contents that need more bytes are refused.
        spool_max_bytes: How large the file may become in which entries wait on this machine's
            disk while the Redis server is away; 0: they do not wait, and storing them fails.
            There is none with the engine "fake" or long-term memory in the process.
        similarity: Where vectors of the Redis tiers are compared: in the "process", from vectors
            that are kept. "server" is deprecated and does the same.
        embedder: A model of your own, an ``Embedder`` or a callable that has a name: it makes the
            vectors of what is stored in place of the encoder, and of texts that are asked about.
            Its name is recorded with the memory, the model is not: each process gives it again.
        vector_cache_bytes: How many bytes of vectors a process keeps of each tier: some 2,000 a
            vector of 384 numbers, 200 of one of 32.

    Examples:
        >>> from agent_memory import MemoryConfig
        >>> config = MemoryConfig(engine="fake", stm_config={"memory_limit": 50})
        >>> config.stm_config.memory_limit
        50
    """

    stm_config: RedisSTMConfig = Field(default_factory=RedisSTMConfig)
    im_config: RedisIMConfig = Field(default_factory=RedisIMConfig)
    ltm_config: SQLiteLTMConfig = Field(default_factory=SQLiteLTMConfig)
    autoencoder_config: AutoencoderConfig = Field(default_factory=AutoencoderConfig)
    cleanup_interval: Positive = 100
    memory_priority_decay: Share = 0.95
    demote_first: Literal["oldest", "least_important"] = "oldest"
    enable_memory_hooks: bool = True
    logging_level: str = "INFO"
    engine: Literal["auto", "embedded", "redis", "fake"] = "auto"
    path: Path | None = None
    redis_url: Url = Field(default=None, repr=False)
    ltm_url: Url = Field(default=None, repr=False)
    run_id: str = "default"
    durability: Literal["everysec", "always"] = "everysec"
    search: Literal["auto", True, False] = "auto"
    strict_server: bool = False
    wait_replicas: Annotated[int, Field(ge=0, le=100)] = 0
    wait_timeout: Annotated[float, Field(gt=0, le=20)] = 1.0
    clock: Literal["wall", "steps"] = "wall"
    on_expiry: Literal["demote", "drop"] = "demote"
    step_clock: Literal["agent", "run"] | None = None
    redis_max_bytes: Positive | None = None
    on_store_error: Literal["log", "raise"] = "log"
    indexed_attributes: tuple[str, ...] = ()
    tolerances: Annotated[tuple[PathTolerance, ...], BeforeValidator(by_path)] = ()
    max_entry_bytes: Positive = 16 * 1024 * 1024
    spool_max_bytes: Annotated[int, Field(ge=0, le=LARGEST)] = 1024 * 1024 * 1024
    similarity: Literal["process", "server"] = "process"
    # Of no type that pydantic would look into: a model is given on as it is.
    embedder: Annotated[
        Any, AfterValidator(Embedder.of), PlainSerializer(_name_of, when_used="json-unless-none")
    ] = None
    vector_cache_bytes: Positive = 256 * 1024 * 1024

    # Spelled out, so that type checkers accept a nested dict in place of a part.
    def __init__(self, *unnamed: Never, **values: Any) -> None:
        super().__init__(*unnamed, **values)

    @field_validator("similarity")
    @classmethod
    def _in_the_process(cls, given: str) -> str:
        if given == "server":
            warnings.warn(
                'MemoryConfig(similarity="server") is deprecated, and vectors are compared in the '
                "process: leave it out, and give vector_cache_bytes as much as the vectors take",
                DeprecationWarning,
                stacklevel=3,
            )
        return "process"

    @property
    def ages_by_agent(self) -> bool:
        """Whether ages in steps are counted by each agent's own newest step; see ``step_clock``.

        Examples:
            >>> MemoryConfig(on_expiry="drop").ages_by_agent
            True
        """
        if self.step_clock is None:
            return self.on_expiry == "drop"
        return self.step_clock == "agent"

    @model_validator(mode="after")
    def _checked(self) -> Self:
        try:
            checked_run_id(self.run_id)
            for path in self.indexed_attributes:
                check_syntax(path)
        except InvalidEntry as error:
            raise ConfigError(str(error)) from None
        for name, text in (("path", str(self.path)), ("db_path", self.ltm_config.db_path)):
            if "\0" in text:
                raise ConfigError(f"{name}: no file has a name with a NUL in it")
        if self.logging_level.upper() not in logging.getLevelNamesMapping():
            raise ConfigError(f"logging_level: {self.logging_level!r} is no level of logging")
        self._check_redis()
        return self

    def _check_redis(self) -> None:
        stm, im = self.stm_config, self.im_config
        if (stm.host, stm.port, stm.password) != (im.host, im.port, im.password):
            raise ConfigError(
                "stm_config and im_config name different servers; a move between them must be "
                "one transaction: give both the same host, port and password"
            )
        if f"{stm.namespace}:".startswith(f"{im.namespace}:") or f"{im.namespace}:".startswith(
            f"{stm.namespace}:"
        ):
            raise ConfigError(
                f"stm_config and im_config have namespaces that overlap ({stm.namespace!r} and "
                f"{im.namespace!r}); give each its own"
            )
        named = self.redis_url is not None or names_a_server(stm)
        if named and self.engine in ("embedded", "fake"):
            raise ConfigError(
                f"engine={self.engine!r} uses no server of your own: leave out redis_url, host, "
                'port and password, or choose engine="redis"'
            )
        if self.redis_url is not None:
            if names_a_server(stm):
                raise ConfigError("redis_url and host, port or password name the server twice")
            checked_redis_url("redis_url", self.redis_url)
            check_database("redis_url", self.redis_url, (stm.db, im.db))
