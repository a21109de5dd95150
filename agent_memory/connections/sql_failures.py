"""Which failures of a transaction say that the same work may succeed when it is begun again."""

from __future__ import annotations

from sqlalchemy import Dialect, Engine, ExceptionContext, event, exc

from agent_memory.errors import ConfigError, MemoryStoreError, WritesRefused

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_SERIALIZATION_FAILURE = "40001"
_DEADLOCK = "40P01"
_READ_ONLY = "25006"

OLDEST_POSTGRESQL = (14,)
"""The oldest version that is served. ``pg_current_snapshot`` came with 13."""


def was_interfered(failure: MemoryStoreError) -> bool:
    """Whether another transaction came in between, so that nothing of this one is left.

    Two writers added the same key or name (PostgreSQL), a name that was known here has been
    deleted by someone else, or the database chose this one to let another one pass.
    """
    cause = failure.__cause__
    if isinstance(cause, exc.IntegrityError):
        return True
    return _state(cause) in (_SERIALIZATION_FAILURE, _DEADLOCK)


def was_cut_off(failure: MemoryStoreError) -> bool:
    """Whether the connection was lost, or is to a server that takes no writes any more.

    Another connection may lead to one that does. What was not committed by then is undone; of what
    was being committed nobody knows.
    """
    cause = failure.__cause__
    return isinstance(cause, exc.DBAPIError) and cause.connection_invalidated


def leave_standbys(engine: Engine) -> None:
    """Have an engine connect again after a write that a standby refused, and to whichever serves.

    A URL may name several servers (``host=a&host=b&target_session_attrs=read-write``), of which the
    driver finds the one that takes writes when it connects.
    """
    event.listen(engine, "handle_error", _leave)


def check_takes_writes(engine: Engine, where: str) -> None:
    """See that a database takes writes, which that of a standby does not.

    Args:
        engine: Its engine.
        where: The database, as messages shall call it. No secrets.

    Raises:
        sqlalchemy.exc.DBAPIError: It does not answer.
        WritesRefused: It takes none.
    """
    if engine.dialect.name != "postgresql":
        return
    with engine.connect() as connection:
        takes_none = connection.exec_driver_sql(
            "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on'"
        ).scalar()
    if takes_none:
        raise WritesRefused(
            f"{where} takes no writes (it is a standby, or its operator has set it so): name the "
            "server that does in the URL, or all of them "
            "(?host=a&host=b&target_session_attrs=read-write), or open the memory read-only"
        )


def check_version(dialect: Dialect, where: str) -> None:
    """See that a server is none that is too old.

    Args:
        dialect: Of an engine that has connected.
        where: The database, as messages shall call it. No secrets.

    Raises:
        ConfigError: It is.
    """
    version = getattr(dialect, "server_version_info", None)
    if dialect.name == "postgresql" and version is not None and version < OLDEST_POSTGRESQL:
        least = ".".join(map(str, OLDEST_POSTGRESQL))
        raise ConfigError(
            f"{where} is on PostgreSQL {'.'.join(map(str, version))}, which is too old: {least} or "
            "newer is needed (older ones lack functions that are used, or were never tried); "
            "upgrade the server, or name another in the URL"
        )


def _leave(context: ExceptionContext) -> None:
    if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
        context.is_disconnect = True


def _state(error: BaseException | None) -> str | None:
    """What PostgreSQL calls an error; None of another database's."""
    return getattr(error.orig, "sqlstate", None) if isinstance(error, exc.DBAPIError) else None
