"""An entry and its key: the values that everything here speaks in. No I/O."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from enum import IntEnum, StrEnum
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_memory.errors import InvalidEntry
from agent_memory.values.checks import (
    MAX_STEP,
    all_finite,
    checked_bounds,
    checked_count,
    checked_embedding,
    checked_flag,
    checked_importance,
    checked_level,
    checked_member,
    checked_step,
    checked_time,
    checked_version,
    is_a,
)
from agent_memory.values.coded import CodeBounds
from agent_memory.values.contents import as_contents, pack
from agent_memory.values.html import html_fields
from agent_memory.values.identity import checked_agent_id, checked_memory_id, checked_run_id
from agent_memory.values.interruptions import raise_if_interrupted
from agent_memory.values.json_values import json_values
from agent_memory.values.quoting import quoted, short_repr


class MemoryType(StrEnum):
    """What kind of thing an entry remembers.

    Examples:
        >>> from agent_memory import MemoryType
        >>> MemoryType("action") is MemoryType.ACTION
        True
    """

    STATE = "state"
    INTERACTION = "interaction"
    ACTION = "action"


class Tier(IntEnum):
    """Where an entry is; the number is the compression level usual there.

    Examples:
        >>> from agent_memory import Tier
        >>> [tier.name for tier in Tier]
        ['STM', 'IM', 'LTM']
    """

    STM = 0
    IM = 1
    LTM = 2


class EntryKey(NamedTuple):
    """Where to look for an entry. Run and memory id name it; the agent says where it lies.

    Examples:
        >>> from agent_memory import EntryKey
        >>> EntryKey("default", "ant-1", "0" * 32).agent_id
        'ant-1'
    """

    run_id: str
    agent_id: str
    memory_id: str


_MEMORY_ID = re.compile(r"[0-9a-f]{32}")

is_memory_id = _MEMORY_ID.fullmatch
"""Finds a memory id in its canonical form; see ``checked_memory_id``."""

# Stands for the entry's own timestamp; compared by identity, and refused as a time.
_AS_TIMESTAMP = math.nan

_EMBEDDING_NAMES = ("full_vector", "compressed_vector", "abstract_vector")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MemoryEntry:
    """One remembered thing.

    Two entries are equal when every field is, contents and embedding bit by bit.

    Attributes:
        memory_id: UUID as 32 hexadecimal digits.
        run_id: The simulation run it belongs to.
        agent_id: The agent that remembers it, as text.
        step_number: Simulation step, 0 to ``MAX_STEP``.
        timestamp: When it happened, in seconds since 1970, or in steps for reproducible runs.
        memory_type: State, interaction or action.
        contents: What is remembered. Repositories store a snapshot; see ``contents``.
        importance_score: 0 to 1.
        compression_level: How far contents and embedding are compressed: 0, 1 or 2.
        retrieval_count: How often it was retrieved by someone.
        creation_time: When it was first stored, in the unit of ``timestamp``.
        last_access_time: When it was last retrieved, in the unit of ``timestamp``.
        embedding: Its vector, float32, shape (dim,) with the dim of its tier, or None.
        encoder_version: Which encoder made the embedding, or None.
        revision: Counts changes (importance, pin, links), not moves and not retrievals.
        error_bounds: By path, how far a decoded number may be from the original; paths that
            are absent are exact. None: all are.
        pinned: Whether it stays in its tier; see ``AgentMemorySystem.pin``.

    Raises:
        InvalidEntry: A field has no meaning; the message names it.

    Examples:
        >>> from agent_memory import MemoryEntry
        >>> entry = MemoryEntry(
        ...     memory_id="0" * 31 + "1",
        ...     run_id="default",
        ...     agent_id="ant-1",
        ...     step_number=7,
        ...     timestamp=1_700_000_000.0,
        ...     memory_type="state",
        ...     contents={"food": 3.5},
        ... )
        >>> entry.creation_time == entry.timestamp
        True
    """

    memory_id: str
    run_id: str
    agent_id: str
    step_number: int
    timestamp: float
    memory_type: MemoryType
    contents: Mapping[str, Any]
    importance_score: float = 1.0
    compression_level: int = 0
    retrieval_count: int = 0
    creation_time: float = field(default=_AS_TIMESTAMP, repr=False)
    last_access_time: float = field(default=_AS_TIMESTAMP, repr=False)
    embedding: NDArray[np.float32] | None = None
    encoder_version: int | None = None
    revision: int = 0
    error_bounds: Mapping[str, float] | None = None
    pinned: bool = False

    def __post_init__(self) -> None:
        """Check every field, and bring each to its own type."""
        put = object.__setattr__
        put(self, "memory_id", checked_memory_id(self.memory_id))
        put(self, "run_id", checked_run_id(self.run_id))
        put(self, "agent_id", checked_agent_id(self.agent_id))
        put(self, "step_number", checked_step(self.step_number))
        put(self, "timestamp", checked_time("timestamp", self.timestamp))
        put(self, "memory_type", checked_member("memory_type", MemoryType, self.memory_type))
        put(self, "contents", as_contents(self.contents))
        put(self, "importance_score", checked_importance(self.importance_score))
        put(self, "compression_level", checked_level(self.compression_level))
        put(self, "retrieval_count", checked_count("retrieval_count", self.retrieval_count))
        put(self, "revision", checked_count("revision", self.revision))
        for name in ("creation_time", "last_access_time"):
            value = getattr(self, name)
            # A default cannot name another field.
            time = self.timestamp if value is _AS_TIMESTAMP else checked_time(name, value)
            put(self, name, time)
        if self.embedding is not None:
            put(self, "embedding", checked_embedding(self.embedding))
        if self.encoder_version is not None:
            put(self, "encoder_version", checked_version(self.encoder_version, "encoder_version"))
        if self.error_bounds is not None:
            put(self, "error_bounds", checked_bounds(self.error_bounds))
        if self.pinned is not False:
            put(self, "pinned", checked_flag("pinned", self.pinned))

    @classmethod
    def restored(cls, *values: Any, is_finite: bool = False) -> MemoryEntry:
        """Make an entry of what was read from a store, each value of its field's own type.

        Every field was checked when it was stored; here only their ranges are, since checking
        types again would take as long as reading the entry did.

        Args:
            values: All fields in their order, as the constructor takes them; ``contents`` a dict.
            is_finite: Whether the embedding is known to be of finite numbers.

        Raises:
            InvalidEntry: A field has no meaning.

        Examples:
            >>> values = [getattr(entry, name) for name in MemoryEntry.__slots__]
            >>> MemoryEntry.restored(*values) == entry
            True
        """
        it: Any = _Draft()
        it.memory_id, it.run_id, it.agent_id, it.step_number, it.timestamp = values[:5]
        it.memory_type, it.contents, it.importance_score, it.compression_level = values[5:9]
        it.retrieval_count, it.creation_time, it.last_access_time = values[9:12]
        it.embedding, it.encoder_version, it.revision, it.error_bounds, it.pinned = values[12:]
        sound = (
            _MEMORY_ID.fullmatch(it.memory_id)
            and 0 <= it.step_number <= MAX_STEP
            and 0.0 <= it.importance_score <= 1.0
            and 0 <= it.compression_level <= 2
            and it.retrieval_count >= 0
            and it.revision >= 0
            and (it.encoder_version is None or 0 <= it.encoder_version <= MAX_STEP)
            and (it.error_bounds is None or type(it.error_bounds) is CodeBounds)
            and math.isfinite(it.timestamp + it.creation_time + it.last_access_time)
            and (is_finite or it.embedding is None or all_finite(it.embedding))
        )
        if not sound:
            # It may be sound all the same: it has bounds that were stored beside it (those of a
            # code are its own), or times whose sum is beyond any double.
            return cls(**dict(zip(cls.__slots__, values, strict=True)))
        it.__class__ = cls
        entry: MemoryEntry = it
        return entry

    @classmethod
    def restored_many(cls, *columns: Iterable[Any]) -> list[MemoryEntry]:
        """Make entries of what was read from a store, field by field.

        Args:
            columns: The values of each field, in the order that the constructor takes them. Their
                types and ranges have been checked.

        Examples:
            >>> columns = [[getattr(entry, name)] for name in MemoryEntry.__slots__]
            >>> MemoryEntry.restored_many(*columns) == [entry]
            True
        """
        entries: list[Any] = []
        for values in zip(*columns, strict=True):
            it: Any = _Draft()
            # All in one line of bytecode: a fifth of the time that a constructor takes.
            (
                it.memory_id, it.run_id, it.agent_id, it.step_number, it.timestamp,
                it.memory_type, it.contents, it.importance_score, it.compression_level,
                it.retrieval_count, it.creation_time, it.last_access_time, it.embedding,
                it.encoder_version, it.revision, it.error_bounds, it.pinned,
            ) = values  # fmt: skip
            it.__class__ = cls
            entries.append(it)
        return entries

    @property
    def key(self) -> EntryKey:
        """Where to look for it.

        Examples:
            >>> entry.key.run_id
            'default'
        """
        return EntryKey(self.run_id, self.agent_id, self.memory_id)

    def to_dict(self, *, as_json: bool = False) -> dict[str, Any]:
        """Give the nested dict that the dict-style API speaks (see ``from_dict``).

        What most entries lack is left out: ``revision`` 0, ``encoder_version`` and
        ``error_bounds`` of None, ``pinned`` False.

        Args:
            as_json: Give contents too as ``json.dumps`` takes them: a time as ISO 8601, bytes as
                URL-safe base64, a tuple as a list. As they are they may hold what JSON lacks, and
                come back.

        Examples:
            >>> entry.to_dict()["metadata"]["memory_type"]
            'state'
        """
        vectors = {}
        if self.embedding is not None:
            vectors[_EMBEDDING_NAMES[min(self.compression_level, 2)]] = self.embedding.tolist()
        bounds = None if self.error_bounds is None else dict(self.error_bounds)
        marks = {
            name: value
            for name, value in (
                ("revision", self.revision or None),
                ("encoder_version", self.encoder_version),
                ("error_bounds", bounds),
                ("pinned", self.pinned or None),
            )
            if value is not None
        }
        return {
            "memory_id": self.memory_id,
            "run_id": self.run_id,
            "agent_id": self.agent_id,
            "step_number": self.step_number,
            "timestamp": self.timestamp,
            "contents": json_values(self.contents) if as_json else dict(self.contents),
            "metadata": {
                "creation_time": self.creation_time,
                "last_access_time": self.last_access_time,
                "compression_level": self.compression_level,
                "importance_score": self.importance_score,
                "retrieval_count": self.retrieval_count,
                "memory_type": self.memory_type.value,
                **marks,
            },
            "embeddings": vectors,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MemoryEntry:
        """Make an entry of the nested dict that ``to_dict`` gives.

        Raises:
            InvalidEntry: A field is missing, unknown or has no meaning.

        Examples:
            >>> MemoryEntry.from_dict(entry.to_dict()) == entry
            True
        """
        if not is_a(values, Mapping):
            raise InvalidEntry(f"entry: a dict is needed, not {quoted(values)}")
        flat = {name: value for name, value in values.items() if name not in _NESTED}
        metadata, vectors = (values.get(name) or {} for name in _NESTED)
        if not isinstance(metadata, Mapping) or not isinstance(vectors, Mapping):
            raise InvalidEntry("entry: metadata and embeddings must be dicts")
        flat |= metadata
        level = flat.get("compression_level", 0)
        if vectors:
            flat["embedding"] = _chosen_vector(vectors, level)
        unknown = flat.keys() - {known.name for known in fields(cls)}
        if unknown:
            raise InvalidEntry(f"entry: unknown field {min(unknown, key=str)!r}")
        try:
            return cls(**flat)
        except TypeError as error:
            raise_if_interrupted(error)
            raise InvalidEntry(f"entry: {error}".replace("MemoryEntry.__init__() ", "")) from error

    __repr__ = short_repr("agent_id", "step_number", "memory_type", "contents")

    def _repr_html_(self) -> str:
        named = {name: getattr(self, name) for name in _IN_HTML}
        contents = {f"contents.{name}": value for name, value in self.contents.items()}
        return html_fields("MemoryEntry", named | contents)

    def __eq__(self, other: object) -> bool:
        """Compare every field; contents and embedding by their bytes."""
        if not isinstance(other, MemoryEntry):
            return NotImplemented
        return _plain_fields(self) == _plain_fields(other) and (
            _exact_bytes(self) == _exact_bytes(other)
        )

    def __hash__(self) -> int:
        return hash(self.key)


_IN_HTML = ("run_id", "agent_id", "step_number", "memory_type", "timestamp", "importance_score",
            "memory_id")  # fmt: skip


class _Draft:
    """An entry that is being filled, one field after the other, and then becomes one.

    Setting seventeen fields of what is frozen already takes four times as long.
    """

    __slots__ = MemoryEntry.__slots__


_NESTED = ("metadata", "embeddings")


def _chosen_vector(vectors: Mapping[str, Any], level: object) -> object:
    """The vector of the entry's level, or else the widest there is."""
    unknown = vectors.keys() - {*_EMBEDDING_NAMES}
    if unknown:
        raise InvalidEntry(f"entry: unknown vector {min(unknown, key=str)!r} in embeddings")
    own = _EMBEDDING_NAMES[level] if level in (0, 1, 2) else ""
    return next((vectors[name] for name in (own, *_EMBEDDING_NAMES) if name in vectors), None)


# Contents and vectors differ when any bit does, as that of -0.0.
_BY_BYTES = ("contents", "embedding")
_plain_fields = attrgetter(
    *(known.name for known in fields(MemoryEntry) if known.name not in _BY_BYTES)
)


def _exact_bytes(entry: MemoryEntry) -> tuple[bytes, bytes | None]:
    vector = None if entry.embedding is None else entry.embedding.tobytes()
    return pack(entry.contents), vector
