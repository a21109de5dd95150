"""Configuration: frozen, checked values.

Every part takes a nested dict in place of an object, refuses keys it does not know, and raises
``ConfigError``. ``connections.deployment`` settles where that says the memory lives.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from agent_memory.errors import ConfigError, InvalidEntry
from agent_memory.values.config_part import ConfigPart
from agent_memory.values.deprecation import moved_names
from agent_memory.values.identity import checked_run_id
from agent_memory.values.paths import check_syntax
from agent_memory.values.urls import check_database, checked_redis_url

DEFAULT_DB_PATH = "agent_memory.db"

_LARGEST = 2**63 - 1
_LONGEST_TTL = 10**11  # seconds; a server refuses times that end beyond its calendar

_Port = Annotated[int, Field(ge=1, le=65535)]
_Level = Annotated[int, Field(ge=0, le=2)]
_Positive = Annotated[int, Field(gt=0, le=_LARGEST)]
_Namespace = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^{}\s\x00]+$")]
_TablePrefix = Annotated[
    str, Field(min_length=1, max_length=30, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
]


class _RedisPlace(ConfigPart):
    host: str = Field(default="localhost", min_length=1)
    port: _Port = 6379
    db: Annotated[int, Field(ge=0, lt=2**31)] = 0
    password: str | None = Field(default=None, repr=False)

    @property
    def connection_params(self) -> dict[str, Any]:
        """What a Redis client needs: host, port, db and password."""
        return {
            "host": self.host,
            "port": self.port,
            "db": self.db,
            "password": self.password,
        }


class _RedisConfig(_RedisPlace):
    max_age_steps: _Positive | None = None


class RedisSTMConfig(_RedisConfig):
    """Short-term memory: Redis, full detail.

    Args:
        host: Server name, when the engine is "redis" and no ``redis_url`` is given.
        port: Server port.
        db: Redis database. The query engine indexes database 0 only.
        password: Server password; shown nowhere.
        ttl: Age in seconds past which an entry moves on (clock "wall").
        memory_limit: How many entries an agent may hold here.
        namespace: What every key begins with.
        max_age_steps: Age in steps past which an entry moves on; None for no such limit.

    Examples:
        >>> from agent_memory import RedisSTMConfig
        >>> RedisSTMConfig(memory_limit=200, max_age_steps=50).ttl
        86400
    """

    ttl: _Positive = 86_400
    memory_limit: _Positive = 1_000
    namespace: _Namespace = "agent_memory:stm"


class RedisIMConfig(_RedisConfig):
    """Intermediate memory: Redis, level-1 compressed.

    Arguments as for ``RedisSTMConfig``, and ``compression_level``: 0, 1 or 2.

    Examples:
        >>> from agent_memory import RedisIMConfig
        >>> RedisIMConfig().compression_level
        1
    """

    ttl: _Positive = 604_800
    memory_limit: _Positive = 10_000
    namespace: _Namespace = "agent_memory:im"
    compression_level: _Level = 1


class RedisMemoryConfig(_RedisPlace):
    """The memory of states by step: ``AgentMemory`` and ``AgentMemoryManager``.

    Args:
        host: Server name. With host, port and password at their defaults the embedded server
            serves, as for ``MemoryConfig``.
        port: Server port.
        db: Redis database.
        password: Server password; shown nowhere.
        memory_limit: How many states an agent may hold; the least worth keeping leave first.
        ttl: How long a state is kept, in seconds.
        enable_semantic_search: Kept for those who set it: similarity is ``AgentMemorySystem``'s.
        embedding_dimension: The same.
        memory_priority_decay: What a priority is multiplied by for every ``cleanup_interval``
            later states, when those least worth keeping leave.
        cleanup_interval: An agent's states are tidied every so many of its stores.
        namespace: What every key begins with.

    Examples:
        >>> from agent_memory import RedisMemoryConfig
        >>> RedisMemoryConfig(ttl=600).memory_limit
        1000
    """

    memory_limit: _Positive = 1_000
    ttl: Annotated[int, Field(gt=0, le=_LONGEST_TTL)] = 3_600
    enable_semantic_search: bool = True
    embedding_dimension: _Positive = 128
    memory_priority_decay: Annotated[float, Field(gt=0, le=1)] = 0.95
    cleanup_interval: _Positive = 100
    namespace: _Namespace = "agent_memory"

    @property
    def connection_params(self) -> dict[str, Any]:
        """What a Redis client needs: host, port, db, password and ``decode_responses``.

        Examples:
            >>> RedisMemoryConfig().connection_params["decode_responses"]
            True
        """
        return super().connection_params | {"decode_responses": True}


class SQLiteLTMConfig(ConfigPart):
    """Long-term memory: SQL, level-2 compressed.

    Args:
        db_path: SQLite file; relative ones lie in the memory's folder. ``MemoryConfig.ltm_url``
            overrides it.
        compression_level: 0, 1 or 2.
        batch_size: How many entries one transaction of a move writes at most.
        table_prefix: What every table's name begins with.

    Examples:
        >>> from agent_memory import SQLiteLTMConfig
        >>> SQLiteLTMConfig(db_path="ants.db").table_prefix
        'agent_ltm'
    """

    db_path: str = Field(default=DEFAULT_DB_PATH, min_length=1)
    compression_level: _Level = 2
    batch_size: _Positive = 100
    table_prefix: _TablePrefix = "agent_ltm"


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


class AutoencoderConfig(ConfigPart):
    """The encoder of vectors: widths of its levels and how it is trained.

    Args:
        input_dim: Width of the feature vector.
        stm_dim: Width of a short-term vector.
        im_dim: Width of an intermediate vector.
        ltm_dim: Width of a long-term vector.
        vector_dtype: How vectors rest in long-term memory from now on: "int8", a byte a number
            and a scale; "float16"; "float32". What rests otherwise stays, and is found as before.
        learning_rate: Of the optimiser. The training chooses its own while this is at its default,
            as it does of the two below.
        batch_size: States per training step.
        epochs: Passes over the training states.
        model_path: A saved encoder to encode with, in place of the version that is active.
        use_neural_embeddings: False: new entries are encoded by the version that needs no
            training, whichever is active.
        hidden_layers: Widths between input and the first level.

    Examples:
        >>> from agent_memory import AutoencoderConfig
        >>> AutoencoderConfig(hidden_layers=[256, 128]).ltm_dim
        32
    """

    model_config = ConfigDict(protected_namespaces=())

    input_dim: _Positive = 64
    stm_dim: _Positive = 384
    im_dim: _Positive = 128
    ltm_dim: _Positive = 32
    vector_dtype: Literal["int8", "float16", "float32"] = "int8"
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.001
    batch_size: _Positive = 32
    epochs: _Positive = 100
    model_path: str | None = None
    use_neural_embeddings: bool = True
    hidden_layers: tuple[_Positive, ...] = (512, 256)

    @model_validator(mode="after")
    def _model_file_exists(self) -> Self:
        if self.model_path is not None and not _is_file(self.model_path):
            raise ConfigError(f"model_path: there is no file {self.model_path:.200}")
        return self


class PathTolerance(ConfigPart):
    """How far numbers of a path may be off, once a code has been fitted to contents.

    Args:
        path: The path, keys joined by dots, places in lists in brackets; "*" for all others.
        level_1: In intermediate memory; 0: exact, there and below.
        level_2: In long-term memory.
        relative: Whether both are shares of the range of the values that were fitted on.
    """

    path: str
    level_1: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.001
    level_2: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.01
    relative: bool = True

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.level_1 > self.level_2:
            raise ValueError("level_1 must not be looser than level_2")
        return self


def _by_path(value: Any) -> Any:
    """Take tolerances as a dict by path, whose values may be "exact"."""
    if not isinstance(value, Mapping):
        return value
    return tuple(
        {"path": path, "level_1": 0.0, "level_2": 0.0}
        if one == "exact"
        else {"path": path, **one} if isinstance(one, Mapping) else one
        for path, one in value.items()
    )  # fmt: skip


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
        redis_url: ``redis://``, ``rediss://`` or ``unix://`` URL; else $AGENT_MEMORY_REDIS_URL.
        ltm_url: SQLAlchemy URL of long-term memory; else $AGENT_MEMORY_LTM_URL, else
            ``ltm_config.db_path`` in the folder.
        run_id: The simulation run that entries belong to unless told otherwise.
        durability: "everysec": the death of any process loses nothing acknowledged, the death
            of the machine at most about the last second. "always": nothing either way.
            Embedded engine only.
        search: Whether the server has a query engine. "auto": a new folder gets one if the extra
            `search` is installed, and one that is there keeps what it was made with; any other
            server is taken as it is. True: it must have one. False: the embedded server must
            have none. A folder made otherwise is refused with the command that converts it.
        clock: "wall": times in seconds since 1970. "steps": times are steps and ids are
            reproducible, so that the same seed leaves the same rows.
        on_expiry: What becomes of entries over their tier's age (``ttl``, ``max_age_steps``).
            "demote": they move down. "drop": they are removed, and no question finds them.
        step_clock: By whose newest step ``max_age_steps`` is counted. "agent": the agent's own, for
            agents that are born later, or whose episodes begin anew. "run": that of the run's
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
        vector_cache_bytes: How many bytes of vectors a process keeps of each Redis tier: some
            2,000 a vector of 384 numbers.

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
    cleanup_interval: _Positive = 100
    memory_priority_decay: Annotated[float, Field(gt=0, le=1)] = 0.95
    demote_first: Literal["oldest", "least_important"] = "oldest"
    enable_memory_hooks: bool = True
    logging_level: str = "INFO"
    engine: Literal["auto", "embedded", "redis", "fake"] = "auto"
    path: Path | None = None
    redis_url: str | None = Field(default=None, repr=False)
    ltm_url: str | None = Field(default=None, repr=False)
    run_id: str = "default"
    durability: Literal["everysec", "always"] = "everysec"
    search: Literal["auto", True, False] = "auto"
    clock: Literal["wall", "steps"] = "wall"
    on_expiry: Literal["demote", "drop"] = "demote"
    step_clock: Literal["agent", "run"] | None = None
    redis_max_bytes: _Positive | None = None
    on_store_error: Literal["log", "raise"] = "log"
    indexed_attributes: tuple[str, ...] = ()
    tolerances: Annotated[tuple[PathTolerance, ...], BeforeValidator(_by_path)] = ()
    max_entry_bytes: _Positive = 16 * 1024 * 1024
    spool_max_bytes: Annotated[int, Field(ge=0, le=_LARGEST)] = 1024 * 1024 * 1024
    similarity: Literal["process", "server"] = "process"
    vector_cache_bytes: _Positive = 256 * 1024 * 1024

    # Spelled out, so that type checkers accept a nested dict in place of a part.
    def __init__(self, **values: Any) -> None:
        super().__init__(**values)

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


def names_a_server(part: _RedisConfig) -> bool:
    """Whether a part says which Redis server to use: host, port or password is set."""
    default = _RedisConfig()
    return (part.host, part.port, part.password) != (default.host, default.port, default.password)


# Where names that were here moved to.
_MOVED = {
    **dict.fromkeys(
        (
            *("DEFAULT_FOLDER", "Deployment", "deployment"),
            *("LTM_URL_VARIABLE", "PATH_VARIABLE", "REDIS_URL_VARIABLE"),
        ),
        "agent_memory.connections.deployment",
    ),
    "without_password": "agent_memory.values.urls",
}


if not TYPE_CHECKING:  # else type checkers would take any name for one that is here
    __getattr__ = moved_names(__name__, _MOVED)
