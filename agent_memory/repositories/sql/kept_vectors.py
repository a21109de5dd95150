"""The vectors of agents in long-term memory, kept in the process and checked on every use.

Reading a row takes some 2 us, comparing its vector a hundredth of that. So the vectors are kept
as matrices, beside what a query can ask for, and the mark of the database (``marks``) tells
whether anything was committed since; if so they are read again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from agent_memory.embeddings.ranking import as_unit, as_units, nearest, with_bias
from agent_memory.errors import EncodingError
from agent_memory.models.ltm import LtmModels
from agent_memory.models.ltm_columns import PINNED
from agent_memory.models.ltm_vectors import decode_vectors
from agent_memory.repositories.nearest import Probe
from agent_memory.repositories.sql.agent_rows import names_of, numbers_of, raw_rows
from agent_memory.repositories.sql.attribute_conditions import ColumnTests
from agent_memory.repositories.sql.indexed_vectors import (
    EF_SEARCH,
    Answer,
    IndexQuestion,
    usable_index,
)
from agent_memory.repositories.sql.marks import KnownMarks, Mark, mark_of
from agent_memory.repositories.sql.plans import asks_driver
from agent_memory.repositories.sql.vector_indexes import VectorIndex, index_of
from agent_memory.values.query import CATEGORIES, FLAGS, RANGES, Query
from agent_memory.values.recently_used import RecentlyUsed

MAX_BYTES = 256 * 1024**2
"""How many bytes of vectors a process keeps of long-term memory."""

_COLUMNS = (
    *("memory_id", "embedding", "embedding_coding", "encoder_version"),
    *("step_number", "timestamp", "importance_score", "type_ref"),
)
_KINDS: dict[str, type[np.generic]] = {
    "step_number": np.int64,
    "timestamp": np.float64,
    "importance_score": np.float64,
    "memory_type": np.int64,
}
_BARE = 2_000  # bytes that an agent without vectors takes
_UNKNOWN = np.iinfo(np.int64).min  # the reference of a type that no entry has
_NONE = -1  # the version of a vector that no encoder made, and the length of none
_AT_ONCE = 50_000  # rows that are brought to length 1 together


class KeptVectors(RecentlyUsed[tuple[str, str], "AgentVectors"]):
    """Keeps the vectors of the agents that were asked about last. Threads may share it.

    An agent's are to be used with their lock held.

    Args:
        models: The models of the tables.
        marks: The marks of what is kept.
        max_bytes: How many bytes of vectors to keep; those of one agent are kept at any rate.
    """

    def __init__(self, models: LtmModels, marks: KnownMarks, max_bytes: int = MAX_BYTES) -> None:
        super().__init__(lambda agent: AgentVectors(models, marks, *agent), max_bytes)


class AgentVectors:
    """The vectors of one agent's rows, as of the marks under which they are true.

    Args:
        models: The models of the tables.
        marks: The marks of what is kept.
        run_id: The run.
        agent_id: The agent.
    """

    def __init__(self, models: LtmModels, marks: KnownMarks, run_id: str, agent_id: str) -> None:
        self.lock = threading.Lock()
        self.size = _BARE
        self._models = models
        self._run_id = run_id
        self._agent_id = agent_id
        self._marks = marks.of((run_id, agent_id))
        self._groups: list[_Group] = []
        self._there: VectorIndex | None = None  # under the marks
        self._index: VectorIndex | None = None  # whose rows were not read
        self._types: dict[str, int] = {}

    def answer(
        self, connection: Connection, query: Query, probe: Probe, ef_search: int = EF_SEARCH
    ) -> Answer:
        """The nearest of each version and width, and all that do not compare, as of one moment.

        Args:
            connection: What to read on, outside of a transaction.
            query: Which entries.
            probe: What their vectors are compared with.
            ef_search: How many candidates an index keeps while it looks.

        Raises:
            EncodingError: A vector is damaged; names its entry.
        """
        index, is_short = usable_index(self._there, query, probe), False
        if index is not None:
            told = IndexQuestion(connection, self._models, index, query, probe, ef_search).at_once()
            if told is not None and told.answer is not None:
                if not told.has_rest:
                    return told.answer
                if self._is_true(told.mark, index, probe):
                    return self._with_rest(told.answer, query, probe)
            is_short = told is not None and told.answer is None
        elif asks_driver(connection) and self._is_true(mark_of(connection), None, probe):
            return self._with_rest(Answer({}, {}), query, probe)
        if connection.dialect.name == "postgresql":
            # Else what is encoded again between two statements would be in the answer of neither.
            connection.rollback()
            connection.execution_options(isolation_level="REPEATABLE READ").begin()
        index = self.refresh(connection, query, probe)
        found = Answer({}, {})
        if index is not None:
            asked = IndexQuestion(connection, self._models, index, query, probe, ef_search)
            found = asked.in_turn(is_short=is_short)
        return self._with_rest(found, query, probe)

    def question(
        self,
        connection: Connection,
        query: Query,
        probe: Probe,
        ef_search: int,
        attributes: ColumnTests,
    ) -> IndexQuestion | None:
        """A question to an index that has conditions on declared attributes; None without index.

        Args:
            connection: See ``answer``.
            query: See there.
            probe: See there.
            ef_search: See there.
            attributes: What the column of declared attributes tells of the query's conditions.
        """
        if self._there is None:
            self._there = index_of(connection, self._models, (self._run_id, self._agent_id))
            connection.rollback()
        index = usable_index(self._there, query, probe)
        if index is None:
            return None
        asked = connection, self._models, index, query, probe, ef_search
        return IndexQuestion(*asked, attributes)

    def _is_true(self, mark: Mark | None, index: VectorIndex | None, probe: Probe) -> bool:
        """Whether what is kept is all that a question needs beside an index."""
        # A probe may have to read for it, on another connection: last, and not for nothing.
        is_of_it = self._marks.hold(mark) and index == self._index
        return is_of_it and all(group.fits(probe) for group in self._groups)

    def _with_rest(self, answer: Answer, query: Query, probe: Probe) -> Answer:
        return answer._replace(cosines=self.nearest(query, probe) | answer.cosines)

    def refresh(self, connection: Connection, query: Query, probe: Probe) -> VectorIndex | None:
        """Read the rows again, if anything was committed since.

        Args:
            connection: What to read on.
            query: What is going to be asked.
            probe: What the vectors are going to be compared with.

        Returns:
            The index to ask for the rows that it holds, which are not read; None: all rows are.

        Raises:
            EncodingError: A vector is damaged; names its entry.
        """
        mark, owner = mark_of(connection), (self._run_id, self._agent_id)
        if not self._marks.hold(mark):
            self._there = index_of(connection, self._models, owner)
        index = usable_index(self._there, query, probe)
        if self._is_true(mark, index, probe):
            return index
        self._marks.clear()
        types = self._models.Type
        self._types = {row.name: row.id for row in connection.execute(select(types.name, types.id))}
        parts: dict[tuple[int, int], list[_Part]] = {}
        rest = None if index is None else index.condition_of_rest
        for rows in raw_rows(connection, self._models, _COLUMNS, *owner, rest):
            for part in _parts(rows):
                parts.setdefault((part.version, part.matrix.shape[1]), []).append(part)
        self._groups = [_Group(some) for some in parts.values()]
        self._index = index
        self._measure()
        self._marks.add(mark)
        return index

    def nearest(self, query: Query, probe: Probe) -> dict[str, float | None]:
        """The ids of the nearest of each version and width, and of all that do not compare.

        Returns:
            Cosines by memory id; see ``MemoryRepository.nearest``.
        """
        found: dict[str, float | None] = {}
        for group in self._groups:
            found |= group.nearest(query, probe, self._types)
        self._measure()
        return found

    def _measure(self) -> None:
        self.size = _BARE + sum(group.size for group in self._groups)


class _Part:
    """Some rows whose vectors have one version and width.

    Attributes:
        version: Of the encoder that made them; -1 for none.
        matrix: Their vectors, float32 of shape (n, dim).
        names: Their memory ids, of shape (n, 16).
        fields: What queries filter by, each of shape (n,).
    """

    def __init__(
        self,
        version: int,
        matrix: NDArray[np.float32],
        names: NDArray[np.uint8],
        fields: dict[str, NDArray[Any]],
    ) -> None:
        self.version = version
        self.matrix = matrix
        self.names = names
        self.fields = fields


def _parts(rows: Sequence[Sequence[Any]]) -> Iterator[_Part]:
    """Take rows apart by the version, coding and length of their vectors."""
    ids, vectors, codings, versions, *fields = zip(*rows, strict=True)
    names, sound = names_of(ids)
    coding = numbers_of(codings, np.int64)
    columns = {
        name: numbers_of(values, kind)
        for (name, kind), values in zip(_KINDS.items(), fields, strict=True)
    }
    columns["pinned"] = coding >= PINNED
    coding %= PINNED
    version = numbers_of([_NONE if one is None else one for one in versions], np.int64)
    length = np.array([_length(one, name) for one, name in zip(vectors, ids, strict=True)])
    kinds = np.stack([version, coding, length])[:, sound]
    for kind in np.unique(kinds, axis=1).T:
        chosen = sound & (version == kind[0]) & (coding == kind[1]) & (length == kind[2])
        places = np.flatnonzero(chosen)
        yield _Part(
            int(kind[0]),
            _decoded(int(kind[1]), int(kind[2]), vectors, places, ids),
            names[places],
            {name: values[places] for name, values in columns.items()},
        )


def _length(vector: object, memory_id: Any) -> int:
    """How many bytes a vector has; -1 without one."""
    if vector is None:
        return _NONE
    if not isinstance(vector, bytes):
        raise EncodingError(f"entry {_named(memory_id)}: the stored vector is damaged")
    return len(vector)


def _decoded(
    coding: int,
    length: int,
    vectors: Sequence[Any],
    places: NDArray[np.intp],
    ids: Sequence[Any],
) -> NDArray[np.float32]:
    if length == _NONE:
        return np.zeros((len(places), 0), np.float32)
    try:
        return decode_vectors(coding, [vectors[place] for place in places.tolist()])
    except (EncodingError, TypeError, ValueError) as error:
        raise EncodingError(f"entry {_named(ids[places[0]])}: {error}") from error


def _named(memory_id: object) -> str:
    return memory_id.hex() if isinstance(memory_id, bytes) else "whose id is damaged"


class _Group:
    """Vectors of one version and width, and what their entries can be asked by."""

    def __init__(self, parts: Sequence[_Part]) -> None:
        self._version = None if parts[0].version == _NONE else parts[0].version
        self._names = np.concatenate([part.names for part in parts])
        self._fields = {
            name: np.concatenate([part.fields[name] for part in parts]) for name in parts[0].fields
        }
        self._width = parts[0].matrix.shape[1]
        self._matrix = np.concatenate([part.matrix for part in parts])
        self._bias: float | None = None  # with which the matrix was brought to length 1

    @property
    def size(self) -> int:
        """How many bytes are kept."""
        fields = sum(values.nbytes for values in self._fields.values())
        return self._matrix.nbytes + self._names.nbytes + fields

    def fits(self, probe: Probe) -> bool:
        """Whether the vectors stand behind the bias of a probe, or behind none yet."""
        return self._bias in (None, probe.bias(self._version, self._width))

    def nearest(self, query: Query, probe: Probe, types: dict[str, int]) -> dict[str, float | None]:
        """The nearest by memory id with their cosines; all, if they do not compare."""
        asked = probe.at(self._version, self._width)
        if asked is not None and not len(asked):
            return {}
        among = self._answering(query, types)
        if asked is None:
            places = range(len(self._names)) if among is None else among.tolist()
            return dict.fromkeys(map(self._name, places))
        bias = probe.bias(self._version, self._width)
        unit = as_unit(with_bias(asked[None], bias)[0])
        ranked = nearest(self._units(bias), unit, _Names(self._names), query.limit, among)
        return {self._name(place): cosine for place, cosine in ranked}

    def _name(self, place: int) -> str:
        raw: bytes = self._names[place].tobytes()
        return raw.hex()

    def _units(self, bias: float) -> NDArray[np.float32]:
        """The vectors behind their bias, brought to length 1, of shape (n, dim) or (n, 1 + dim)."""
        if self._bias is None:
            parts = range(0, len(self._matrix), _AT_ONCE)
            behind = [with_bias(self._matrix[first : first + _AT_ONCE], bias) for first in parts]
            self._matrix, self._bias = np.concatenate([as_units(part) for part in behind]), bias
        return self._matrix

    def _answering(self, query: Query, types: dict[str, int]) -> NDArray[np.intp] | None:
        """The rows that answer a query; None for all."""
        chosen: NDArray[np.bool_] | None = None
        for meets in self._conditions(query, types):
            chosen = meets if chosen is None else chosen & meets
        return None if chosen is None or chosen.all() else np.flatnonzero(chosen)

    def _conditions(self, query: Query, types: dict[str, int]) -> Iterator[NDArray[np.bool_]]:
        for name, field in RANGES.items():
            bounds = getattr(query, name)
            if bounds is not None:
                values = self._fields[field]
                least, greatest = (_bound(bound, values.dtype) for bound in bounds)
                yield (values >= least) & (values <= greatest)
        for name in CATEGORIES:
            wanted = getattr(query, name)
            if wanted is not None:
                yield self._fields[name] == types.get(wanted.value, _UNKNOWN)
        for name in FLAGS:
            wanted = getattr(query, name)
            if wanted is not None:
                yield self._fields[name] == wanted


class _Names(Sequence[str]):
    """Memory ids by the places of rows, made into texts when they are asked for."""

    def __init__(self, names: NDArray[np.uint8]) -> None:
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, place: Any) -> Any:
        return self._names[place].tobytes().hex()


def _bound(bound: float, kind: np.dtype[Any]) -> float:
    """A bound that compares with the numbers of a column; none is beyond what the column holds."""
    if kind == np.int64 and isinstance(bound, int):
        return max(min(bound, 2**63 - 1), -(2**63))
    try:
        return float(bound)
    except OverflowError:
        return float("inf") if bound > 0 else float("-inf")
