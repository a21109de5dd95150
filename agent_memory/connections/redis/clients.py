"""Opens Redis clients: of a URL, of fakeredis, or like another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from agent_memory.connections.redis.commands import SafePacker
from agent_memory.connections.redis.reading import BoundedParser
from agent_memory.connections.redis.sentinels import (
    Place,
    PrimaryConnection,
    PrimaryTlsConnection,
    Sentinels,
    SentinelUrl,
    read_places,
)
from agent_memory.connections.redis.url_options import check_options
from agent_memory.errors import ConfigError
from agent_memory.values.urls import names_cluster, names_sentinels, without_password

REPLY_TIMEOUT = 30.0
"""How long an answer may take, in seconds."""
REDIS_PORT = 6379
"""The port of a server of a cluster that names none."""
CONNECT_TIMEOUT = 5.0
"""How long connecting may take, in seconds."""

RedisClient = redis.Redis

_abandoned: list[redis.Redis] = []


def open_redis(url: str, db: int = 0) -> redis.Redis:
    """Open a binary client for a server; nothing is sent yet.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://`` URL, or one that names Sentinels or
            servers of a cluster, of which this is one to the first; its own database, if any, wins.
        db: Database to use.

    Raises:
        ConfigError: The URL cannot be read, or has an option that a memory is not served with.
    """
    _check_place(url)
    check_options(url)
    if names_cluster(url):
        return _opened(_of_first(url), url, 0)
    return _open_primary(url, db) if names_sentinels(url) else _opened(url, url, db)


def cluster_places(url: str) -> tuple[Place, ...]:
    """Where the servers are that a URL of a cluster names.

    Raises:
        ConfigError: It cannot be read.
    """
    places = read_places(_hosts_of(url), REDIS_PORT)
    if places is None:
        raise ConfigError(
            f"redis_url: {without_password(url)!r} cannot be read; it must be like "
            "redis+cluster://user:password@host:6379,host:6379"
        )
    return places


def _hosts_of(url: str) -> str:
    return url.partition("://")[2].partition("?")[0].rpartition("@")[2].partition("/")[0]


def _of_first(url: str) -> str:
    """The URL of the first server that a URL of a cluster names, with all that holds for any."""
    scheme, _, rest = url.partition("://")
    place, mark, options = rest.partition("?")
    credentials, at, _ = place.rpartition("@")
    first = cluster_places(url)[0]
    return f"{scheme.partition('+')[0]}://{credentials}{at}{first}{mark}{options}"


def _open_primary(url: str, db: int) -> redis.Redis:
    found = SentinelUrl.read(url)
    pool: Any = _opened(found.server, url, db).connection_pool
    kind = PrimaryTlsConnection if url.startswith("rediss") else PrimaryConnection
    sentinels = Sentinels(found.places, found.name, found.options)
    return client_like(kind, {**pool.connection_kwargs, "sentinels": sentinels})


def _opened(url: str, given: str, db: int) -> redis.Redis:
    """A client of a server's URL, which messages show as it was given."""
    try:
        client: Any = redis.Redis.from_url(
            url,
            db=db,
            protocol=2,
            socket_timeout=REPLY_TIMEOUT,
            socket_connect_timeout=CONNECT_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
            parser_class=BoundedParser,
            **_driver(),
        )
        # Made and dropped: it tells of options that no connection knows.
        client.connection_pool.make_connection()
    except (ValueError, TypeError, redis.exceptions.RedisError):
        client = None
    if client is None:
        # Not chained, and not raised where the driver's error is at hand: that may quote the
        # password.
        raise ConfigError(
            f"redis_url: {without_password(given)!r} cannot be read; it must be like "
            "redis://user:password@host:6379/0, with special characters percent-encoded"
        )
    opened: redis.Redis = client
    return opened


@lru_cache(maxsize=1)
def _driver() -> dict[str, Any]:
    """What a connection tells the server of redis-py, looked up once.

    redis-py reads the metadata of its package for each connection that is made: 0.4 ms of 0.45.
    """
    try:
        from redis.driver_info import DriverInfo  # noqa: PLC0415  # older ones have none
    except ImportError:
        return {}
    return {"driver_info": DriverInfo()}


def _check_place(url: str) -> None:
    """Refuse a URL whose password ends its place: its beginning would pass for a name or a port."""
    place, _, options = url.partition("://")[2].partition("?")
    if not url.startswith("unix://") and (
        "@" in options or "@" in place.partition("/")[2] or "#" in url
    ):
        raise ConfigError(
            f"redis_url: {without_password(url)!r} has an '@' after its place, or a '#': special "
            "characters in user and password must be percent-encoded, '/' as %2F"
        )


def fake_server() -> Callable[[int], redis.Redis]:
    """Start a server of fakeredis in this process; gives what opens a client of a database.

    Raises:
        ConfigError: fakeredis is not installed.
    """
    try:
        import fakeredis  # noqa: PLC0415  # an extra, and only this engine needs it
    except ImportError as error:
        raise ConfigError(
            'engine "fake" needs fakeredis: pip install "agent-memory[fake]"'
        ) from error
    server = fakeredis.FakeServer()
    return lambda db: fakeredis.FakeRedis(server=server, db=db, protocol=2)


def client_like(kind: Any, options: Mapping[str, Any]) -> redis.Redis:
    """A client with a pool of its own, of connections of a class."""
    return redis.Redis(connection_pool=redis.ConnectionPool(connection_class=kind, **options))


def client_of_child(client: redis.Redis) -> redis.Redis:
    """The client for a forked child that its parent's is to be replaced by.

    redis-py's pool notices the fork, but asks the parent's lock, which another thread may have
    held. The old client is kept: it would ask that lock again when it is collected.
    """
    _abandoned.append(client)
    pool = client.connection_pool
    return client_like(pool.connection_class, pool.connection_kwargs)


def new_connection(client: redis.Redis, **options: Any) -> Any:
    """A connection to a client's server, which is not open yet and not one of its pool.

    Args:
        client: The client.
        options: What to take in place of the client's options.
    """
    pool = client.connection_pool
    return pool.connection_class(
        **{**pool.connection_kwargs, "command_packer": SafePacker(), **options}
    )


def connect(connection: Any) -> None:
    """Open a connection."""
    try:
        connection.connect()
    except AttributeError as error:
        # redis-py asks the connection for its port when that took too long, which one to a Unix
        # socket does not have (8.1.0).
        if isinstance(error.__context__, TimeoutError):
            raise redis.exceptions.TimeoutError("Timeout connecting to server") from error
        raise


def connected(client: redis.Redis) -> Any:
    """An open connection to a client's server."""
    connection = new_connection(client)
    try:
        connect(connection)
    except BaseException:
        # An exception that is not its own leaves it open in the middle of the handshake.
        connection.disconnect()
        raise
    return connection


def describe(url: str) -> str:
    """What to call a server in messages."""
    return f"the Redis server at {without_password(url)}"
