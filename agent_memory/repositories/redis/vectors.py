"""The vectors of agents on a server without a query engine, kept here and checked on every use.

Reading an agent's vectors takes a server 10 us each, ranking them here a tenth of a microsecond.
So they are kept, by what a query can ask for, and the log of changes that every write extends
(``change_log``) tells which have to be read again. The log is asked for in the same round trip
that reads the entries found, so that where nothing has changed one trip answers.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.commands import Command
from agent_memory.embeddings.ranking import as_unit, as_units, nearest
from agent_memory.models.redis import SORTED_SETS, memory_id_of
from agent_memory.repositories.nearest import Probe
from agent_memory.repositories.redis.change_log import ChangeLog
from agent_memory.values.query import CATEGORIES, RANGES, Query
from agent_memory.values.recently_used import RecentlyUsed

MAX_BYTES = 256 * 1024**2
"""How many bytes of vectors a process keeps for each tier."""

_FIELDS = ("embedding", "encoder_version", *RANGES.values(), *CATEGORIES)
_COLUMNS = {name: column for column, name in enumerate((*RANGES, *CATEGORIES))}
# What stands for the values of each category in its column.
_CODES = {
    index.by: {value.encode(): float(code) for code, value in enumerate(index.values)}
    for index in SORTED_SETS
    if index.by is not None
}
_FIRST_ROOM = 64  # rows
_BARE = 2_000  # bytes that an agent without vectors takes

_GroupKey = tuple[int | None, int]


class VectorCache(RecentlyUsed[str, "AgentVectors"]):
    """Keeps the vectors of the agents that were asked about last. Threads may share it.

    An agent's are to be used with their lock held.

    Args:
        channel: The server.
        max_bytes: How many bytes of vectors to keep; those of one agent are kept at any rate.
    """

    def __init__(self, channel: RedisChannel, max_bytes: int = MAX_BYTES) -> None:
        super().__init__(lambda prefix: AgentVectors(channel, prefix), max_bytes)


class AgentVectors:
    """The vectors of one agent's entries in one tier, as of some record of its log.

    Args:
        channel: The server.
        prefix: What all keys of the agent begin with.
    """

    def __init__(self, channel: RedisChannel, prefix: str) -> None:
        self.lock = threading.Lock()
        self._channel = channel
        self._prefix = prefix
        self._log = ChangeLog(channel, prefix)
        # The last record of the log that was heeded, an empty one where there was no log; None:
        # what is kept here is of no moment.
        self._seen: list[Any] | None = None
        # In bytes; kept beside the groups, which another thread may be changing when it is read.
        self.size = 0
        self._empty()

    def nearest(self, query: Query, probe: Probe) -> dict[str, float | None]:
        """The ids of the nearest of each version and width, and of all that do not compare.

        Returns:
            Cosines by memory id; see ``MemoryRepository.nearest``.
        """
        found: dict[str, float | None] = {}
        for (version, width), group in self._groups.items():
            asked = probe.at(version, width)
            if asked is not None and not len(asked):
                continue
            biased = probe.bias(version, width) != 0.0
            found |= group.nearest(query, None if biased else asked)
        self._measure()
        return found

    def _measure(self) -> None:
        self.size = _BARE + sum(group.size for group in self._groups.values())

    def news(self) -> Command:
        """The command that reads the log from the last record that was heeded."""
        return self._log.news(self._seen)

    def heed(self, records: Sequence[Any]) -> bool:
        """Bring the vectors up to date.

        Args:
            records: The answer to ``news``.

        Returns:
            Whether there was anything to heed.
        """
        seen = self._seen
        if self._log.is_old(seen, records):
            return False
        # Whatever interrupts what follows, the next question does it again from the start.
        self._seen = None
        changed = self._log.changed(seen, records, self._group_of)
        if changed is None:
            changed = self._log.ids()
            replies = self._read(changed)
            self._empty()
        else:
            replies = self._read(changed)
        self._take(changed, replies)
        self._seen = records[-1] if records else []
        self._measure()
        return True

    def _read(self, names: Sequence[bytes]) -> list[Any]:
        prefix = self._prefix.encode()
        return self._channel.call_all([("HMGET", prefix + name, *_FIELDS) for name in names])

    def _take(self, names: Sequence[bytes], replies: Sequence[Any]) -> None:
        groups: dict[_GroupKey, list[tuple[str, NDArray[np.float32], list[float]]]] = {}
        for raw, reply in zip(names, replies, strict=True):
            name = memory_id_of(raw)
            if any(field is not None for field in reply):
                vector = _vector(reply[0])
                version = None if reply[1] is None else _number(reply[1], int)
                row = (name, vector, _attributes(reply[2:]))
                groups.setdefault((version, len(vector)), []).append(row)
            self._drop(name)
        for key, rows in groups.items():
            group = self._groups.get(key)
            if group is None:
                group = self._groups[key] = _Group(key[1])
            group.add(rows)
            self._group_of.update((name, key) for name, _, _ in rows)

    def _drop(self, name: str) -> None:
        key = self._group_of.pop(name, None)
        if key is not None:
            group = self._groups[key]
            group.remove(name)
            if not group.names:
                del self._groups[key]

    def _empty(self) -> None:
        self._groups: dict[_GroupKey, _Group] = {}
        self._group_of: dict[str, _GroupKey] = {}


class _Group:
    """Vectors of one version and width, and what their entries can be asked by."""

    def __init__(self, width: int) -> None:
        self.names: list[str] = []
        self._places: dict[str, int] = {}
        self._units = np.empty((_FIRST_ROOM, width), np.float32)
        self._attributes = np.empty((_FIRST_ROOM, len(_COLUMNS)))

    @property
    def size(self) -> int:
        return self._units.nbytes + self._attributes.nbytes

    def add(self, rows: Sequence[tuple[str, NDArray[np.float32], list[float]]]) -> None:
        """Add rows whose names are not here."""
        first, count = len(self.names), len(self.names) + len(rows)
        if count > len(self._units):
            room = max(count, 2 * len(self._units))
            self._units = _grown(self._units, room, first)
            self._attributes = _grown(self._attributes, room, first)
        self._units[first:count] = as_units(np.stack([vector for _, vector, _ in rows]))
        self._attributes[first:count] = [attributes for _, _, attributes in rows]
        for place, (name, _, _) in enumerate(rows, first):
            self.names.append(name)
            self._places[name] = place

    def remove(self, name: str) -> None:
        """Remove a row; the last one moves into the gap."""
        place, last = self._places.pop(name), self.names.pop()
        if place < len(self.names):
            end = len(self.names)
            self.names[place] = last
            self._places[last] = place
            self._units[place], self._attributes[place] = self._units[end], self._attributes[end]

    def nearest(self, query: Query, asked: NDArray[np.float32] | None) -> dict[str, float | None]:
        among = self._answering(query)
        if asked is None:
            places = range(len(self.names)) if among is None else among
            return dict.fromkeys(self.names[place] for place in places)
        units = self._units[: len(self.names)]
        ranked = nearest(units, as_unit(asked), self.names, query.limit, among)
        return {self.names[place]: cosine for place, cosine in ranked}

    def _answering(self, query: Query) -> NDArray[np.intp] | None:
        """The rows that answer a query; None for all."""
        columns = self._attributes[: len(self.names)]
        chosen: NDArray[np.bool_] | None = None
        for name in RANGES:
            bounds = getattr(query, name)
            if bounds is not None:
                values = columns[:, _COLUMNS[name]]
                within = (values >= _bound(bounds[0])) & (values <= _bound(bounds[1]))
                chosen = within if chosen is None else chosen & within
        for name in CATEGORIES:
            value = getattr(query, name)
            if value is not None:
                same = columns[:, _COLUMNS[name]] == _CODES[name][value.encode()]
                chosen = same if chosen is None else chosen & same
        return None if chosen is None or chosen.all() else np.flatnonzero(chosen)


def _bound(bound: float) -> float:
    # A step may be an int beyond any double.
    try:
        return float(bound)
    except OverflowError:
        return float("inf") if bound > 0 else float("-inf")


def _grown(rows: NDArray[Any], room: int, used: int) -> NDArray[Any]:
    grown = np.empty((room, rows.shape[1]), rows.dtype)
    grown[:used] = rows[:used]
    return grown


def _vector(stored: bytes | None) -> NDArray[np.float32]:
    """A stored vector; an empty one where there is none, or one that cannot be read.

    Such an entry is given whatever its similarity, and reading it tells what is wrong with it.
    """
    if stored is None or len(stored) % 4:
        return np.zeros(0, np.float32)
    vector = np.frombuffer(stored, "<f4")
    return vector if np.isfinite(vector).all() else np.zeros(0, np.float32)


def _attributes(fields: Sequence[bytes | None]) -> list[float]:
    numbers = [_number(field, float) for field in fields[: len(RANGES)]]
    known = [float("nan") if number is None else number for number in numbers]
    values = zip(CATEGORIES, fields[len(RANGES) :], strict=True)
    return [*known, *(_CODES[name].get(value or b"", -1.0) for name, value in values)]


def _number(field: bytes | None, kind: type[Any]) -> Any:
    try:
        return None if field is None else kind(field)
    except ValueError:
        return None
