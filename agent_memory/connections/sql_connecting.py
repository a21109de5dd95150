"""Connections to a SQL database for a block, ended with it whatever interrupts it.

An exception that a signal's handler raises can come between any two steps, also while the block
is being left: then nobody is left who would end the connection, for as long as the exception and
its traceback are kept, as notebooks do. So a thread that connects again first ends what it had.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, exc

from agent_memory.connections.sql import not_forking, takings_in_use
from agent_memory.connections.sql_pool import InterruptiblePool
from agent_memory.errors import MemoryStoreError

_ORDINARY = (exc.SQLAlchemyError, MemoryStoreError)


@contextmanager
def connection_to(engine: Engine) -> Iterator[Connection]:
    """A connection for the block, and no fork meanwhile; what is not committed is undone.

    A thread has one at a time.

    Args:
        engine: From ``connections.sql.open_engine``.
    """
    with not_forking(engine):
        pool = engine.pool
        if not isinstance(pool, InterruptiblePool):
            with engine.connect() as connection:
                yield connection
            return
        yield from _connected(engine, pool)


def _connected(engine: Engine, pool: InterruptiblePool) -> Iterator[Connection]:
    in_use = takings_in_use(engine)
    me = threading.get_ident()
    # Not of the connection, which SQLAlchemy calls closed also when closing it was interrupted.
    pool.give_up(in_use.pop(me, ()))
    before = pool.taken_here()
    taken: Sequence[object] = ()
    connection: Connection | None = None
    try:
        connection = engine.connect()
        taken = in_use[me] = pool.taken_here(but=before)
        yield connection
        _close(connection)
    except BaseException as error:
        if connection is not None and isinstance(error, _ORDINARY):
            connection.close()
        # Whatever is left by then.
        pool.give_up(taken or pool.taken_here(but=before))
        _raise_what_came_before(error)
        raise
    finally:
        if in_use.get(me) is taken:
            in_use.pop(me, None)


def _close(connection: Connection) -> None:
    try:
        connection.close()
    except AssertionError as error:
        _raise_what_came_before(error)
        raise


def _raise_what_came_before(error: BaseException) -> None:
    """Raise what interrupted a connection and left a state that SQLAlchemy asserts to be none."""
    if isinstance(error, AssertionError) and error.__context__ is not None:
        raise error.__context__ from None
