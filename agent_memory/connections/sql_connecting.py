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

from agent_memory.connections.sql import connections_held, not_forking, takings_in_use
from agent_memory.connections.sql_pool import InterruptiblePool
from agent_memory.errors import MemoryStoreError

_ORDINARY = (exc.SQLAlchemyError, MemoryStoreError)


@contextmanager
def connection_to(engine: Engine) -> Iterator[Connection]:
    """A connection for the block, and no fork meanwhile; what is not committed is undone.

    A thread has one at a time: what is read in the midst of a block is read on the block's own
    (``connection_within``).

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


@contextmanager
def connection_within(engine: Engine) -> Iterator[Connection]:
    """The connection that this thread has; one for the block where it has none.

    Reading may turn out to need more of the database, such as a version of the encoder whose
    vectors were found. On a connection of its own that would wait for one where all are in use by
    threads that wait for it, and for ever where the database is in memory.

    Args:
        engine: See ``connection_to``.
    """
    held = connections_held(engine).get(threading.get_ident())
    if held is None or held.closed or held.invalidated:
        with connection_to(engine) as connection:
            yield connection
        return
    is_begun = held.in_transaction()
    yield held
    if not is_begun:
        held.rollback()


def _connected(engine: Engine, pool: InterruptiblePool) -> Iterator[Connection]:
    in_use, held = takings_in_use(engine), connections_held(engine)
    me = threading.get_ident()
    held.pop(me, None)
    # Not of the connection, which SQLAlchemy calls closed also when closing it was interrupted.
    pool.give_up(in_use.pop(me, ()))
    before = pool.taken_here()
    taken: Sequence[object] = ()
    connection: Connection | None = None
    try:
        connection = engine.connect()
        taken = in_use[me] = pool.taken_here(but=before)
        held[me] = connection
        yield connection
        held.pop(me, None)
        _close(connection)
    except BaseException as error:
        if connection is not None and isinstance(error, _ORDINARY):
            connection.close()
        # Whatever is left by then.
        pool.give_up(taken or pool.taken_here(but=before))
        _raise_what_came_before(error)
        raise
    finally:
        if held.get(me) is connection:
            held.pop(me, None)
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
