"""The vectors nearest to one, by the query engine; exact."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.errors import InvalidEntry
from agent_memory.models.redis_search_schema import NO_TAG, TAGS, VECTOR, IndexDefinition, condition
from agent_memory.repositories.redis.search_index import SearchIndex
from agent_memory.values.checks import checked_embedding
from agent_memory.values.query import Query

MOST = 1_000_000
"""How many results the engine gives at most (its MAXSEARCHRESULTS).

It reserves memory for as many as it is asked for, and dies of being asked for 10^15.
"""

# With a time limit the engine silently leaves out what it did not get to.
EXACTLY = ("DIALECT", 2, "TIMEOUT", 0)
"""Ends every query: the dialect that knows parameters and all numbers, and no time limit."""


# "*" allows no policy.
_EVERYTHING = f"-@{TAGS[0]}:{{{NO_TAG}}}"


class Near(NamedTuple):
    """An entry near to a vector."""

    key: str
    """The Redis key of its hash."""
    distance: float
    """1 - cosine: from 0 for the same direction to 2 for the opposite one."""

    @property
    def memory_id(self) -> str:
        """Which entry it is."""
        return self.key.rpartition(":")[2]


class TierSearch:
    """The query engine's view of a tier: its two indexes, and search among its vectors.

    Args:
        channel: The server.
        namespace: What the keys of the tier begin with.
        width: How many numbers the tier's vectors have.
        read_only: Use the indexes there are, and make none.
        attributes: Gives the paths of the declared attributes; asked when an index is first used.
    """

    def __init__(
        self,
        channel: RedisChannel,
        namespace: str,
        width: int,
        *,
        read_only: bool = False,
        attributes: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self.channel = channel
        self.namespace = namespace
        self.width = width
        self._read_only = read_only
        self._attributes = attributes

    @cached_property
    def entries(self) -> SearchIndex:
        """The index over all entries."""
        definition = IndexDefinition(self.namespace, "entries", attributes=self._declared)
        return SearchIndex(self.channel, definition, read_only=self._read_only)

    @cached_property
    def _declared(self) -> tuple[str, ...]:
        return tuple(sorted(self._attributes()))

    @cached_property
    def vectors(self) -> SearchIndex:
        """The index over entries with a vector of the tier's width."""
        definition = IndexDefinition(self.namespace, "vectors", self.width, self._declared)
        return SearchIndex(self.channel, definition, read_only=self._read_only)

    def ensure(self) -> None:
        """See that both indexes are there and complete. Queries make those they need as well.

        Raises:
            QueryEngineMissing, SearchIndexError, StoreUnavailable: See ``SearchIndex.ensure``.
        """
        self.entries.ensure()
        self.vectors.ensure()

    def rebuild(self) -> None:
        """Build both indexes again beside those there are; see ``SearchIndex.rebuild``."""
        self.entries.rebuild()
        self.vectors.rebuild()

    def drop(self) -> None:
        """Drop both indexes; the entries stay. See ``SearchIndex.drop``."""
        self.entries.drop()
        self.vectors.drop()

    def search(
        self, query: Query, vector: object, k: int, *, encoder_version: int | None = None
    ) -> tuple[list[str], NDArray[np.float64]]:
        """Find the entries that answer a query and whose vectors are nearest to one.

        Args:
            query: Which entries; its order and limit say nothing here.
            vector: Finite numbers of shape (width,).
            k: How many at most.
            encoder_version: Only vectors of this version; None for any, though those of
                different versions do not compare.

        Returns:
            Their memory ids, nearest first, and the cosines, -1 to 1, of shape (n,). Entries
            without a vector of the tier's width are not among them.

        Raises:
            InvalidEntry: The vector has another width, the query names no run, or an id is too
                long for the engine.
            QueryEngineMissing, SearchIndexError, StoreUnavailable: See ``SearchIndex.ensure``.
        """
        found = self.nearest(*condition(query, encoder_version), vector, k)
        cosines = np.array([1.0 - near.distance for near in found], np.float64)
        return [near.memory_id for near in found], cosines

    def nearest(
        self, condition: str, parameters: Sequence[str], vector: object, k: int
    ) -> list[Near]:
        """As ``search``, for a condition in the engine's language and the parameters it names."""
        condition = _EVERYTHING if condition == "*" else condition
        wanted = checked_embedding(vector)
        if len(wanted) != self.width:
            raise InvalidEntry(
                f"vector: {self.width} numbers are needed here, as in {self.namespace}, "
                f"not {len(wanted)}"
            )
        k = min(k, MOST)
        if k < 1:
            return []
        reply = self.vectors.ask(self._nearest_command(condition, parameters, wanted, k))
        found = [
            Near(key.decode(), float(fields[1]))
            for key, fields in zip(reply[1::2], reply[2::2], strict=True)
        ]
        if self._lacks_zeros(found, k, condition, parameters):
            found = self._compared_here(condition, parameters, wanted)
        return sorted(found, key=lambda near: (near.distance, near.key))[:k]

    def number(self, condition: str, parameters: Sequence[str]) -> int:
        """How many entries with a vector answer a condition."""
        (count, *_) = self.vectors.ask(
            (
                *("FT.SEARCH", self.vectors.alias, condition, *_named(parameters)),
                *("LIMIT", 0, 0, *EXACTLY),
            )
        )
        return int(count)

    def _nearest_command(
        self,
        condition: str,
        parameters: Sequence[str],
        vector: NDArray[np.float32],
        k: int,
    ) -> tuple[object, ...]:
        named = ("k", k, "vector", vector.astype("<f4").tobytes(), *parameters)
        # Hit by hit: the only one of the engine's policies that is right beside a NaN.
        text = f"({condition})=>[KNN $k @{VECTOR} $vector HYBRID_POLICY ADHOC_BF AS distance]"
        return (
            *("FT.SEARCH", self.vectors.alias, text),
            *("PARAMS", len(named), *named),
            *("SORTBY", "distance", "RETURN", 1, "distance", "LIMIT", 0, k),
            *EXACTLY,
        )

    def _lacks_zeros(
        self, found: Sequence[Near], k: int, condition: str, parameters: Sequence[str]
    ) -> bool:
        """Whether vectors of zeros, of which the engine finds none, may belong to what is nearest.

        Their cosine with any other is 0, but the engine makes it NaN, and leaves them out.
        """
        if any(math.isnan(near.distance) for near in found):
            return True
        if len(found) == k and max(near.distance for near in found) <= 1.0:
            return False
        return self.number(condition, parameters) > len(found)

    def _compared_here(
        self, condition: str, parameters: Sequence[str], vector: NDArray[np.float32]
    ) -> list[Near]:
        """Compare with every vector in this process."""
        reply = self.vectors.ask(
            (
                *("FT.SEARCH", self.vectors.alias, condition, *_named(parameters)),
                *("RETURN", 1, VECTOR, "LIMIT", 0, MOST, *EXACTLY),
            )
        )
        rows = [np.frombuffer(fields[1], "<f4") for fields in reply[2::2]]
        distances = _distances(np.array(rows, np.float64).reshape(-1, self.width), vector)
        keys = [key.decode() for key in reply[1::2]]
        return [Near(key, float(far)) for key, far in zip(keys, distances, strict=True)]


def _named(parameters: Sequence[str]) -> tuple[object, ...]:
    return ("PARAMS", len(parameters), *parameters) if parameters else ()


def _distances(rows: NDArray[np.float64], vector: NDArray[np.float32]) -> NDArray[np.float64]:
    """1 - cosine of each row, of shape (n, dim), with a vector; a cosine with zeros is 0."""
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(vector.astype(np.float64))
    products: NDArray[np.float64] = rows @ vector.astype(np.float64)
    cosines = np.zeros_like(products)
    np.divide(products, lengths, out=cosines, where=lengths > 0)
    return 1.0 - cosines
