"""Which options the URL of a database may carry: those that long-term memory is served with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import URL, Dialect

from agent_memory.errors import ConfigError
from agent_memory.values.urls import without_password


def _is_duration(value: str) -> bool:
    try:
        return 0.0 <= float(value) < 1e6
    except ValueError:
        return False


_OF_SQLITE: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "timeout": (_is_duration, "seconds"),
    "cached_statements": (str.isdecimal, "a whole number"),
    "uri": (("true", "True", "1").__contains__, "true"),
    "mode": (("ro", "rw", "rwc", "memory").__contains__, "ro, rw, rwc or memory"),
    "cache": (("private", "shared").__contains__, "private or shared"),
}

PREPARE_THRESHOLD = "prepare_threshold"

# Of a connection of psycopg, but not of libpq: what would change how rows are read and committed.
_OF_LIBPQ_REFUSED = {"client_encoding", "replication"}


def check_sqlite(url: URL, *, in_memory: bool, read_only: bool) -> None:
    """See that long-term memory is served with every option of a SQLite database's URL.

    Raises:
        ConfigError: With one it is not; the message names it.
    """
    if url.get_driver_name() != "pysqlite":
        raise ConfigError(
            f"ltm_url: the driver {url.get_driver_name()} in {_shown(url)!r} is not supported; "
            "begin it with sqlite:///"
        )
    is_uri = (url.database or "").startswith("file:")
    for name, value in url.query.items():
        if name not in _OF_SQLITE:
            known = ", ".join(sorted(_OF_SQLITE))
            raise _refusal(url, name, f"is not supported; these are: {known}")
        if not isinstance(value, str):
            raise _refusal(url, name, "stands there twice: give it once")
        if name in ("uri", "mode", "cache") and not is_uri:
            raise _refusal(url, name, "needs a database that begins with file:")
        is_sound, needed = _OF_SQLITE[name]
        if not is_sound(value):
            raise _refusal(url, name, f"needs another value: {needed}")
    if url.query.get("mode") == "ro" and not read_only:
        raise _refusal(url, "mode", "says that nothing is written: open with read_only=True")
    if url.query.get("cache") == "shared" and not in_memory:
        raise _refusal(url, "cache", "is not supported for a file: its locks are not waited for")


def check_server(url: URL, dialect: type[Dialect]) -> None:
    """See that long-term memory is served by a driver, and with every option of its URL.

    Raises:
        ConfigError: It is not; the message names the driver or the option.
    """
    if dialect.is_async:
        raise ConfigError(
            f"ltm_url: the driver {url.get_driver_name()} in {_shown(url)!r} is asynchronous; "
            "name another, such as postgresql+psycopg"
        )
    if url.get_driver_name() != "psycopg":
        return
    known = _libpq_options(dialect)
    for name, value in url.query.items():
        if name == PREPARE_THRESHOLD:
            if value != "none" and not (isinstance(value, str) and value.isdecimal()):
                raise _refusal(url, name, "needs another value: a whole number, or none")
        elif name not in known:
            raise _refusal(url, name, "is no option of libpq that a memory is served with")
        if not isinstance(value, str) and name not in ("host", "port"):
            raise _refusal(url, name, "stands there twice: give it once")
        if name in ("user", "password", "dbname") and getattr(url, _PARTS[name]):
            raise _refusal(url, name, "stands there twice: give it once")


def driver_arguments(url: URL) -> tuple[URL, dict[str, Any]]:
    """What the driver of a server takes beside its URL, and the URL without that.

    psycopg would decode no texts at all on a database without an encoding (``SQL_ASCII``), or as
    the environment says. After so many times (``prepare_threshold``) it prepares a statement, which
    the connections of some poolers do not keep.

    Args:
        url: One that ``check_server`` has seen.
    """
    if url.get_driver_name() != "psycopg":
        return url, {}
    arguments: dict[str, Any] = {"client_encoding": "utf8"}
    threshold = url.query.get(PREPARE_THRESHOLD)
    if threshold is not None:
        arguments[PREPARE_THRESHOLD] = None if threshold == "none" else int(str(threshold))
    return url.difference_update_query([PREPARE_THRESHOLD]), arguments


_PARTS: Mapping[str, str] = {"user": "username", "password": "password", "dbname": "database"}


def _libpq_options(dialect: type[Dialect]) -> set[str]:
    driver: Any = dialect.import_dbapi()
    defaults = driver.pq.Conninfo.get_defaults()
    return {option.keyword.decode() for option in defaults} - _OF_LIBPQ_REFUSED


def _refusal(url: URL, name: str, complaint: str) -> ConfigError:
    return ConfigError(f"ltm_url: {name:.40} in {_shown(url)!r} {complaint}")


def _shown(url: URL) -> str:
    return without_password(url.render_as_string(hide_password=True))
