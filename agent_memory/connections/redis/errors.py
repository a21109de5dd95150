"""Translates what goes wrong with a Redis server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf

import redis

from agent_memory.errors import CommandRefused, StoreFull, StoreUnavailable, WritesRefused
from agent_memory.values.interruptions import raise_if_interrupted

# What a server says that would take no entry at all, and may take them later. redis-py cuts off
# the words it has classes for; older servers put a script's error into a sentence.
_NO_WRITES = re.compile(
    r"(^|[\s-])(OOM|MISCONF|READONLY|NOREPLICAS|CLUSTERDOWN|TRYAGAIN|BUSY|LOADING) "
)
_CLOSED = re.compile("reset|closed", re.IGNORECASE)  # as a port does that speaks TLS
_FULL = re.compile(r"(^|[\s-])OOM ")
_NO_WRITES_CLASSES = tuple(
    getattr(redis.exceptions, name)
    for name in ("OutOfMemoryError", "ReadOnlyError", "NoPermissionError", "MasterDownError",
                 "ClusterDownError", "TryAgainError")
)  # fmt: skip


_OF_CLUSTERS = tuple(
    getattr(redis.exceptions, name)
    for name in ("ClusterDownError", "ClusterCrossSlotError", "AskError", "MovedError")
)

NODE_OF_A_CLUSTER = (
    "is a node of a cluster, which holds a part of the keys alone: begin redis_url with "
    "redis+cluster:// or rediss+cluster://"
)
"""What to say of such a server, after its name."""


_SURELY = 0.9  # of a timeout: a socket does not give up before it, and clocks differ a little

LOSSES = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError)
"""What a request to a server that does not answer ends in."""


def raise_alarm(error: Exception, client: redis.Redis, took: float) -> None:
    """Raise what an alarm has raised where redis-py takes it for a silent server.

    A program may limit its own time by a handler, or from another thread, that raises
    ``TimeoutError``, which is what a socket raises after its timeout. One that comes sooner is the
    program's.

    Args:
        error: redis-py's.
        client: Whose timeouts hold.
        took: After how many seconds it was raised.
    """
    raise_if_interrupted(error)
    settings = client.get_connection_kwargs()
    limits = (settings.get("socket_timeout"), settings.get("socket_connect_timeout"))
    patience = min((limit for limit in limits if limit is not None), default=inf)
    alarm = error.__context__
    if isinstance(alarm, TimeoutError) and took < _SURELY * patience:
        raise alarm from None


# By what OpenSSL says, the first that fits.
_TLS_REMEDIES = (
    ("KEY_VALUES_MISMATCH", "the key of ssl_keyfile is not that of ssl_certfile: name its own"),
    ("NO_CERTIFICATE_OR_CRL_FOUND", "the file of ssl_ca_certs holds no certificate in PEM"),
    ("PEM lib", "the file of ssl_certfile or ssl_keyfile holds none in PEM"),
    ("mismatch", "its certificate is for another name: name it in redis_url as that does"),
    ("has expired", "its certificate has expired: renew it"),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "its certificate's authority is not trusted here: name its file, ?ssl_ca_certs=FILE",
    ),
    (
        "CERTIFICATE_REQUIRED",
        "it asks for a certificate: name yours, ?ssl_certfile=FILE&ssl_keyfile=FILE",
    ),
    ("SSL", "its port may speak no TLS: begin redis_url with redis:// then"),
)


def _tls_remedy(error: Exception, where: str) -> str | None:
    """What to do about a connection by TLS that could not be made; None: it is no matter of TLS."""
    said = str(error).replace(" ", "_").upper()
    if "SSL" in said or "CERTIFICATE" in said:
        return next(
            (what for mark, what in _TLS_REMEDIES if mark.replace(" ", "_").upper() in said), None
        )
    if _speaks_tls(where) and isinstance(error, redis.exceptions.TimeoutError):
        # A server without TLS waits for the end of what it takes for a command.
        return "its port speaks no TLS, or is silent: begin redis_url with redis://, or start it"
    return None


def _speaks_tls(where: str) -> bool:
    return "rediss://" in where or "rediss+" in where


@contextmanager
def translating_redis_errors(where: str) -> Iterator[None]:
    """Raise this package's errors for redis-py's, chained.

    Args:
        where: The server, as messages shall call it. No secrets.

    Raises:
        StoreUnavailable: The server does not answer, refuses, or is none.
    """
    try:
        yield
    except TimeoutError:
        raise  # redis-py has an error of its own: this is an alarm's, which a program has set
    except (redis.exceptions.RedisError, OSError) as error:
        raise_if_interrupted(error)
        raise translated(error, where) from error


def translated(error: Exception, where: str) -> StoreUnavailable:
    """This package's error for one of redis-py, or of the system beneath it.

    Args:
        error: What was raised.
        where: The server, as messages shall call it. No secrets.
    """
    if isinstance(error, redis.exceptions.AuthenticationError):
        return StoreUnavailable(
            f"{where} refuses the password ({error}); check redis_url or password"
        )
    if isinstance(error, LOSSES):
        if (remedy := _tls_remedy(error, where)) is not None:
            return StoreUnavailable(f"{where} cannot be reached by TLS ({error}); {remedy}")
        may_be_tls = not _speaks_tls(where) and _CLOSED.search(str(error))
        hint = ", or begin redis_url with rediss:// if its port speaks TLS" if may_be_tls else ""
        return StoreUnavailable(
            f"{where} does not answer ({error}); start it, or correct host and port or "
            f"redis_url{hint}; without them the embedded server is used"
        )
    if isinstance(error, redis.exceptions.ResponseError):
        if isinstance(error, redis.exceptions.OutOfMemoryError) or _FULL.search(str(error)):
            return StoreFull(
                f"{where} is full ({error}): maintain() moves down what is over its limits, and "
                "so makes room; raise maxmemory there, lower the limits of the tiers, or set "
                "redis_max_bytes below maxmemory"
            )
        takes_none = isinstance(error, _NO_WRITES_CLASSES) or _NO_WRITES.search(str(error))
        kind = WritesRefused if takes_none else CommandRefused
        # Said at opening, but not to users without the right to ask what the server is.
        is_hidden = isinstance(error, _OF_CLUSTERS) and "+cluster://" not in where
        hint = f"; it {NODE_OF_A_CLUSTER}" if is_hidden else ""
        if str(error) == "The cluster is down":
            hint = "; start the servers that held its slots, or see redis-cli --cluster check"
        return kind(f"{where} refuses: {error}{hint}")
    return StoreUnavailable(
        f"{where} does not answer as a Redis server does ({error}); correct host and "
        "port or redis_url"
    )


def no_redis(where: str, command: str) -> StoreUnavailable:
    """What to raise of an answer that no Redis server gives.

    Args:
        where: The server, as messages shall call it. No secrets.
        command: What it has answered.
    """
    return StoreUnavailable(
        f"{where} answers {command} as no Redis server does; correct host and port or redis_url, "
        "or see what is between here and the server"
    )
