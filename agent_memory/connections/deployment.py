"""Where a memory lives: what code leaves at its default is settled from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, unquote

from agent_memory.config import DEFAULT_DB_PATH, MemoryConfig, RedisSTMConfig, names_a_server
from agent_memory.connections.confirmation import Confirmation
from agent_memory.errors import ConfigError
from agent_memory.values.file_names import whole_path
from agent_memory.values.urls import (
    check_database,
    checked_redis_url,
    names_cluster,
    redis_url_of,
    sqlite_url,
    without_password,
)

PATH_VARIABLE = "AGENT_MEMORY_PATH"
REDIS_URL_VARIABLE = "AGENT_MEMORY_REDIS_URL"
LTM_URL_VARIABLE = "AGENT_MEMORY_LTM_URL"
DEFAULT_FOLDER = "agent_memory_data"


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where a memory lives, once code, environment and defaults are settled.

    Attributes:
        engine: What serves short-term and intermediate memory.
        path: The memory's folder, absolute.
        redis_url: The server's URL when the engine is "redis".
        ltm_url: SQLAlchemy URL of long-term memory.
        confirmation: What is asked of the server's replicas.
    """

    engine: Literal["embedded", "redis", "fake"]
    path: Path
    redis_url: str | None
    ltm_url: str
    confirmation: Confirmation | None = None

    def __repr__(self) -> str:
        redis_url = None if self.redis_url is None else without_password(self.redis_url)
        return (
            f"Deployment(engine={self.engine!r}, path={str(self.path)!r}, "
            f"redis_url={redis_url!r}, ltm_url={without_password(self.ltm_url)!r})"
        )


def deployment(config: MemoryConfig, environ: Mapping[str, str] = os.environ) -> Deployment:
    """Settle where a configuration's memory lives.

    Args:
        config: The configuration.
        environ: Stands in for what the configuration leaves at its default.

    Raises:
        ConfigError: What the environment says disagrees with the code; or replicas are asked for
            where there are none.
    """
    if config.path is not None:
        path = whole_path(config.path)
    else:
        named = environ.get(PATH_VARIABLE)
        path = whole_path(named or DEFAULT_FOLDER, f"${PATH_VARIABLE}" if named else "path")
    redis_url = _redis_url(config, environ)
    engine = config.engine
    if engine == "auto":
        engine = "embedded" if redis_url is None else "redis"
    if engine == "redis" and redis_url is None:
        redis_url = _url_of(config.stm_config)
    in_code = config.ltm_config.db_path != DEFAULT_DB_PATH
    ltm_url = config.ltm_url or (None if in_code else environ.get(LTM_URL_VARIABLE))
    if not ltm_url:
        ltm_url = _sqlite_url(engine, path, config.ltm_config.db_path)
    if config.wait_replicas and engine != "redis":
        raise ConfigError(
            f"wait_replicas={config.wait_replicas}: the {engine} server has no replicas; name one "
            "of your own by redis_url, or leave it out"
        )
    if engine == "redis" and names_cluster(redis_url or ""):
        _check_served_by_a_cluster(config)
    if config.wait_replicas:
        _check_patience(redis_url or "", config.wait_timeout)
    confirmation = Confirmation(config.wait_replicas, config.wait_timeout)
    return Deployment(
        engine,
        path,
        redis_url if engine == "redis" else None,
        ltm_url,
        confirmation if config.wait_replicas else None,
    )


def _check_patience(redis_url: str, wait_timeout: float) -> None:
    """See that a connection waits for the server as long as the server waits for its replicas."""
    given = dict(parse_qsl(redis_url.partition("?")[2])).get("socket_timeout", "")
    try:
        seconds = float(given)
    except ValueError:
        return  # none, or no number, which whoever reads the URL reports
    if seconds <= wait_timeout:
        raise ConfigError(
            f"redis_url: socket_timeout={given} ends a request before wait_timeout="
            f"{wait_timeout:g} is over, so that a slow replica would look like a server that is "
            "away: make it longer, or leave it out"
        )


def _check_served_by_a_cluster(config: MemoryConfig) -> None:
    """Refuse what needs all keys on one server."""
    name, reason = "db", "a cluster has database 0 alone"
    if config.search is True:
        name, reason = "search", "a query engine indexes the keys of one server"
    elif config.stm_config.db == config.im_config.db == 0:
        return
    raise ConfigError(f"{name} is not served on a cluster ({reason}): leave it out")


def file_beside(where: Deployment, purpose: str) -> Path | None:
    """A file that belongs to a memory on this machine.

    It lies beside long-term memory, where that is a SQLite file, else in the memory's folder.

    Args:
        where: Where the memory lives.
        purpose: What its name ends in.

    Returns:
        None where there is none: what it would outlast is in a process.
    """
    in_file, file = database_file(where.ltm_url)
    if where.engine == "fake" or (in_file and file is None):
        return None
    beside = where.path / "agent_memory.db" if where.engine == "embedded" or not file else file
    return beside.with_name(f"{beside.name}-{purpose}")


def database_file(ltm_url: str) -> tuple[bool, Path | None]:
    """Whether long-term memory is SQLite's, and its file; no file: it is in the process.

    Args:
        ltm_url: SQLAlchemy URL of long-term memory.
    """
    scheme, _, rest = ltm_url.partition("://")
    if not scheme.startswith("sqlite"):
        return False, None
    name, _, options = rest.removeprefix("/").partition("?")
    if not name or ":memory:" in name or "mode=memory" in options:
        return True, None
    return True, whole_path(_as_it_is(unquote(name.removeprefix("file:"))), "ltm_url")


def _redis_url(config: MemoryConfig, environ: Mapping[str, str]) -> str | None:
    if config.redis_url is not None:
        return config.redis_url
    if names_a_server(config.stm_config):
        return _url_of(config.stm_config)
    url = environ.get(REDIS_URL_VARIABLE) or None
    if url is not None:
        checked_redis_url(f"${REDIS_URL_VARIABLE}", url)
        if config.engine in ("auto", "redis"):
            databases = config.stm_config.db, config.im_config.db
            check_database(f"${REDIS_URL_VARIABLE}", url, databases)
    return url


def _url_of(part: RedisSTMConfig) -> str:
    return redis_url_of(part.host, part.port, part.password)


def _sqlite_url(engine: str, folder: Path, db_path: str) -> str:
    # What is fake leaves nothing behind, unless a file is named.
    if db_path == ":memory:" or (engine == "fake" and db_path == DEFAULT_DB_PATH):
        return "sqlite:///:memory:"
    # One that begins with ~ is absolute; any other lies in the folder.
    name = whole_path(db_path, "db_path") if db_path.startswith("~") else Path(db_path)
    return sqlite_url(folder / name)


def _as_it_is(name: str) -> str:
    """A name in which ``~`` is a letter, as in URLs."""
    return f"./{name}" if name.startswith("~") else name
