"""The entries nearest to a probe by the server's own index: the same that comparing all gives.

The engine compares vectors of one version, and knows nothing of entries without one. So it is
asked only where the index holds every entry of the agent, which is remembered until the log of
changes (``redis_scripts``) has a new record; in all other cases the caller compares for itself.
What the engine proposes is ranked again here, because it breaks ties as it likes.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_memory.connections.redis.commands import Command
from agent_memory.embeddings.ranking import as_unit, as_units, nearest
from agent_memory.models.redis_search_schema import VECTOR, condition
from agent_memory.repositories.nearest import Probe
from agent_memory.repositories.redis.tier_search import MOST, TierSearch
from agent_memory.values.forking import after_fork
from agent_memory.values.query import Query

_REMEMBERED = 10_000  # agents
_ATTEMPTS = 3
_MORE = 2  # proposals beyond what is asked for, so that the last one is told from a tie
_TIED = 1e-5  # the engine's cosines are of single precision

Hash = dict[bytes, bytes]


class Proposed(NamedTuple):
    """An entry's hash and the cosine of its vector with the probe."""

    stored: Hash
    cosine: float


class _Composition(NamedTuple):
    """Of which versions an agent's vectors are, as of a record of its log."""

    tail: Any
    versions: tuple[int, ...]
    complete: bool  # whether the index holds every entry


class IndexedNearest:
    """Asks the query engine for the nearest entries of an agent. Threads may share it.

    Args:
        search: The indexes of the tier.
    """

    def __init__(self, search: TierSearch) -> None:
        self._search = search
        self._renew()
        after_fork(self._renew)

    def nearest(self, prefix: str, query: Query, probe: Probe) -> list[Proposed] | None:
        """The nearest entries of each version, as ``MemoryRepository.nearest`` gives them.

        Args:
            prefix: What all keys of the agent begin with.
            query: What is asked for; its limit is above 0.
            probe: What vectors are compared with.

        Returns:
            None where the index cannot tell: some entries are not in it or do not compare, or
            all are asked for.

        Raises:
            QueryEngineMissing, SearchIndexError, StoreUnavailable: See ``SearchIndex.ensure``.
        """
        if query.limit is None or query.limit > MOST // 2:
            return None
        known = self._remembered(prefix)
        if known is None or not known.versions:
            known = self._look(prefix, query)
        for _ in range(_ATTEMPTS):
            if not known.complete:
                return None
            found = self._ask(prefix, query, probe, known)
            if found is None or all(tail == known.tail for tail, _ in found):
                break
            before, known = known, self._look(prefix, query)
            if known.complete and known.versions == before.versions:
                break
        else:
            return None
        return None if found is None else [one for _, proposed in found for one in proposed]

    def _ask(
        self, prefix: str, query: Query, probe: Probe, known: _Composition
    ) -> list[tuple[Any, list[Proposed]]] | None:
        """For each version the log's last record at that moment, and the nearest."""
        found = []
        for version in known.versions:
            width = self._search.width
            asked = None if probe.bias(version, width) else probe.at(version, width)
            answer = None if asked is None else self._of_version(prefix, query, version, asked)
            if answer is None:
                return None
            found.append(answer)
        return found

    def _of_version(
        self, prefix: str, query: Query, version: int, asked: NDArray[np.float32]
    ) -> tuple[Any, list[Proposed]] | None:
        limit = query.limit or 0
        count = limit + _MORE
        where, parameters = condition(query, version)
        while True:
            tail, reply = self._search.vectors.ask_all(
                _tail(prefix), self._search.documents(where, parameters, asked, count)
            )
            hashes = [_pairs(fields) for fields in reply[2::2]]
            distances = sorted(float(stored.pop(b"distance")) for stored in hashes)
            everything = len(hashes) < count
            # Vectors of zeros, which the engine leaves out, may belong to what is nearest.
            zeros_matter = everything or not distances[-1] <= 1.0
            if zeros_matter and self._search.number(where, parameters) != len(hashes):
                return None
            if everything or distances[-1] - distances[limit - 1] > _TIED:
                return tail, _ranked(hashes, asked, limit)
            count *= 4

    def _look(self, prefix: str, query: Query) -> _Composition:
        """Ask of which versions the agent's vectors are, and whether the index has them all."""
        whole = Query(run_id=query.run_id, agent_id=query.agent_id)
        tail, held, groups = self._search.vectors.ask_all(
            _tail(prefix), ("ZCARD", f"{prefix}steps"), self._search.versions(*condition(whole))
        )
        counts = [_pairs(group) for group in groups[1:]]
        named = {
            int(float(group[b"encoder_version"])): int(group[b"n"])
            for group in counts
            if group.get(b"encoder_version")
        }
        known = _Composition(tail, tuple(sorted(named)), sum(named.values()) == held)
        with self._lock:
            self._known[prefix] = known
            self._known.move_to_end(prefix)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return known

    def _remembered(self, prefix: str) -> _Composition | None:
        with self._lock:
            return self._known.get(prefix)

    def _renew(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Composition] = OrderedDict()


def _tail(prefix: str) -> Command:
    return ("XREVRANGE", f"{prefix}changes", "+", "-", "COUNT", 1)


def _ranked(hashes: list[Hash], asked: NDArray[np.float32], limit: int) -> list[Proposed]:
    if not hashes:
        return []
    names = [stored[b"memory_id"].decode() for stored in hashes]
    rows = np.stack([np.frombuffer(stored[VECTOR.encode()], "<f4") for stored in hashes])
    ranked = nearest(as_units(rows), as_unit(asked), names, limit)
    return [Proposed(hashes[place], cosine) for place, cosine in ranked]


def _pairs(fields: Any) -> dict[bytes, Any]:
    return dict(zip(fields[::2], fields[1::2], strict=True))
