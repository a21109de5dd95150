"""What an entry looks like in Redis: its keys, its hash and the mapper between hash and entry.

An entry is one hash. Everything of one agent in one run lies under one prefix. On a Redis Cluster
agents are spread over 256 buckets, and each bucket is a namespace of its own, ``<namespace>:{b7}``,
which a cluster keeps on one server (see ``repositories.redis.keys``):

    <namespace>:{<run>/<agent>}:<memory id>       hash    one entry
    <namespace>:{<run>/<agent>}:steps             sorted  memory ids by step
    <namespace>:{<run>/<agent>}:times             sorted  memory ids by timestamp
    <namespace>:{<run>/<agent>}:importance        sorted  memory ids by importance
    <namespace>:{<run>/<agent>}:type:<type>       sorted  memory ids of one type by timestamp
    <namespace>:{<run>/<agent>}:pinned            sorted  memory ids of pinned ones by timestamp
    <namespace>:{<run>/<agent>}:changes           stream  ids that lately came, went or changed
    <namespace>:{<run>/<agent>}:ahead             string  since when entries are far ahead
    <namespace>:{<run>/<agent>}:number:<path>     sorted  memory ids by a declared attribute
    <namespace>:{<run>/<agent>}:value:<path>:...  sorted  memory ids of one value, by timestamp
    <namespace>:attributes                        string  paths of declared attributes, by line
    <namespace>:attributes:complete               set     those that every entry is indexed by
    <namespace>:agents:<run>                      sorted  agents by the time of their last write
    <namespace>:runs                              set     runs
    <namespace>:workers                           sorted  workers by the end of their leases

Ids of runs and agents are data: they are spelled with letters, digits and ``_`` alone, so that
nothing in them can end a tag, match a pattern or reach another agent's keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_memory.errors import EncodingError
from agent_memory.values.coded import bounds_of, is_coded
from agent_memory.values.entry import MemoryEntry, MemoryType
from agent_memory.values.interruptions import raise_if_interrupted

_UNSAFE = re.compile(rb"[^A-Za-z0-9]")
_ESCAPED = re.compile(rb"_([0-9a-f]{2})")
_VECTOR = np.dtype("<f4")
_TOGETHER = 64  # vectors: whoever keeps one entry keeps their numbers, 100 kB of 384 each
_TYPES = {kind.value.encode(): kind for kind in MemoryType}

Value = str | bytes | int | float


# -- values one by one --------------------------------------------------------------------


@lru_cache(maxsize=16_384)  # each store spells its agent and run seven times
def encode_id(text: str) -> str:
    """Spell an id with letters, digits and ``_`` alone, injectively."""
    if text.isascii() and text.isalnum():
        return text
    return _UNSAFE.sub(lambda found: b"_%02x" % found[0][0], text.encode()).decode()


@lru_cache(maxsize=4096)
def decode_id(spelled: bytes) -> str:
    """Give back what ``encode_id`` spelled."""
    if b"_" in spelled:
        spelled = _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), spelled)
    return spelled.decode()


def readable_ids(spelled: Iterable[bytes]) -> Iterator[str]:
    """Give back what was spelled; what is damaged names nothing and is left out."""
    for one in spelled:
        try:
            yield decode_id(one)
        except ValueError:
            continue


def memory_id_of(member: bytes) -> str:
    """The memory id that a member of an index is; a damaged one names no entry."""
    return member.decode("ascii", "backslashreplace")


@lru_cache(maxsize=16_384)  # each store asks for it three times
def agent_prefix(namespace: str, run_id: str, agent_id: str) -> str:
    """What all keys of an agent in a run begin with."""
    return f"{namespace}:{{{encode_id(run_id)}/{encode_id(agent_id)}}}:"


def vector_bytes(vector: NDArray[np.float32] | None) -> bytes:
    """A vector of shape (dim,) as it is stored: little-endian float32; nothing for None."""
    return b"" if vector is None else vector.astype("<f4", copy=False).tobytes()


def read_vector(stored: bytes) -> NDArray[np.float32]:
    """A stored vector, of shape (dim,).

    Raises:
        ValueError: It is none.
    """
    return np.frombuffer(stored, _VECTOR).astype(np.float32)


def _read_type(stored: bytes) -> MemoryType:
    found = _TYPES.get(stored)
    if found is None:
        raise ValueError(f"memory type {stored!r:.80}")
    return found


def _vector_if_any(stored: bytes | None) -> NDArray[np.float32] | None:
    return None if stored is None else read_vector(stored)


def _read_flag(stored: bytes) -> bool:
    return stored == b"1"


# -- what an entry consists of ----------------------------------------------------------------


class Presence(Enum):
    """Which entries have a field."""

    ALWAYS = "always"
    USUALLY = "usually"
    """Most do; where all such fields are there, an entry is stored by one command."""
    SELDOM = "seldom"


class Field(NamedTuple):
    """A field of an entry's hash.

    Attributes:
        name: What it and the entry's field are called.
        read: Gives the entry's value of what is stored.
        presence: Which entries have it.
        absent: The entry's value where the hash lacks it.
    """

    name: str
    read: Callable[[bytes], Any]
    presence: Presence = Presence.ALWAYS
    absent: Any = None


class SortedSet(NamedTuple):
    """An index over an agent's entries: a sorted set of their memory ids.

    Attributes:
        name: What the agent's prefix is followed by in its key.
        score: The field whose number it is sorted by.
        by: A field for whose values there are sets of their own, ``<name>:<value>``.
        values: The values that ``by`` may have.
        only: A field without which an entry is not in it.
    """

    name: str
    score: str
    by: str | None = None
    values: tuple[str, ...] = ()
    only: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """What the agent's prefix is followed by in the keys of its sets."""
        return tuple(f"{self.name}:{value}" for value in self.values) or (self.name,)


FIELD_TABLE = (
    Field("memory_id", bytes.decode),
    Field("run_id", decode_id),
    Field("agent_id", decode_id),
    Field("step_number", int),
    Field("timestamp", float),
    Field("memory_type", _read_type),
    Field("importance_score", float),
    Field("compression_level", int),
    Field("retrieval_count", int),
    Field("creation_time", float),
    Field("last_access_time", float),
    Field("revision", int),
    Field("contents", bytes),
    Field("embedding", read_vector, Presence.USUALLY),
    Field("encoder_version", int, Presence.USUALLY),
    Field("error_bounds", json.loads, Presence.SELDOM),
    Field("pinned", _read_flag, Presence.SELDOM, absent=False),
)
"""The fields of an entry's hash, in the order in which scripts take them.

Whatever handles fields by name is made of this table and of ``SORTED_SETS``: scripts, checks,
repairs, models. A new field needs a line here, and one each in ``entry_to_values`` and
``values_to_entry``. What was stored before lacks it, so that it cannot be ``Presence.ALWAYS``, and
comes behind those. Declared attributes have a field that lists them, ``ATTRIBUTES``, and fields of
their own: see ``redis_attributes``.
"""

ATTRIBUTES = "attributes"
"""The field that lists an entry's declared attributes; scripts take it last."""

STORED = tuple(field.name for field in FIELD_TABLE)
"""The names of the fields that an entry is made of."""

FIELDS = (*STORED, ATTRIBUTES)
"""The names of all fields."""

SORTED_SETS = (
    SortedSet("steps", score="step_number"),
    SortedSet("times", score="timestamp"),
    SortedSet("importance", score="importance_score"),
    SortedSet("type", "timestamp", by="memory_type", values=tuple(k.value for k in MemoryType)),
    SortedSet("pinned", score="timestamp", only="pinned"),
)
"""The indexes over the entries of an agent."""

INDEX_KEYS = tuple(key for index in SORTED_SETS for key in index.keys)
"""What an agent's prefix is followed by in the keys of these indexes."""

_STORED = [name.encode() for name in STORED]
_REQUIRED = [field.name for field in FIELD_TABLE if field.presence is Presence.ALWAYS]


# -- entries to hashes and back ---------------------------------------------------------------


def entry_to_values(entry: MemoryEntry, contents: bytes, attributes: str = "") -> list[Value]:
    """An entry's values in the order of ``FIELDS``; what is absent is empty.

    Args:
        entry: The entry.
        contents: Its contents, encoded.
        attributes: Its declared attributes, spelled; see ``redis_attributes``.
    """
    # Coded contents know their bounds themselves.
    bounds = None if is_coded(contents) else entry.error_bounds
    return [
        entry.memory_id,
        encode_id(entry.run_id),
        encode_id(entry.agent_id),
        entry.step_number,
        repr(entry.timestamp),
        entry.memory_type.value,
        repr(entry.importance_score),
        entry.compression_level,
        entry.retrieval_count,
        repr(entry.creation_time),
        repr(entry.last_access_time),
        entry.revision,
        contents,
        vector_bytes(entry.embedding),
        "" if entry.encoder_version is None else entry.encoder_version,
        "" if bounds is None else json.dumps(dict(bounds)),
        "1" if entry.pinned else "",
        attributes,
    ]


def index_places(entry: MemoryEntry) -> dict[str, float]:
    """In which of ``INDEX_KEYS`` an entry is, and its score there."""
    return {
        index.name if index.by is None else f"{index.name}:{getattr(entry, index.by)}": float(
            getattr(entry, index.score)
        )
        for index in SORTED_SETS
        if index.only is None or getattr(entry, index.only)
    }


def read_vectors(stored: Sequence[bytes | None]) -> list[NDArray[np.float32] | None]:
    """Read the vectors of entries together, which takes a third of the time of one by one.

    Args:
        stored: As ``vector_bytes`` gives them; None where there is none.

    Returns:
        Vectors of finite numbers; None where there is none, and where one of those read together
        is no such vector: ``values_to_entry`` tells then.
    """
    vectors: list[NDArray[np.float32] | None] = []
    for first in range(0, len(stored), _TOGETHER):
        some: Any = stored[first : first + _TOGETHER]
        size = len(some[0] or b"")
        fits = size and size % _VECTOR.itemsize == 0 and None not in some
        if fits and {*map(len, some)} == {size}:
            rows = np.frombuffer(b"".join(some), _VECTOR).reshape(len(some), -1)
            if np.isfinite(rows).all():
                vectors += list(rows.astype(np.float32))
                continue
        vectors += [None] * len(some)
    return vectors


def hash_to_entry(stored: Mapping[bytes, bytes], contents: Mapping[str, Any]) -> MemoryEntry:
    """Make an entry of a stored hash.

    Args:
        stored: The hash as a binary client reads it.
        contents: Its contents, decoded.

    Raises:
        EncodingError: A field is missing or cannot be read.
    """
    return values_to_entry([*map(stored.get, _STORED)], contents)


def values_to_entry(
    values: Sequence[bytes | None],
    contents: Mapping[str, Any],
    read: NDArray[np.float32] | None = None,
) -> MemoryEntry:
    """Make an entry of the values of a stored hash.

    Args:
        values: Of ``STORED``, in that order; None for those that lack.
        contents: Its contents, decoded.
        read: Its vector, where ``read_vectors`` gave it.

    Raises:
        EncodingError: A field is missing or cannot be read.
    """
    # Field by field, not by the table: that would take 1 us more of 3, for every entry read.
    stored: Any = values  # whatever lacks is reported below
    name, run, agent, step, at, kind, importance, level, count, created, accessed, *rest = stored
    revision, _, vector, version, bounds, pinned = rest
    try:
        return MemoryEntry.restored(
            name.decode(),
            decode_id(run),
            decode_id(agent),
            int(step),
            float(at),
            _TYPES.get(kind) or _read_type(kind),
            contents,
            float(importance),
            int(level),
            int(count),
            float(created),
            float(accessed),
            _vector_if_any(vector) if read is None else read,
            None if version is None else int(version),
            int(revision),
            bounds_of(contents, None if bounds is None else json.loads(bounds)),
            pinned == b"1",
            is_finite=read is not None,
        )
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        raise_if_interrupted(error)
        raise _damaged(values, error) from error


def name_of(stored: Mapping[bytes, bytes]) -> str:
    """What to call a stored hash in messages, whatever stands in it."""
    name = stored.get(b"memory_id")
    return name.decode("ascii", "replace") if isinstance(name, bytes) else "?"


def step_of(stored: Mapping[bytes, bytes]) -> int:
    """The step of a stored hash.

    Raises:
        EncodingError: It is missing or no number.
    """
    try:
        return int(stored[b"step_number"])
    except (KeyError, ValueError, TypeError) as error:
        raise_if_interrupted(error)
        raise EncodingError(f"the stored hash is damaged ({error!r})") from error


def _damaged(values: Sequence[bytes | None], error: Exception) -> EncodingError:
    stored = dict(zip(STORED, values, strict=True))
    lacking = [name for name in _REQUIRED if stored[name] is None]
    wrong = f"without {', '.join(lacking)}" if lacking else repr(error)
    name = (values[0] or b"?").decode("ascii", "replace")
    return EncodingError(f"entry {name}: the stored hash is damaged ({wrong})")
