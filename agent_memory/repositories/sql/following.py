"""What has changed of an agent's entries in a SQL database, by comparing the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import nan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from agent_memory.errors import EncodingError
from agent_memory.models.ltm import LtmModels
from agent_memory.models.ltm_columns import PINNED
from agent_memory.repositories.following import FILTERED, Changes, Stored
from agent_memory.repositories.moves import Agent
from agent_memory.repositories.sql.agent_rows import names_of, numbers_of, raw_rows
from agent_memory.repositories.sql.marks import KnownMarks, Marks, mark_of

_COLUMNS = (
    *("id", "memory_id", "revision", "contents", "embedding", "embedding_coding"),
    *("step_number", "timestamp", "importance_score", "type_ref"),
)


ContentsOf = Callable[
    [Sequence[Any]],
    Sequence[tuple[Mapping[str, Any] | EncodingError, NDArray[np.float32] | None]],
]


class Row(NamedTuple):
    """A row of an agent's entries, as far as questions look at it."""

    id: int
    memory_id: str
    revision: int
    contents: Any
    embedding: Any
    embedding_coding: int
    step_number: int
    timestamp: float
    importance_score: float
    memory_type: str | None
    pinned: bool


class Seen:
    """What was seen of an agent's rows, and under which marks of the database.

    Attributes:
        marks: Where one of them holds, nothing has changed since.
        rows: The ids of the rows, ascending, of shape (n,).
        digests: What tells each from any other row, of shape (n,).
        names: Their memory ids, of shape (n, 16).
    """

    def __init__(
        self,
        marks: Marks,
        rows: NDArray[np.int64],
        digests: NDArray[np.int64],
        names: NDArray[np.uint8],
    ) -> None:
        self.marks = marks
        order = np.argsort(rows, kind="stable")
        self.rows, self.digests, self.names = rows[order], digests[order], names[order]

    def has(self, rows: NDArray[np.int64], digests: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of some rows were seen as they are, of shape (n,)."""
        if not len(self.rows):
            return np.zeros(len(rows), bool)
        places = np.searchsorted(self.rows, rows).clip(max=len(self.rows) - 1)
        known: NDArray[np.bool_] = np.logical_and(
            self.rows[places] == rows, self.digests[places] == digests
        )
        return known


def changes(
    connection: Connection,
    models: LtmModels,
    marks: KnownMarks,
    agent: Agent,
    contents_of: ContentsOf,
    seen: object,
) -> Changes:
    """What has changed since some rows were seen; see ``MemoryRepository.changes``.

    Args:
        connection: What to read on.
        models: The models of the tables.
        marks: The marks of what is kept.
        agent: The run and the agent.
        contents_of: Decodes the contents of rows, and gives the vectors that they were read with;
            in place of those that are damaged their errors.
        seen: What was seen.
    """
    before = seen if isinstance(seen, Seen) else Seen(marks.of(agent), *_NOTHING)
    mark = mark_of(connection)
    if before.marks.hold(mark):
        return Changes(before, False, [], [])
    types = {
        row.id: row.name for row in connection.execute(select(models.Type.id, models.Type.name))
    }
    parts = []
    stored: list[Stored] = []
    for rows in raw_rows(connection, models, _COLUMNS, *agent):
        part = _part(rows)
        is_known = before.has(part.rows, part.digests)
        new = [_row(rows[place], types) for place in np.flatnonzero(~is_known).tolist()]
        stored += _stored(new, contents_of)
        parts.append(part)
    joined = _Part(*map(np.concatenate, zip(*parts, strict=True))) if parts else _NOTHING
    now = Seen(marks.of(agent), *joined)
    gone = _gone(before, now)
    if not (stored or gone) and before is seen:
        before.marks.add(mark)
        return Changes(before, False, [], [])
    now.marks.add(mark)
    return Changes(now, before is not seen, stored, gone)


class _Part(NamedTuple):
    rows: NDArray[np.int64]
    digests: NDArray[np.int64]
    names: NDArray[np.uint8]


_NOTHING = _Part(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 16), np.uint8))


def _part(rows: Sequence[Any]) -> _Part:
    ids = numbers_of([row[0] for row in rows], np.int64)
    digests = np.fromiter((hash(tuple(row)) for row in rows), np.int64, len(rows))
    names, _ = names_of([row[1] for row in rows])
    return _Part(ids, digests, names)


def _row(values: Sequence[Any], types: Mapping[int, str]) -> Row:
    row, memory_id, revision, contents, vector, coding, step, timestamp, importance, kind = values
    coding = coding if isinstance(coding, int) else 0  # SQLite keeps a value of any type
    return Row(
        *(row, _name(memory_id), revision, contents, vector, coding % PINNED),
        *(_number(step), _number(timestamp), _number(importance)),
        *(types.get(kind), coding >= PINNED),
    )


def _number(value: Any) -> Any:
    """A number of a column; what is none there lies in no range."""
    return value if isinstance(value, (int, float)) else nan


def _name(memory_id: Any) -> str:
    return memory_id.hex() if isinstance(memory_id, bytes) else bytes(16).hex()


def _stored(rows: Sequence[Row], contents_of: ContentsOf) -> Iterator[Stored]:
    for row, (contents, vector) in zip(rows, contents_of(rows), strict=True):
        fields = {name: getattr(row, name) for name in FILTERED}
        read = None if isinstance(contents, EncodingError) else contents
        yield Stored(row.memory_id, row.revision, fields, read, vector)


def _gone(before: Seen, now: Seen) -> list[str]:
    """The ids of entries whose rows are not there any more, or hold another entry."""
    if not len(before.rows):
        return []
    there = np.zeros(len(before.rows), bool)
    if len(now.rows):
        places = np.searchsorted(now.rows, before.rows).clip(max=len(now.rows) - 1)
        there = (now.rows[places] == before.rows) & (now.names[places] == before.names).all(axis=1)
    lacking = np.flatnonzero(~there).tolist()
    return [before.names[place].tobytes().hex() for place in lacking]
