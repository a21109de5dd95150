"""Looks whether a connection to PostgreSQL is still there before it is used.

SQLAlchemy would ask the server each time, which takes as long as the question that comes. A server
that ends a connection says so, and what it says can be seen here without asking. What ends without
a word (the server's machine is gone, a firewall has forgotten the line) is found by asking, after
a pause.
"""

from __future__ import annotations

import select
import time
from functools import partial
from typing import Any

from sqlalchemy import Dialect, Engine, event, exc

TRUSTED = 1.0
"""For how long after its last use a connection is looked at and not asked, in seconds."""

_USED = "agent_memory_used"


def look_before_use(engine: Engine) -> None:
    """Have an engine use no connection that was ended meanwhile.

    Args:
        engine: Of psycopg, whose pool does not ask by itself.
    """
    event.listen(engine, "checkin", _note)
    event.listen(engine, "checkout", partial(_look, engine.dialect))


def _note(_connection: Any, record: Any) -> None:
    record.info[_USED] = time.monotonic()


def _look(dialect: Dialect, connection: Any, record: Any, _taken: object) -> None:
    used = record.info.pop(_USED, None)
    if used is None:
        return  # it has just connected
    if time.monotonic() - used < TRUSTED and not _has_news(connection):
        return
    errors: Any = dialect.loaded_dbapi.Error
    try:
        dialect.do_ping(connection)
    except errors as error:
        if dialect.is_disconnect(error, connection, None):
            raise exc.InvalidatePoolError from error
        raise


def _has_news(connection: Any) -> bool:
    """Whether the server has said anything that was not asked for, such as that it ends."""
    if connection.closed or not hasattr(select, "poll"):  # Windows has none
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
