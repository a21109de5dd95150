"""The vectors of long-term memory: read for ranking, and replaced after an encoder was trained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, Row, bindparam, case, func, select, update

from agent_memory.errors import EncodingError
from agent_memory.models.ltm import LtmModels
from agent_memory.models.ltm_columns import PINNED
from agent_memory.models.ltm_rows import bounds_of_row, code_embedding
from agent_memory.models.ltm_vectors import decode_vector, decode_vectors
from agent_memory.repositories.nearest import Vectors
from agent_memory.repositories.sql.statements import IN_LIST, chunked, rows_with_code, table_of
from agent_memory.values.entry import MemoryEntry


class NewVector(NamedTuple):
    """A vector to store in a row, and the contents that were coded beside it.

    Attributes:
        row: The id of the row.
        entry: Its entry, with the new vector.
        contents: Its contents, coded; None leaves those that are stored.
    """

    row: int
    entry: MemoryEntry
    contents: bytes | None


def vectors_of(rows: Sequence[Row[Any]]) -> list[Vectors]:
    """Group the vectors of rows by encoder version and width.

    Args:
        rows: Of ``memory_id``, ``embedding``, ``embedding_coding`` and ``encoder_version``.

    Raises:
        EncodingError: A vector is damaged; names its entry.
    """
    by_coding: dict[tuple[int | None, int, int], list[Any]] = {}
    for row in rows:
        length = _length(row)
        by_coding.setdefault((row.encoder_version, row.embedding_coding, length), []).append(row)
    # Vectors of one version and width rank together, whatever their coding is.
    groups: dict[tuple[int | None, int], list[Vectors]] = {}
    for (version, _, _), group in by_coding.items():
        vectors = _decoded(version, group)
        groups.setdefault((version, vectors.matrix.shape[1]), []).append(vectors)
    return [_joined(parts) for parts in groups.values()]


def stored_vectors(
    connection: Connection, models: LtmModels, rows: Iterable[int]
) -> dict[int, dict[str, Any]]:
    """The vectors and encoder versions of rows, as fields of an entry, by the ids of the rows."""
    entry = models.LtmEntry
    coding = entry.embedding_coding.label("embedding_coding")
    asked = select(entry.id, entry.embedding, coding, entry.encoder_version)
    return {
        row.id: {
            "embedding": (
                None
                if row.embedding is None
                else decode_vector(row.embedding_coding, row.embedding)
            ),
            "encoder_version": row.encoder_version,
        }
        for chunk in chunked(rows, IN_LIST)
        for row in connection.execute(asked.where(entry.id.in_(chunk)))
    }


def rows_that_need_their_vector(
    connection: Connection, models: LtmModels, rows: Iterable[int]
) -> set[int]:
    """Those of some rows whose contents may have been coded beside their vectors."""
    return {
        row
        for chunk in chunked(rows, IN_LIST)
        for row in connection.scalars(rows_with_code(models, chunk))
    }


def replace_vectors(
    connection: Connection, models: LtmModels, changes: Sequence[NewVector]
) -> None:
    """Store vectors, and the contents that were coded beside them, in rows that have others."""
    table = table_of(models.LtmEntry)
    contents = bindparam("new_contents", type_=table.c.contents.type)
    bounds = bindparam("new_bounds", type_=table.c.error_bounds.type)
    pinned = case((table.c.embedding_coding >= PINNED, PINNED), else_=0)
    statement = (
        update(table)
        .where(table.c.id == bindparam("row"))
        .values(
            embedding=bindparam("vector"),
            embedding_coding=pinned + bindparam("coding"),
            encoder_version=bindparam("version"),
            contents=func.coalesce(contents, table.c.contents),
            # Bounds that stand beside exact contents stay.
            error_bounds=case((contents.is_(None), table.c.error_bounds), else_=bounds),
        )
    )
    if changes:
        connection.execute(statement, [_parameters(*change) for change in changes])


def _parameters(row: int, entry: MemoryEntry, contents: bytes | None) -> dict[str, Any]:
    coding, vector = code_embedding(entry)
    return {
        "row": row,
        "vector": vector,
        "coding": coding,
        "version": entry.encoder_version,
        "new_contents": contents,
        "new_bounds": None if contents is None else bounds_of_row(entry, contents),
    }


def _length(row: Any) -> int:
    """How many bytes the vector of a row has; -1 without one."""
    if row.embedding is None:
        return -1
    if not isinstance(row.embedding, bytes):
        raise EncodingError(f"entry {row.memory_id}: the stored vector is damaged")
    return len(row.embedding)


def _decoded(version: int | None, rows: Sequence[Any]) -> Vectors:
    """The vectors of rows that have one coding and length."""
    ids = [row.memory_id for row in rows]
    if rows[0].embedding is None:
        return Vectors(version, ids, np.zeros((len(ids), 0), np.float32))
    try:
        matrix = decode_vectors(rows[0].embedding_coding, [row.embedding for row in rows])
    except (EncodingError, TypeError, ValueError) as error:
        raise EncodingError(f"entry {ids[0]}: {error}") from error
    return Vectors(version, ids, matrix)


def _joined(parts: Sequence[Vectors]) -> Vectors:
    if len(parts) == 1:
        return parts[0]
    ids = [memory_id for part in parts for memory_id in part.memory_ids]
    return Vectors(parts[0].version, ids, np.concatenate([part.matrix for part in parts]))
