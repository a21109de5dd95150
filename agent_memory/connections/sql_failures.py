"""Which failures of a transaction say that the same work may succeed when it is begun again."""

from __future__ import annotations

from sqlalchemy import Engine, ExceptionContext, event, exc

from agent_memory.errors import MemoryStoreError

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_SERIALIZATION_FAILURE = "40001"
_DEADLOCK = "40P01"
_READ_ONLY = "25006"


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


def _leave(context: ExceptionContext) -> None:
    if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
        context.is_disconnect = True


def _state(error: BaseException | None) -> str | None:
    """What PostgreSQL calls an error; None of another database's."""
    return getattr(error.orig, "sqlstate", None) if isinstance(error, exc.DBAPIError) else None
