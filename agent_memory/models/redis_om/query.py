"""How models of entries are asked for: Redis-OM's ``find``, with our spelling of values.

Redis-OM writes queries as text. Here ids are spelled as they are stored, and numbers and types
are checked, so that no value can end a clause or reach another agent; numbers that the engine
cannot tell apart are compared here; results are read as the repositories read them, each entry
once; and a query for the nearest vectors keeps that part when it is sorted or paged, which
Redis-OM 1.2 forgets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from redis_om import FindQuery, QueryNotSupportedError
from redis_om.model.model import Operators, PartialModel

from agent_memory.models.redis_om.backend import Backend
from agent_memory.models.redis_om.clauses import (
    MEMBERSHIP,
    NEGATED,
    attribute_clause,
    number_clause,
    several,
    tag_clause,
    with_double,
)
from agent_memory.models.redis_om.doubles import (
    ATTRIBUTE,
    Asked,
    as_indexed,
    holds,
    listed,
    undecided,
)
from agent_memory.models.redis_om.paging import FROM_OFFSET, Pages
from agent_memory.models.redis_search_schema import NUMBERS
from agent_memory.values.quoting import quoted

# Within the class ``dict`` is the method that Redis-OM calls.
Row = dict[str, Any]

MOST = 1_000_000
"""How many results the engine gives at most (its MAXSEARCHRESULTS)."""

_AT_ONCE = 1_000
"""How many entries are read in one go."""


class FoundEntry(Protocol):
    """What a query needs of an entry that it found.

    Attributes:
        pk: Its key within the model.
        contents: Its contents.
        distance: 1 - cosine to the vector that was asked for.
    """

    pk: Any
    contents: Any
    distance: float | None

    def model_dump(self) -> dict[str, Any]:
        """Its fields by name."""


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

    def from_redis(self, res: Sequence[Any]) -> list[Any]:
        """The entries of an answer of the engine."""

    def field_of_hash(self, name: str, stored: Mapping[bytes, bytes]) -> Any:
        """One field of a stored hash."""

    def delete_many(self, models: Sequence[Any]) -> int:
        """Delete entries; gives how many there were."""


class EntryQuery(FindQuery):
    """What ``StmEntry.find(...)`` gives: sort it, page it, read it, count it."""

    model: EntryModel

    def __init__(self, expressions: Sequence[Asked], *args: Any, **options: Any) -> None:
        # They are looked at more than once.
        super().__init__([listed(each) for each in expressions], *args, **options)

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

    def validate_projected_fields(self, projected_fields: Sequence[str]) -> Sequence[str]:
        """Give back fields to read.

        Raises:
            QueryNotSupportedError: The model has no such field.
        """
        for name in projected_fields:
            if name not in self.model.model_fields:
                raise QueryNotSupportedError(
                    f"{quoted(name)} is no field of an entry; what contents hold is read as "
                    '"contents"'
                )
        return projected_fields

    def count(self) -> int:
        """How many entries there are; none is read unless numbers must be compared here."""
        if self.knn is not None:
            return len(self.execute())
        if self._is_undecided():
            return len(self._compared_here())
        return int(self._search("LIMIT", 0, 0)[0])

    def page(self, offset: int = 0, limit: int = 10, *, after: Any = FROM_OFFSET) -> Any:
        """A page of what is found.

        Args:
            offset: Where it begins: beside a live run it shifts, as ``after`` does not.
            limit: How many entries it has, unless fewer are left.
            after: The last entry of the page before; None: the first page. Sorted by
                ``step_number``, ``importance_score`` or ``timestamp``, in either direction, and by
                key among equals: no entry that stays is skipped, and none is given twice.

        Raises:
            QueryNotSupportedError: ``after`` is given, and the query is sorted by something else.
        """
        if after is FROM_OFFSET:
            return super().page(offset, limit)
        return Pages(self).after(after, limit)

    def pages(self, size: int = _AT_ONCE) -> Iterator[list[Any]]:
        """All that is found, page by page; see ``page``."""
        return Pages(self).each(size)

    def found_keys(self) -> list[str]:
        """The keys of what is found, at one instant."""
        if self._is_undecided():
            return [self.model.make_key(one.pk) for one in self._compared_here()]
        return self._keys(self.query, 0, None)

    def entries_of(self, keys: Sequence[str]) -> list[FoundEntry]:
        """The entries of keys; what is gone meanwhile is left out."""
        return [one for some in self._batches([*keys]) for one in self._entries(some)]

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
        if return_raw_result or return_query_args:
            return super().execute(exhaust_results, return_raw_result, return_query_args)
        last = None if exhaust_results else self.offset + self.limit
        if self.knn is not None:
            # What is nearest is never more than was asked for.
            return self._shaped(self._nearest(), self.offset + self.limit)
        if self._is_undecided():
            return self._shaped(self._compared_here(), last)
        if not self.projected_fields:
            found = self._at_once(last)
            if found is not None:
                return found
        sorting = self.resolve_redisearch_sort_fields() or []
        keys = self._keys(self.query, self.offset, last, sorting)
        if self.projected_fields:
            return [row for some in self._batches(keys) for row in self._rows(some)]
        return self._whole([entry for some in self._batches(keys) for entry in self._entries(some)])

    # -- what the engine is asked -------------------------------------------------------------

    @property
    def asked(self) -> Asked:
        """What is asked, in one expression."""
        return super().expression

    @property
    def expression(self) -> Asked:
        """What the engine is asked: only entries that answer the query meet it."""
        return as_indexed(self.asked, sure=True)

    def _is_undecided(self) -> bool:
        """Whether numbers must be compared here, since the engine takes them for the same."""
        shared = undecided(self.asked)
        if not shared:
            return False
        # Before all else: what makes no sense is refused, not compared.
        self._resolve_redisearch_query(self.expression)
        text = "|".join(with_double(path, double) for path, double in sorted(shared))
        return int(self._search("LIMIT", 0, 0, text=text)[0]) > 0

    def _search(self, *options: Any, text: str | None = None) -> Any:
        backend = self.model.backend()
        return backend.execute_command(
            "FT.SEARCH", backend.alias, self.query if text is None else text, *options
        )

    # -- what it finds ------------------------------------------------------------------------

    def _at_once(self, last: int | None) -> list[Any] | None:
        """The entries in one answer, as they are when they are found; None if there are more."""
        size = self.page_size if last is None else last - self.offset
        sorting = self.resolve_redisearch_sort_fields() or []
        reply = self._search("LIMIT", self.offset, size, *sorting)
        if last is None and reply[0] > self.offset + size:
            return None
        return self._whole(self.model.from_redis(reply))

    def _keys(
        self, text: str, first: int, last: int | None, sorting: Sequence[str] = ()
    ) -> list[str]:
        """The keys of what is found: at one instant, so that none is skipped or given twice."""
        size = MOST if last is None else last - first
        total, *keys = self._search("LIMIT", first, size, *sorting, "NOCONTENT", text=text)
        if last is None and total > first + len(keys):
            raise QueryNotSupportedError(
                f"{total} entries answer, and the query engine gives {MOST} of them at most; ask "
                "for fewer, agent by agent or by a range of steps"
            )
        return [key.decode() for key in keys]

    def _batches(self, keys: list[str]) -> Iterable[list[str]]:
        size = min(self.page_size, _AT_ONCE)
        return (keys[first : first + size] for first in range(0, len(keys), size))

    def _entries(self, keys: list[str]) -> list[FoundEntry]:
        """Read entries; what is gone meanwhile is left out."""
        return [self.model.from_hash(each) for each in self.model.backend().hashes(keys) if each]

    def _whole(self, found: list[FoundEntry]) -> list[Any]:
        return [entry.model_dump() for entry in found] if self.return_as_dict else found

    def _rows(self, keys: list[str]) -> list[Any]:
        """Read fields of entries, each as it is stored: the engine would round numbers."""
        names, read = self.projected_fields, self.model.field_of_hash
        # Every entry has an id, and contents are read with the entry's step.
        asked = list(dict.fromkeys([*names, "memory_id", "step_number"]))
        rows, before = [], len(self.model.make_key(""))
        for key, stored in zip(keys, self.model.backend().fields(keys, asked), strict=True):
            if b"memory_id" in stored:
                named = {**stored, b"pk": key[before:].encode()}
                rows.append({name: read(name, named) for name in names})
        return rows if self.return_as_dict else [self._partial(row) for row in rows]

    def _compared_here(self) -> list[FoundEntry]:
        """The entries that answer, of those among which the engine cannot tell."""
        wide = self._resolve_redisearch_query(as_indexed(self.asked, sure=False))
        found = [
            entry
            for some in self._batches(self._keys(wide, 0, None))
            for entry in self._entries(some)
        ]
        return [entry for entry in found if holds(self.asked, entry)]

    def _nearest(self) -> list[FoundEntry]:
        compared = self._is_undecided()
        condition = self._resolve_redisearch_query(
            as_indexed(self.asked, sure=False) if compared else self.expression
        )
        vector = np.frombuffer(self.knn.reference_vector, "<f4")
        backend = self.model.backend()
        distances = dict(backend.nearest(condition, vector, MOST if compared else self.knn.k))
        found = []
        for some in self._batches(list(distances)):
            for key, stored in zip(some, backend.hashes(some), strict=True):
                if stored:
                    entry = self.model.from_hash(stored)
                    entry.distance = distances[key]
                    found.append(entry)
        if compared:
            found = [entry for entry in found if holds(self.asked, entry)]
        return found[: self.knn.k]

    def _shaped(self, found: list[FoundEntry], last: int | None) -> list[Any]:
        """Entries sorted, up to the last one that is wanted, as what was asked for."""
        # From the last field on, since sorting keeps the order of what is equal.
        for field in reversed(self.sort_fields):
            name = "distance" if self._is_score(field) else field.lstrip("-")
            # The engine puts what has no such number last, in either direction.
            lacking = [entry for entry in found if getattr(entry, name) is None]
            found = [entry for entry in found if getattr(entry, name) is not None]
            found.sort(key=lambda entry: getattr(entry, name), reverse=field.startswith("-"))
            found += lacking
        found = found[self.offset : last]
        if not (self.projected_fields or self.return_as_dict):
            return found
        names = self.projected_fields or list(self.model.model_fields)
        rows = [{name: getattr(entry, name) for name in names} for entry in found]
        return rows if self.return_as_dict else [self._partial(row) for row in rows]

    def _is_score(self, field: str) -> bool:
        return self.knn is not None and field.lstrip("-") == self.knn.score_field_name

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
        values = list(several(field_name, value)) if op in MEMBERSHIP else [value]
        if field_name.startswith(ATTRIBUTE):
            clause = attribute_clause(field_name.removeprefix(ATTRIBUTE), op, values)
        elif field_name in NUMBERS:
            clause = number_clause(field_name, op, values)
        else:
            clause = tag_clause(field_name, op, values)
        return f"-({clause})" if op in NEGATED else clause
