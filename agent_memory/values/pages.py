"""Pages of an answer: hits, and the cursor that asks for those behind them.

A cursor is the place of an entry in the order of a query, not a number of entries: whatever is
stored, moved or forgotten meanwhile, what lies behind that place is given next.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, NamedTuple, SupportsIndex, overload

from agent_memory.errors import InvalidEntry
from agent_memory.values.conditions import OneOf
from agent_memory.values.entry import MemoryEntry, Tier
from agent_memory.values.html import MOST_ROWS, html_table
from agent_memory.values.ordering import DESCENDING, SORT_KEYS
from agent_memory.values.query import ALL_RUNS, HIT_COLUMNS, RANGES, Hit, Query

_FORMAT = 1
_DIGEST = 8  # bytes
_LONGEST = 100_000  # characters


class Place(NamedTuple):
    """A place in the order of a query: that of an entry, whether it is still there or not.

    Attributes:
        value: What the order goes by: a step, a time or an importance.
        memory_id: The entry's id, which breaks ties.
        run_id: Its run, which breaks those of two entries of one id.
        agent_id: Its agent.
    """

    value: float
    memory_id: str
    run_id: str
    agent_id: str


class Hits(list[Hit]):
    """What answers a query: a list of hits that knows how to ask for those behind them.

    Args:
        hits: The hits, in the query's order.
        query: What was asked; None where the answer is in no order that a cursor has a place in.

    Examples:
        >>> first = memory.recall(agent_id="ant-1", limit=4)
        >>> second = memory.recall(agent_id="ant-1", limit=4, after=first.next)
        >>> [hit.entry.step_number for hit in second]
        [4, 5, 6, 7]
    """

    def __init__(self, hits: Iterable[Hit] = (), query: Query | None = None) -> None:
        super().__init__(hits)
        pages = query is not None and query.limit is not None and len(self) > 0
        self._query = query if pages else None
        self._last = self[-1] if pages else None

    @property
    def next(self) -> str | None:
        """The cursor of what lies behind the last hit, for ``after``.

        It is text, and holds in any process and after any time. None where nothing was found, or
        no limit was given, or the hits are ordered by similarity or rank.

        Examples:
            >>> memory.recall(agent_id="ant-1", limit=4, steps=(100, None)).next is None
            True
        """
        if self._query is None or self._last is None:
            return None
        return cursor_of(self._query, self._last)

    def _repr_html_(self) -> str:
        shown = [hit.html_row() for hit in self[:MOST_ROWS]]
        return html_table(HIT_COLUMNS, shown, len(self) - len(shown))

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Hit: ...
    @overload
    def __getitem__(self, index: slice, /) -> list[Hit]: ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> Hit | list[Hit]:
        """A hit; or a list of some of them, which has no cursor."""
        return super().__getitem__(index)


def cursor_of(query: Query, hit: Hit) -> str:
    """The cursor of what lies behind a hit in the order of a query."""
    place = SORT_KEYS[query.sorting](hit.entry)
    told = json.dumps([_FORMAT, _fingerprint(query), *place], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_checksum(told) + told).decode().rstrip("=")


def place_of(query: Query, cursor: object) -> Place:
    """The place that a cursor of a query stands for.

    Raises:
        InvalidEntry: It is no cursor, it is damaged, or it is of another query.
    """
    if not isinstance(cursor, str) or not 0 < len(cursor) <= _LONGEST:
        raise InvalidEntry("after: the cursor of a page is needed, as its hits.next gives it")
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    checksum, told = raw[:_DIGEST], raw[_DIGEST:]
    if not told or checksum != _checksum(told):
        raise InvalidEntry("after: the cursor is damaged; pass hits.next on as it is")
    try:
        version, fingerprint, *place = json.loads(told)
        at = Place(*place)
    except (ValueError, TypeError) as error:
        raise InvalidEntry("after: the cursor is none of this version") from error
    if version != _FORMAT:
        raise InvalidEntry(f"after: a cursor of format {version}, which this version cannot read")
    if fingerprint != _fingerprint(query):
        raise InvalidEntry(
            "after: the cursor is of another query; the limit alone may differ from page to page"
        )
    return at


def is_behind(query: Query, hit: Hit, place: Place) -> bool:
    """Whether a hit comes after a place in the order of a query."""
    at = SORT_KEYS[query.sorting](hit.entry)
    return at < place if query.sorting in DESCENDING else at > place


def _fingerprint(query: Query) -> str:
    """What tells a query, bound to its runs, from any other; its limit does not count."""
    runs = "all" if query.run_id is ALL_RUNS else query.runs
    conditions = sorted((repr(path), _spelled(wanted)) for path, wanted in query.attributes.items())
    asked = (
        *(runs, query.agents, str(query.sorting), str(query.memory_type), query.pinned),
        *(getattr(query, name) for name in RANGES),
        conditions,
    )
    return blake2b(repr(asked).encode("utf-8", "surrogatepass"), digest_size=_DIGEST).hexdigest()


def _spelled(condition: object) -> str:
    # The choices of a set come in another order in each process.
    if isinstance(condition, OneOf):
        return f"OneOf({sorted(map(repr, condition.choices))})"
    return repr(condition)


def _checksum(told: bytes) -> bytes:
    return blake2b(told, digest_size=_DIGEST).digest()


class _Draft:
    """A hit that is being filled, and then becomes one; see ``values.entry``."""

    __slots__ = ("entry", "parts", "score", "tier")


def hits_of(entries: Iterable[MemoryEntry], tier: Tier) -> list[Hit]:
    """Entries of a tier as hits without a score, at a quarter of what the constructor takes."""
    hits: list[Any] = []
    for entry in entries:
        it: Any = _Draft()
        it.entry, it.tier, it.score, it.parts = entry, tier, None, None
        it.__class__ = Hit
        hits.append(it)
    return hits
