"""Pages of what a query finds, exact beside those who store, move and forget.

A page that is asked for by its place shifts whenever an entry comes or goes before it. These begin
behind the last entry that was given: by the number that they are sorted by, and by the key among
entries of one number. So no entry that stays is skipped, and none is given twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from redis_om import QueryNotSupportedError

from agent_memory.values.checks import checked_count

SORTABLE = ("timestamp", "step_number", "importance_score")
"""The numbers that every entry has."""


FROM_OFFSET: Any = object()
"""Stands for no entry to begin after."""


class Pageable(Protocol):
    """What paging needs of a query; see ``EntryQuery``."""

    model: Any
    knn: Any
    sort_fields: Sequence[str]
    projected_fields: Sequence[str]
    return_as_dict: bool
    expressions: Sequence[Any]

    def copy(self, **changes: Any) -> Any:
        """The same query, changed."""


class Pages:
    """Pages of what a query finds.

    Args:
        query: The query. Without a field to sort by it is sorted by ``timestamp``.

    Raises:
        QueryNotSupportedError: It is sorted by something else than a number that all have.
    """

    def __init__(self, query: Pageable) -> None:
        field = query.sort_fields[0] if query.sort_fields else "timestamp"
        self._name, self._descends = field.lstrip("-"), field.startswith("-")
        if query.knn is not None or self._name not in SORTABLE:
            raise QueryNotSupportedError(
                f"pages: sort by one of {', '.join(SORTABLE)}, and not by nearness"
            )
        if query.projected_fields or query.return_as_dict:
            raise QueryNotSupportedError("pages: they are of whole entries; read their fields")
        self._query = query.copy(sort_fields=[field])

    def after(self, entry: Any, size: int) -> list[Any]:
        """The page behind an entry; None: the first page.

        Args:
            entry: The last entry of the page before.
            size: How many entries it has, unless fewer are left.

        Raises:
            InvalidEntry: ``size`` is not a number of at least 1.
        """
        size, found, rest = checked_count("size", size), list[Any](), self._query
        if entry is not None:
            number = self._number(entry)
            found = self._tied(number, size, self._key(entry))
            rest = self._beyond(number)
        while len(found) < size:
            more = rest.page(0, size - len(found))
            if not more:
                break
            # All of each number but the last, of which there may be more.
            last = self._number(more[-1])
            whole = sorted((one for one in more if self._number(one) != last), key=self._key)
            found += sorted(whole, key=self._number, reverse=self._descends)
            found += self._tied(last, size - len(found))
            rest = self._beyond(last)
        return found

    def each(self, size: int) -> Iterator[list[Any]]:
        """All pages."""
        page = self.after(None, size)
        while page:
            yield page
            page = self.after(page[-1], size)

    def _tied(self, number: float, size: int, behind: str = "") -> list[Any]:
        """So many entries of one number, by their keys, behind one."""
        query = self._with(getattr(self._query.model, self._name) == number)
        keys = sorted(key for key in query.found_keys() if key > behind)
        found: list[Any] = []
        while keys and len(found) < size:
            some, keys = keys[: size - len(found)], keys[size - len(found) :]
            found += query.entries_of(some)  # without what has gone
        return found

    def _beyond(self, number: float) -> Any:
        field = getattr(self._query.model, self._name)
        return self._with(field < number if self._descends else field > number)

    def _with(self, condition: Any) -> Any:
        return self._query.copy(expressions=[*self._query.expressions, condition])

    def _number(self, entry: Any) -> float:
        number: float = getattr(entry, self._name)
        return number

    def _key(self, entry: Any) -> str:
        key: str = self._query.model.make_key(entry.pk)
        return key
