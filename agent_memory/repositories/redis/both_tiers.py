"""Reads both tiers of a server for one agent by one request.

Most questions ask for few entries, and a request takes a client longer than the server takes to
answer it. In between nothing can move from one tier to the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.repositories.following import View
from agent_memory.repositories.reading import WideAnswers
from agent_memory.repositories.redis.entries import HashMapper, Values
from agent_memory.repositories.redis.finding import FIND_IN_TIERS
from agent_memory.repositories.redis.following import rows_as_seen
from agent_memory.repositories.redis.keys import KeySpace
from agent_memory.repositories.redis.sorted_sets import lookups
from agent_memory.values.entry import MemoryEntry
from agent_memory.values.ordering import in_order
from agent_memory.values.query import Order, Query, agent_of, run_of

_MOST = 500
"""Entries of a tier, beyond which each is asked by itself: the server does nothing meanwhile."""

_Readable = tuple[KeySpace, HashMapper]
"""The keys of a tier, and what makes entries of its hashes."""


class ReadTogether(WideAnswers):
    """A tier that is read together with the one below it, if both are on one server.

    Attributes:
        channel: The server.
        key_space: The tier's keys.
    """

    channel: RedisChannel
    key_space: KeySpace
    _mapper: HashMapper

    def find_with(self, query: Query, below: object) -> list[list[MemoryEntry]] | None:
        """What answers a query here and in the tier below; one request, if one server has both."""
        tiers = self._of_one_server(below)
        return None if tiers is None else _found(self.channel, tiers, query)

    def read_as_seen(
        self, run_id: str, agent_id: str, views: Sequence[View], *below: object
    ) -> list[list[MemoryEntry]] | None:
        """Read some entries of an agent, if nothing of the agent's has changed; one request."""
        tiers = self._of_one_server(*below)
        if tiers is None:
            return None
        prefixes = [keys.prefix(run_id, agent_id) for keys, _ in tiers]
        rows = rows_as_seen(self.channel, [*zip(prefixes, views, strict=True)])
        return None if rows is None else _decoded(tiers, rows)

    def _of_one_server(self, *below: object) -> list[_Readable] | None:
        """This tier and those below; None where one of them is, or may be, on another server."""
        if self.key_space.buckets:
            return None  # a script of two prefixes fails while a cluster moves their slot
        tiers = [(self.key_space, self._mapper)]
        for one in below:
            if not isinstance(one, ReadTogether) or one.channel is not self.channel:
                return None
            tiers.append((one.key_space, one._mapper))  # noqa: SLF001 - its own class
        return tiers


def _decoded(
    tiers: Sequence[_Readable], rows: Sequence[Sequence[Values]]
) -> list[list[MemoryEntry]]:
    return [mapper.decode_many(each) for (_, mapper), each in zip(tiers, rows, strict=True)]


def _found(
    channel: RedisChannel, tiers: Sequence[_Readable], query: Query
) -> list[list[MemoryEntry]] | None:
    """What answers a query in each of some tiers, in its order; None where each is to be asked.

    Where a richer tier has as many entries as the limit allows, the next gives none that come after
    all of them.

    Args:
        channel: The server of the tiers.
        tiers: The tiers, richest first.
        query: What is asked.

    Raises:
        EncodingError: An entry is damaged.
        StoreUnavailable: The server does not answer.
    """
    asked = _by_one_index(query)
    if asked is None:
        return None
    command, *further = lookups("", asked)
    if further or not isinstance(command, tuple):
        return None
    prefixes = [keys.prefix(run_of(query), agent_of(query)) for keys, _ in tiers]
    words = ["" if query.limit is None else query.limit, _MOST, *command]
    (reply,) = channel.run(FIND_IN_TIERS, [(prefixes, words)])
    if reply is None:
        return None
    answers = _decoded(tiers, reply)
    if [*map(len, answers)] != [*map(len, reply)]:
        # An index that names an entry which is not there has kept others out.
        return None
    return answers if asked is query else [in_order(entries, query) for entries in answers]


def _by_one_index(query: Query) -> Query | None:
    """A query by one sorted set that has the same answer; None where more is to be looked at."""
    if not query.is_about_one_agent or query.attributes or query.pinned is not None:
        return None
    if query.limit is not None:
        return query if 0 < query.limit <= _MOST else None
    if query.steps is None and query.times is None:
        return None
    return replace(query, order=Order.OLDEST if query.steps is None else Order.STEP)
