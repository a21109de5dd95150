"""The values everything here speaks in: an entry, its key, a query and a hit. No I/O."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_memory.errors import InvalidEntry
from agent_memory.values.attributes import Condition, checked_conditions
from agent_memory.values.contents import CodeBounds, as_contents, pack
from agent_memory.values.identity import checked_agent_id, checked_memory_id, checked_run_id
from agent_memory.values.quoting import quoted

MAX_COUNT = 2**63 - 1
"""Counts and revisions beyond this fit no engine."""

MAX_STEP = 2**53
"""Steps beyond this have no exact double, which sorted sets in Redis score by."""


class MemoryType(StrEnum):
    """What kind of thing an entry remembers."""

    STATE = "state"
    INTERACTION = "interaction"
    ACTION = "action"


class Tier(IntEnum):
    """Where an entry is; the number is the compression level usual there."""

    STM = 0
    IM = 1
    LTM = 2


class Order(StrEnum):
    """In which order entries are given. Ties break by memory id, in the same direction."""

    OLDEST = "oldest"
    """By timestamp, ascending."""
    NEWEST = "newest"
    """By timestamp, descending."""
    STEP = "step"
    """By step, ascending."""
    IMPORTANCE = "importance"
    """By importance, descending."""


class EntryKey(NamedTuple):
    """Where to look for an entry. Run and memory id name it; the agent says where it lies."""

    run_id: str
    agent_id: str
    memory_id: str


_MEMORY_ID = re.compile(r"[0-9a-f]{32}")

# Stands for the entry's own timestamp; told apart by identity, and refused as a time.
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
    creation_time: float = _AS_TIMESTAMP
    last_access_time: float = _AS_TIMESTAMP
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
        put(self, "timestamp", _checked_time("timestamp", self.timestamp))
        put(self, "memory_type", _checked_type(self.memory_type))
        put(self, "contents", as_contents(self.contents))
        put(self, "importance_score", checked_importance(self.importance_score))
        put(self, "compression_level", checked_level(self.compression_level))
        put(self, "retrieval_count", _checked_count("retrieval_count", self.retrieval_count))
        put(self, "revision", _checked_count("revision", self.revision))
        for name in ("creation_time", "last_access_time"):
            value = getattr(self, name)
            # A default cannot name another field.
            time = self.timestamp if value is _AS_TIMESTAMP else _checked_time(name, value)
            put(self, name, time)
        if self.embedding is not None:
            put(self, "embedding", checked_embedding(self.embedding))
        if self.encoder_version is not None:
            put(self, "encoder_version", checked_version(self.encoder_version, "encoder_version"))
        if self.error_bounds is not None:
            put(self, "error_bounds", _checked_bounds(self.error_bounds))
        if self.pinned is not False:
            put(self, "pinned", _checked_flag("pinned", self.pinned))

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
            and (is_finite or it.embedding is None or _is_finite(it.embedding))
        )
        if not sound:
            # It may be sound all the same: it has bounds that were stored beside it (those of a
            # code are its own), or times whose sum is beyond any double.
            return cls(**dict(zip(cls.__slots__, values, strict=True)))
        it.__class__ = cls
        entry: MemoryEntry = it
        return entry

    @property
    def key(self) -> EntryKey:
        """Where to look for it."""
        return EntryKey(self.run_id, self.agent_id, self.memory_id)

    def to_dict(self) -> dict[str, Any]:
        """Give the nested dict that the dict-style API speaks (see ``from_dict``)."""
        vectors = {}
        if self.embedding is not None:
            vectors[_EMBEDDING_NAMES[min(self.compression_level, 2)]] = self.embedding.tolist()
        marks = {"pinned": True} if self.pinned else {}
        return {
            "memory_id": self.memory_id,
            "run_id": self.run_id,
            "agent_id": self.agent_id,
            "step_number": self.step_number,
            "timestamp": self.timestamp,
            "contents": dict(self.contents),
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
        """
        if not _is(values, Mapping):
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
            raise InvalidEntry(f"entry: {error}".replace("MemoryEntry.__init__() ", "")) from error

    def __eq__(self, other: object) -> bool:
        """Compare every field; contents and embedding by their bytes."""
        if not isinstance(other, MemoryEntry):
            return NotImplemented
        return _comparable(self) == _comparable(other)

    def __hash__(self) -> int:
        return hash(self.key)


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


def _comparable(entry: MemoryEntry) -> tuple[object, ...]:
    plain = [
        getattr(entry, known.name)
        for known in fields(entry)
        if known.name not in ("contents", "embedding")
    ]
    vector = None if entry.embedding is None else entry.embedding.tobytes()
    return (*plain, pack(entry.contents), vector)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question about the memories of one agent; what is left out does not filter.

    Attributes:
        agent_id: Whose memories.
        run_id: Of which run; None stands for the run the asked one is bound to.
        steps: First and last step, both included.
        times: First and last timestamp, both included.
        memory_type: Only this type.
        importance: Least and greatest importance, both included.
        attributes: Conditions on contents by path, all of which must hold; see ``attributes``:
            ``{"mood": "calm", "home.food": (3, 10)}``.
        pinned: Only those that are pinned (True), or that are not (False).
        order: In which order, and so which entries a limit keeps.
        limit: At most this many entries; None for all.

    Raises:
        InvalidEntry: A field has no meaning; the message names it.
    """

    agent_id: str
    run_id: str | None = None
    steps: tuple[int, int] | None = None
    times: tuple[float, float] | None = None
    memory_type: MemoryType | None = None
    importance: tuple[float, float] | None = None
    attributes: Mapping[str, Condition] = field(default_factory=dict, hash=False)
    pinned: bool | None = None
    order: Order = Order.OLDEST
    limit: int | None = None

    def __post_init__(self) -> None:
        """Check every field, and bring each to its own type."""
        put = object.__setattr__
        put(self, "agent_id", checked_agent_id(self.agent_id))
        if self.run_id is not None:
            put(self, "run_id", checked_run_id(self.run_id))
        for name in ("steps", "times", "importance"):
            put(self, name, _checked_range(name, getattr(self, name)))
        if self.memory_type is not None:
            put(self, "memory_type", _checked_type(self.memory_type))
        put(self, "attributes", checked_conditions(self.attributes))
        if self.pinned is not None:
            put(self, "pinned", _checked_flag("pinned", self.pinned))
        put(self, "order", _checked_order(self.order))
        put(self, "limit", checked_limit(self.limit))

    def within(self, run_id: str) -> Query:
        """The same question, bound to a run if it names none."""
        return self if self.run_id is not None else replace(self, run_id=run_id)


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry that answers a query, and where it was found.

    Attributes:
        entry: The entry; its ``error_bounds`` say how exact its contents are.
        tier: Where it was found.
        score: Similarity, -1 to 1, where the query asked for similarity; else None.
    """

    entry: MemoryEntry
    tier: Tier
    score: float | None = None

    @property
    def fidelity(self) -> int:
        """The compression level of what was found: 0 is what was stored."""
        return self.entry.compression_level


def checked_step(step: object) -> int:
    """Return a step as an int.

    Raises:
        InvalidEntry: It is no integer, negative, or beyond ``MAX_STEP``.
    """
    step = _checked_count("step_number", step)
    if step > MAX_STEP:
        raise InvalidEntry(f"step_number: {step} is beyond {MAX_STEP}")
    return step


def checked_limit(limit: object) -> int | None:
    """Return how many are asked for at most as an int; None for all.

    Raises:
        InvalidEntry: It is no integer, or negative.
    """
    return None if limit is None else _checked_count("limit", limit)


def checked_version(version: object, name: str = "version") -> int:
    """Return the number of a version of the encoder as an int.

    Raises:
        InvalidEntry: It is no integer, negative, or beyond ``MAX_STEP``.
    """
    number = _checked_count(name, version)
    if number > MAX_STEP:
        raise InvalidEntry(f"{name}: {number} is beyond {MAX_STEP}")
    return number


def checked_importance(importance: object) -> float:
    """Return an importance (or priority) as a float.

    Raises:
        InvalidEntry: It is no number between 0 and 1.
    """
    number = _checked_number("importance_score", importance)
    if not 0.0 <= number <= 1.0:
        raise InvalidEntry(f"importance_score (priority): {number} is not between 0 and 1")
    return number + 0.0


def checked_level(level: object) -> int:
    """Return a compression level.

    Raises:
        InvalidEntry: It is none of 0, 1, 2.
    """
    if type(level) is int and 0 <= level <= 2:
        return level
    level = _checked_count("compression_level", level)
    if level > 2:
        raise InvalidEntry(f"compression_level: {level} is none of 0, 1, 2")
    return level


def _checked_flag(name: str, value: object) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise InvalidEntry(f"{name}: True or False is needed, not {value!r:.80}")


def _checked_number(name: str, value: object) -> float:
    # Exact types first, here and below: an entry is checked on every read and every move, and
    # asking for an abstract base class takes ten times as long.
    if type(value) is float:
        return value
    if type(value) is bool or not _is(value, numbers.Real):
        raise InvalidEntry(f"{name}: a number is needed, not {quoted(value)}")
    try:
        return float(value)  # type: ignore[arg-type]  # asked above
    except OverflowError as error:
        raise InvalidEntry(f"{name}: an integer beyond any double") from error
    except Exception as error:
        raise InvalidEntry(f"{name}: {quoted(value)} is no number") from error


def _is(value: object, kind: Any) -> bool:
    """Whether a value is of a kind; one that does not tell its class is of none."""
    try:
        return isinstance(value, kind)
    except Exception:  # noqa: BLE001  # its own code, which may raise anything
        return False


def _checked_count(name: str, value: object) -> int:
    if type(value) is int and 0 <= value <= MAX_COUNT:
        return value
    number = _as_int(name, value)
    if number < 0:
        raise InvalidEntry(f"{name}: {quoted(number)} is negative")
    if number > MAX_COUNT and name != "limit":
        raise InvalidEntry(f"{name}: {quoted(number)} is beyond {MAX_COUNT}")
    return min(number, MAX_COUNT)


def _as_int(name: str, value: object) -> int:
    if type(value) is bool or not _is(value, numbers.Integral):
        raise InvalidEntry(f"{name}: an integer is needed, not {quoted(value)}")
    try:
        return int(value)  # type: ignore[call-overload, no-any-return]  # asked above
    except Exception as error:
        raise InvalidEntry(f"{name}: {quoted(value)} is no integer") from error


def _checked_time(name: str, value: object) -> float:
    number = _checked_number(name, value)
    if not math.isfinite(number):
        raise InvalidEntry(f"{name}: {number} is not a finite number")
    # Adding zero turns -0.0 into 0.0, which not every engine tells apart.
    return number + 0.0


def _checked_type(value: object) -> MemoryType:
    if type(value) is MemoryType:
        return value
    try:
        return MemoryType(value)  # type: ignore[arg-type]  # the enum refuses what it does not know
    except Exception as error:
        known = ", ".join(MemoryType)
        raise InvalidEntry(f"memory_type: {quoted(value)} is none of {known}") from error


def _checked_order(value: object) -> Order:
    try:
        return Order(value)  # type: ignore[arg-type]  # the enum refuses what it does not know
    except Exception as error:
        raise InvalidEntry(f"order: {quoted(value)} is none of {', '.join(Order)}") from error


def _checked_range(name: str, value: object) -> tuple[float, float] | None:
    if value is None:
        return None
    if not _is(value, (tuple, list)) or len(value) != 2:  # type: ignore[arg-type]  # asked first
        raise InvalidEntry(f"{name}: a pair (first, last) is needed, not {quoted(value)}")
    first, last = (_bound(name, bound) for bound in value)  # type: ignore[attr-defined]  # above
    return first, last


def _bound(name: str, value: object) -> float:
    if name == "steps":
        return _as_int("steps", value)
    number = _checked_number(name, value)
    if math.isnan(number):
        raise InvalidEntry(f"{name}: NaN is no bound")
    return number


def _checked_bounds(value: object) -> dict[str, float]:
    if type(value) is CodeBounds:
        return value
    if not _is(value, Mapping):
        raise InvalidEntry(f"error_bounds: a dict by path is needed, not {quoted(value)}")
    bounds = {}
    for path, bound in value.items():  # type: ignore[attr-defined]  # asked above
        bounds[path] = _checked_number("error_bounds", bound)
        if not isinstance(path, str) or not bounds[path] >= 0.0:
            raise InvalidEntry(
                f"error_bounds: {quoted(path)}: {quoted(bound)} is no bound of a path"
            )
    return bounds


def _as_vector(value: object) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite, and is refused
            # Item by item: of a list within itself asarray would try all ways through it.
            if isinstance(value, (list, tuple)):
                return np.fromiter(value, np.float32)
            return np.asarray(value, dtype=np.float32)
    except Exception as error:
        # A number beyond any double, a ragged list, or what a value's own code raises.
        raise InvalidEntry(
            f"embedding: numbers of shape (dim,) are needed ({type(error).__name__})"
        ) from error


def _is_finite(vector: NDArray[np.float32]) -> bool:
    """Whether all numbers of a vector are finite, and there are any."""
    # Counting takes half as long as ``all``.
    return 0 < vector.size == np.count_nonzero(np.isfinite(vector))


def checked_embedding(value: object) -> NDArray[np.float32]:
    """Return a vector as float32 of shape (dim,).

    Raises:
        InvalidEntry: It is none, is empty, or holds what is no finite number.
    """
    ready = isinstance(value, np.ndarray) and value.dtype == np.float32
    vector: NDArray[np.float32] = value if ready else _as_vector(value)  # type: ignore[assignment]  # asked above
    if vector.ndim != 1 or not _is_finite(vector):
        raise InvalidEntry(
            f"embedding: finite numbers of shape (dim,) are needed, not {vector.shape}"
        )
    return vector
