"""How models of entries are asked for: Redis-OM's ``find``, with our spelling of values.

Redis-OM writes queries as text. Here ids are spelled as they are stored, and numbers and types
are checked, so that no value can end a clause or reach another agent; results are read as the
repositories read them; and a query for the nearest vectors keeps that part when it is sorted or
paged, which Redis-OM 1.2 forgets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from redis_om import FindQuery, QueryNotSupportedError
from redis_om.model.model import Operators, PartialModel

from agent_memory.errors import InvalidEntry
from agent_memory.models.redis_attributes import engine_names, spelled_value
from agent_memory.models.redis_om.backend import Backend
from agent_memory.models.redis_search_schema import NO_TAG, NUMBERS, TAGS, id_tag, number, type_tag
from agent_memory.values.attributes import is_scalar, plain
from agent_memory.values.coded import is_coded
from agent_memory.values.quoting import quoted

# Within the class ``dict`` is the method that Redis-OM calls.
Row = dict[str, Any]

ATTRIBUTE = "attribute:"
"""What the name of a declared attribute begins with."""

_NEGATED = (Operators.NE, Operators.NOT_IN)
_MEMBERSHIP = (Operators.IN, Operators.NOT_IN)
_EQUALITY = (Operators.EQ, *_NEGATED, Operators.IN)
_RANGES = {
    Operators.GT: "[({0} +inf]",
    Operators.GE: "[{0} +inf]",
    Operators.LT: "[-inf ({0}]",
    Operators.LE: "[-inf {0}]",
}


class FoundEntry(Protocol):
    """What a query needs of an entry that it found.

    Attributes:
        distance: 1 - cosine to the vector that was asked for.
    """

    distance: float | None


class EntryModel(Protocol):
    """What a query needs of the model whose entries it finds; see ``RedisEntry``.

    Attributes:
        model_fields: The model's fields by name.
    """

    model_fields: Mapping[str, Any]

    def backend(self) -> Backend:
        """What the model is bound to."""

    def make_key(self, part: str) -> str:
        """The Redis key of the hash with this ``pk``."""

    def from_hash(self, stored: Mapping[bytes, bytes]) -> FoundEntry:
        """The entry of a stored hash."""

    def field_of_hash(self, name: str, stored: Mapping[bytes, bytes]) -> Any:
        """One field of a stored hash."""

    def delete_many(self, models: Sequence[Any]) -> int:
        """Delete entries; gives how many there were."""


class EntryQuery(FindQuery):
    """What ``StmEntry.find(...)`` gives: sort it, page it, read it, count it."""

    model: EntryModel

    def dict(self) -> Row:
        """All that makes this query."""
        known: Row = super().dict()
        return known | {"knn": self.knn}

    def copy(self, **changes: Any) -> EntryQuery:
        """The same query, changed."""
        return EntryQuery(**(self.dict() | changes))

    def sort_by(self, *fields: str) -> EntryQuery:
        """Sort by a field, descending with a ``-`` before its name.

        Raises:
            QueryNotSupportedError: More than one field, or one that cannot be sorted by.
        """
        if len(fields) > 1 and self.knn is None:
            raise QueryNotSupportedError(
                f"sort_by: the query engine sorts by one field, not by {', '.join(fields)}"
            )
        query: EntryQuery = super().sort_by(*fields)
        return query

    def count(self) -> int:
        """How many entries there are, without reading them."""
        if self.knn is not None:
            return len(self.execute())
        backend = self.model.backend()
        return int(
            backend.execute_command("FT.SEARCH", backend.alias, self.query, "LIMIT", 0, 0)[0]
        )

    def get_item(self, item: int) -> Any:
        """The result at that place, from 0.

        Raises:
            IndexError: There are fewer.
        """
        found = self.copy(offset=self.offset + item, limit=1).execute(exhaust_results=False)
        if item < 0 or not found:
            raise IndexError(f"the query has no result {item}")
        return found[0]

    __getitem__ = get_item

    def delete(self) -> int:
        """Delete what is found, through the repository; gives how many there were."""
        return self.model.delete_many(self.all())

    def update(self, use_transaction: bool = True, **values: Any) -> None:  # noqa: ARG002  # Redis-OM's signature
        """Change fields of what is found, each entry by a write of its own.

        Raises:
            EntryConflict: One was changed by someone else meanwhile; those before it are done.
        """
        for entry in self.all():
            entry.update(**values)

    def execute(
        self,
        exhaust_results: bool = True,
        return_raw_result: bool = False,
        return_query_args: bool = False,
    ) -> Any:
        """Run the query; ``all``, ``page`` and ``first`` are what to call."""
        if self.knn is None or return_query_args:
            return super().execute(exhaust_results, return_raw_result, return_query_args)
        return self._shaped(self._nearest())

    # -- nearest vectors ----------------------------------------------------------------------

    def _nearest(self) -> list[FoundEntry]:
        condition = self._resolve_redisearch_query(self.expression)
        vector = np.frombuffer(self.knn.reference_vector, "<f4")
        backend = self.model.backend()
        distances = dict(backend.nearest(condition, vector, self.knn.k))
        found = []
        for key, stored in zip(distances, backend.hashes(list(distances)), strict=True):
            if stored:
                entry = self.model.from_hash(stored)
                entry.distance = distances[key]
                found.append(entry)
        return found

    def _shaped(self, found: list[FoundEntry]) -> list[Any]:
        # From the last field on, since sorting keeps the order of what is equal.
        for field in reversed(self.sort_fields):
            name = "distance" if self._is_score(field) else field.lstrip("-")
            found.sort(key=lambda entry: getattr(entry, name), reverse=field.startswith("-"))
        found = found[self.offset : self.offset + self.limit]
        if not (self.projected_fields or self.return_as_dict):
            return found
        names = self.projected_fields or list(self.model.model_fields)
        rows = [{name: getattr(entry, name) for name in names} for entry in found]
        return rows if self.return_as_dict else [self._partial(row) for row in rows]

    def _is_score(self, field: str) -> bool:
        return bool(field.lstrip("-") == self.knn.score_field_name)

    def _partial(self, row: Row) -> Any:
        return PartialModel(self.model, row, set(self.projected_fields))

    # -- values in, values out ----------------------------------------------------------------

    @classmethod
    def resolve_value(
        cls,
        field_name: str,
        field_type: Any,
        field_info: Any,
        op: Operators,
        value: Any,
        parents: Any,
        model_class: Any = None,
    ) -> str:
        """Write a comparison in the engine's language."""
        del field_type, field_info, parents, model_class  # the name says it all
        values = list(_several(field_name, value)) if op in _MEMBERSHIP else [value]
        if field_name.startswith(ATTRIBUTE):
            clause = _attribute_clause(field_name.removeprefix(ATTRIBUTE), op, values)
        elif field_name in NUMBERS:
            clause = _number_clause(field_name, op, values)
        else:
            clause = _tag_clause(field_name, op, values)
        return f"-({clause})" if op in _NEGATED else clause

    def _parse_projected_results(self, res: Sequence[Any]) -> list[Row]:
        read, before = self.model.field_of_hash, len(self.model.make_key(""))
        rows = []
        for key, fields in zip(res[1::2], res[2::2], strict=True):
            stored = dict(zip(fields[::2], fields[1::2], strict=True)) | {b"pk": key[before:]}
            if is_coded(stored.get(b"contents", b"")):
                # They are read with the entry's step, which was not asked for.
                [whole] = self.model.backend().hashes([key.decode()])
                stored = whole | stored
            rows.append({name: read(name, stored) for name in self.projected_fields})
        return rows


def _attribute_clause(path: str, op: Operators, values: Sequence[Any]) -> str:
    """A comparison of a declared attribute, whose numbers and other values are fields apart."""
    numbers, others = engine_names(path)
    plain_values = [plain(value) for value in values]
    if op in _RANGES:
        return _number_clause(numbers, op, plain_values)
    _refuse_unless(op in _EQUALITY, path, "==, !=, <, <=, >, >=, << and >>")
    clauses = []
    for value in plain_values:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            clauses.append(_number_clause(numbers, Operators.EQ, [value]))
        elif is_scalar(value):
            clauses.append(f"(@{others}:{{{spelled_value(value)}}})")
        else:
            raise InvalidEntry(f"{path}: compare it with a scalar, not {quoted(value)}")
    return f"({'|'.join(clauses)})" if clauses else f"@{numbers}:[inf -inf]"


def _number_clause(name: str, op: Operators, values: Sequence[Any]) -> str:
    numbers = [number(name, value) for value in values]
    if op in _RANGES:
        return f"@{name}:{_RANGES[op].format(*numbers)}"
    _refuse_unless(op in _EQUALITY, name, "==, !=, <, <=, >, >=, << and >>")
    ranges = [f"(@{name}:[{each} {each}])" for each in numbers]
    return f"({'|'.join(ranges)})" if ranges else f"@{name}:[inf -inf]"


def _tag_clause(name: str, op: Operators, values: Sequence[Any]) -> str:
    # Of beginnings of ids the engine looks at 200 and leaves out the others, without a word.
    _refuse_unless(op in _EQUALITY, name, "==, !=, << and >>")
    _refuse_unless(name in TAGS, name, "nothing, for it is not indexed")
    spell: Callable[[Any], str] = type_tag
    if name != "memory_type":

        def spell(value: Any) -> str:
            return id_tag(name, value)

    return f"@{name}:{{{'|'.join(map(spell, values)) or NO_TAG}}}"


def _several(name: str, values: Any) -> Iterable[Any]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise QueryNotSupportedError(
            f"{name}: << and >> take a list of values, not {quoted(values)}"
        )
    return values


def _refuse_unless(allowed: bool, name: str, comparisons: str) -> None:
    if not allowed:
        raise QueryNotSupportedError(f"{name} can be compared with {comparisons}")
