"""Reads all rows of an agent at once, as the driver gives them.

SQLAlchemy takes 3 us to make a row of an entry's columns and to turn its values into those of
Python; of a million rows of which a few are looked at that is most of the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Dialect, bindparam, select, text

from agent_memory.models.ltm import LtmModels
from agent_memory.repositories.sql.statements import agent_ref_of, table_of

ID_BYTES = 16
"""How many bytes a memory id has in its column."""

_ROWS_AT_ONCE = 20_000


def raw_rows(
    connection: Connection,
    models: LtmModels,
    columns: tuple[str, ...],
    run_id: str,
    agent_id: str,
    condition: str | None = None,
) -> Iterator[list[Sequence[Any]]]:
    """The rows of an agent's entries, some thousand at a time.

    Args:
        connection: What to read on.
        models: The models of the tables.
        columns: The names of the table's columns.
        run_id: The run.
        agent_id: The agent.
        condition: Which of them, in SQL; None: all.

    Yields:
        Values in the order of the columns; bytes, numbers and None as they are stored, which in
        SQLite may be anything.
    """
    reference = connection.scalar(select(agent_ref_of(models, run_id, agent_id)))
    if reference is None:
        return
    statement, is_positional = _statement(models, connection.dialect, columns, condition)
    parameters: Any = (reference,) if is_positional else {"of_agent": reference}
    with connection.exec_driver_sql(statement, parameters) as found:
        while rows := found.fetchmany(_ROWS_AT_ONCE):
            yield [*rows]


@lru_cache(maxsize=64)
def _statement(
    models: LtmModels, dialect: Dialect, columns: tuple[str, ...], condition: str | None
) -> tuple[str, bool]:
    table = table_of(models.LtmEntry)
    asked = select(*(table.c[name] for name in columns)).where(
        table.c.agent_ref == bindparam("of_agent")
    )
    if condition is not None:
        asked = asked.where(text(condition))
    compiled = asked.compile(dialect=dialect)
    return compiled.string, bool(compiled.positional)


def names_of(ids: Sequence[Any]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The bytes of memory ids, of shape (n, 16), and which of them are such ids, of shape (n,)."""
    sound = np.ones(len(ids), bool)
    if set(map(type, ids)) != {bytes} or {*map(len, ids)} != {ID_BYTES}:
        of_length = [isinstance(one, bytes) and len(one) == ID_BYTES for one in ids]
        sound = np.array(of_length, bool)
        ids = [one if fits else bytes(ID_BYTES) for one, fits in zip(ids, of_length, strict=True)]
    return np.frombuffer(b"".join(ids), np.uint8).reshape(len(ids), ID_BYTES), sound


def numbers_of(values: Sequence[Any], kind: type[np.generic]) -> NDArray[Any]:
    """Numbers of a column as an array, of shape (n,).

    What is no number there is the least of its kind, or NaN.
    """
    try:
        return np.array(values, kind)
    except (TypeError, ValueError, OverflowError):
        lacking: Any = np.nan if issubclass(kind, np.floating) else np.iinfo(kind).min  # type: ignore[type-var]  # an integer
        numbers = np.full(len(values), lacking, kind)
        for place, value in enumerate(values):
            if isinstance(value, (int, float)) and np.isfinite(value):
                numbers[place] = value
        return numbers
