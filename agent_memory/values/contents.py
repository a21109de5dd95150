"""What an entry may hold, and the exact bytes it becomes.

``pack`` turns contents into MessagePack with extension types for what MessagePack lacks, and
``unpack`` gives back values of the same types. Three families change on the way in, because
giving them back would mean importing code that stored bytes name: an enum member becomes its
value, a dataclass or pydantic model the dict of its fields, a subclass of dict, list or tuple
the plain type. What cannot be kept is refused by its path and never dropped. The table of all
types is in ``docs/contents.md``; each of its rows is a test.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import uuid
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from reprlib import repr as shown
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgpack
import numpy as np

from agent_memory.errors import EncodingError, InvalidEntry
from agent_memory.values.extent import TooDeep, TooMuch, measure

MAX_DEPTH = 500
"""How deep lists and dicts may be nested, in levels.

MessagePack's own limits differ by version, and one version packed what it would not unpack.
"""

MOST_BYTES = 2**30
"""How many bytes contents may need where no other limit is given."""

_MAX_EXTENSION_DEPTH = 100  # tuples and sets within each other: each level is a Python call

_TUPLE, _BIG_INT, _DATETIME, _DATE, _TIME, _TIMEDELTA = 1, 2, 3, 4, 5, 6
_SCALAR, _ARRAY, _SET, _FROZENSET, _COMPLEX, _DECIMAL, _UUID = 7, 8, 9, 10, 11, 12, 13

# The commonest dtypes are named by their place in this list, in one byte. Append only.
_DTYPES = tuple(
    np.dtype(name)
    for name in (
        *("|b1", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8"),
        *("<f2", "<f4", "<f8", "<c8", "<c16"),
    )
)
_DTYPE_CODES = {dtype: code for code, dtype in enumerate(_DTYPES)}
_OTHER_DTYPE = 255
# Object arrays hold pointers, void arrays lose their field names, long doubles differ by machine.
_DTYPE_KINDS = "biufcSUmM"

# Of these the type alone would not say what is wrong.
_EXPLAINED = (np.generic, np.ndarray, dt.datetime, dt.time)

# What damaged bytes raise, in MessagePack, in NumPy and in the types they claim to be.
_DAMAGES = (
    *(ValueError, TypeError, KeyError, IndexError, RecursionError, ArithmeticError, MemoryError),
    *(msgpack.UnpackException, ZoneInfoNotFoundError, OSError),
    SystemError,  # NumPy's, for text with a character beyond Unicode
)
# What packing raises for what it cannot store; BufferError is a memoryview's with gaps.
_REFUSALS = (TypeError, ValueError, OverflowError, RecursionError, BufferError)


CODED_FROM, CODED_BELOW = 0x02, 0x80
"""The first byte of contents that a fitted code has coded; ``pack`` begins with 0x80 or more."""

_SHORT = CODED_BELOW - 1 - CODED_FROM  # versions below this are told in the first byte
_LONG = bytes([CODED_BELOW - 1])  # stands before a version of eight bytes
CODED_MARK = 9
"""How many bytes tell the version of a code at most."""


class CodeBounds(dict[str, float]):
    """Bounds that a fitted code tells, by path: they were checked when it was read."""


class CodedContents(dict[str, Any]):
    """Contents that a fitted code gave back: a dict that knows how far its numbers may be off.

    Attributes:
        version: Whose code it was.
        level: The level they were coded at: 1 or 2.
        bounds: By path, how far a number may be from the original; others are exact.
        beside_vector: Whether the vector that rests beside them told a part, and so is of the same
            version.
    """

    __slots__ = ("beside_vector", "bounds", "level", "version")

    def __init__(
        self,
        contents: Mapping[str, Any],
        version: int,
        level: int,
        bounds: CodeBounds,
        *,
        beside_vector: bool = False,
    ) -> None:
        super().__init__(contents)
        self.version = version
        self.level = level
        self.bounds = bounds
        self.beside_vector = beside_vector


def is_coded(stored: bytes) -> bool:
    """Whether stored contents were coded by a fitted code, which knows their bounds."""
    return bool(stored) and CODED_FROM <= stored[0] < CODED_BELOW


def marked(version: int, coded: bytes) -> bytes:
    """Contents as they are stored that the code of a version has coded."""
    mark = bytes([CODED_FROM + version]) if version < _SHORT else _LONG + version.to_bytes(8, "big")
    return mark + coded


def unmarked(stored: bytes) -> tuple[int, bytes]:
    """The version whose code stored contents name, and the rest.

    Raises:
        EncodingError: Only their beginning is there.
    """
    if stored[:1] != _LONG:
        return stored[0] - CODED_FROM, stored[1:]
    if len(stored) < CODED_MARK:
        raise EncodingError("stored contents cannot be read (only their beginning is there)")
    return int.from_bytes(stored[1:CODED_MARK], "big"), stored[CODED_MARK:]


def code_named_by(stored: bytes) -> int | None:
    """The version whose code stored contents, or their first bytes, name.

    Returns:
        None: they are exact, or too short to tell.
    """
    whole = is_coded(stored) and (stored[:1] != _LONG or len(stored) >= CODED_MARK)
    return unmarked(stored)[0] if whole else None


def bounds_of(contents: object, stored: Mapping[str, float] | None) -> Mapping[str, float] | None:
    """The bounds of contents that were read: their code's, or those stored beside them."""
    return contents.bounds or None if isinstance(contents, CodedContents) else stored


def pack(contents: Mapping[str, Any], *, max_bytes: int | None = None) -> bytes:
    """Encode contents exactly.

    Args:
        contents: A dict (or mapping) of what is remembered; nested at most ``MAX_DEPTH`` levels.
        max_bytes: Refuse contents that need more than this many bytes.

    Returns:
        A MessagePack map.

    Raises:
        InvalidEntry: A value cannot be stored; the message names its path.
    """
    check_extent(contents, max_bytes)
    packer = _Packer()
    try:
        packed = packer.pack(contents if type(contents) is dict else dict(contents))
        merged = next(_merged_keys(contents, "contents"), None) if packer.changed else None
    except _REFUSALS as error:
        raise InvalidEntry(_complaint(contents)) from error
    except Exception as error:
        raise InvalidEntry(_own_fault(error)) from error
    if merged is not None:
        raise InvalidEntry(f"{merged}; use keys that stay distinct")
    if max_bytes is not None and len(packed) > max_bytes:
        raise _too_much(len(packed), max_bytes)
    return packed


def check_extent(contents: object, max_bytes: int | None = None) -> None:
    """See that contents are not too large or too deep, before any of them is copied.

    Args:
        contents: A mapping, dataclass or pydantic model.
        max_bytes: How many bytes they may need; None: ``MOST_BYTES``.

    Raises:
        InvalidEntry: They are, or their own code fails.
    """
    most = MOST_BYTES if max_bytes is None else max_bytes
    try:
        measure(contents, most, MAX_DEPTH)
    except TooMuch as error:
        raise _too_much(None, most) from error
    except TooDeep as error:
        raise InvalidEntry(_complaint(contents)) from error
    except Exception as error:
        raise InvalidEntry(_own_fault(error)) from error


def _too_much(size: int | None, most: int) -> InvalidEntry:
    told = "more bytes than allowed" if size is None else f"{size} bytes"
    return InvalidEntry(
        f"contents: {told} exceed max_entry_bytes={most}; "
        "store less, or raise the limit in MemoryConfig"
    )


def _own_fault(error: Exception) -> str:
    return f"contents: a value's own code fails when it is read ({type(error).__name__})"


def unpack(packed: bytes) -> dict[str, Any]:
    """Decode what ``pack`` made.

    Raises:
        EncodingError: The bytes are damaged or were made by a newer version of this package.
    """
    try:
        contents = _unpack(packed)
    except _DAMAGES as error:
        raise EncodingError(f"stored contents cannot be read ({error!r})") from error
    if not isinstance(contents, dict):
        raise EncodingError("stored contents cannot be read (not a map)")
    return contents


def as_contents(value: object) -> Mapping[str, Any]:
    """Take what a simulation hands over as contents: a mapping, a dataclass or a pydantic model.

    Raises:
        InvalidEntry: It is none of these.
    """
    # The exact type first: asking for an abstract base class takes ten times as long.
    if type(value) is dict:
        return value
    try:
        if isinstance(value, Mapping):
            return value
        fields = _fields_of(value)
    except Exception as error:
        raise InvalidEntry(_own_fault(error)) from error
    if fields is None:
        raise InvalidEntry(
            f"contents: a dict, dataclass or pydantic model is needed, not {_type_name(value)}"
        )
    return fields


class _Packer:
    """One call's encoder; counts how deep the extension types nest."""

    def __init__(self) -> None:
        self._depth = 0
        self.changed = False

    def pack(self, value: object) -> bytes:
        # A packer allocates its buffer up front, a megabyte unless told: 4 KiB fit a usual state.
        packer = msgpack.Packer(
            default=self._extend,
            strict_types=True,
            use_bin_type=True,
            unicode_errors="surrogatepass",
            buf_size=4096,
        )
        packed: bytes = packer.pack(value)
        return packed

    def _nested(self, value: object) -> bytes:
        if self._depth >= _MAX_EXTENSION_DEPTH:
            raise ValueError("nested too deep")
        self._depth += 1
        try:
            return self.pack(value)
        finally:
            self._depth -= 1

    def _extend(self, value: object) -> object:
        """Encode what MessagePack has no type for; raises TypeError for what has no place.

        MessagePack asks only once, so what is returned must need no second call.
        """
        if type(value) is tuple:
            return msgpack.ExtType(_TUPLE, self._nested(list(value)))
        if isinstance(value, np.generic):
            return msgpack.ExtType(_SCALAR, _dump_scalar(value))
        if isinstance(value, np.ndarray):
            return msgpack.ExtType(_ARRAY, self._nested(_dump_array(value)))
        simple = _SIMPLE.get(type(value))
        if simple is not None:
            code, dump = simple
            return msgpack.ExtType(code, self._nested(dump(value)))
        if type(value) is int:
            size = value.bit_length() // 8 + 1
            return msgpack.ExtType(_BIG_INT, value.to_bytes(size, "big", signed=True))
        if type(value) in (set, frozenset):
            return self._extend_set(value)  # type: ignore[arg-type]  # the line above says so
        return self._settle(_plain(value))

    def _extend_set(self, value: set[object] | frozenset[object]) -> object:
        # Sorted by their bytes, so that equal sets become equal bytes.
        members = b"".join(sorted(self._nested(member) for member in value))
        return msgpack.ExtType(_SET if type(value) is set else _FROZENSET, members)

    def _settle(self, value: object) -> object:
        self.changed = True
        native = type(value) in (dict, list, str, bytes, float, bool, type(None))
        small = type(value) is int and -(2**63) <= value < 2**64
        return value if native or small else self._extend(value)


_PLAIN_KINDS: tuple[type[Any], ...] = (int, float, bytes, tuple, list, dict)


def _plain(value: object) -> object:
    """The plain value that stands for one of a class of its own."""
    if isinstance(value, enum.Enum):
        return value.value
    plain = next((kind for kind in _PLAIN_KINDS if isinstance(value, kind)), None)
    if plain is not None:
        return plain(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return dict(value)
    fields = _fields_of(value)
    if fields is None:
        raise TypeError(f"object of type {_type_name(value)}")
    return fields


def _merged_keys(value: object, path: str) -> Iterator[str]:
    """Find keys and set members that were distinct and would no longer be, once made plain."""
    children = _children(value, path)
    if children is None:
        return
    if isinstance(value, (Mapping, set, frozenset)):
        seen: set[object] = set()
        for key in value:
            try:
                plain = _unpack(_Packer().pack([key]))[0]
                merged = plain in seen
            except TypeError:
                yield f"{path}: key {shown(key)} would become a dict or list, which is no key"
                return
            if merged:
                yield f"{path}: key {shown(key)} would become {shown(plain)}, there already"
            seen.add(plain)
    for child, child_path in children:
        yield from _merged_keys(child, child_path)


def _fields_of(value: object) -> dict[str, Any] | None:
    """The fields of a dataclass or pydantic model as a dict; None for anything else."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    # Asked by its mark, not by isinstance: importing pydantic here would cost every process 0.1 s.
    fields = getattr(type(value), "__pydantic_fields__", None)
    if fields is None:
        return None
    extra = getattr(value, "__pydantic_extra__", None) or {}
    return {name: getattr(value, name) for name in fields} | dict(extra)


def _dump_scalar(value: np.generic) -> bytes:
    dtype = value.dtype
    code = _DTYPE_CODES.get(dtype)
    if code is None:
        code, body = _OTHER_DTYPE, msgpack.packb([_dtype_name(dtype), value.tobytes()])
    elif dtype.kind in "iu":
        body = msgpack.packb(value.item())
    else:
        body = value.tobytes()
    return bytes([code, *body])


def _load_scalar(body: bytes) -> object:
    code = body[0]
    if code == _OTHER_DTYPE:
        name, raw = msgpack.unpackb(body[1:])
        other = _known_dtype(name)
        # An empty text has no bytes of its own, and NumPy pads it to one character.
        return np.frombuffer(raw, other)[0] if other.itemsize else np.zeros(1, other)[0]
    dtype = _DTYPES[code]
    if dtype.kind in "iu":
        return dtype.type(msgpack.unpackb(body[1:]))
    return np.frombuffer(body[1:], dtype=dtype)[0]


def _dump_array(array: np.ndarray[Any, Any]) -> list[object]:
    if type(array) is not np.ndarray:
        raise TypeError(f"object of type {_type_name(array)}")
    return [_dtype_name(array.dtype), list(array.shape), array.tobytes()]


def _load_array(body: list[Any]) -> np.ndarray[Any, Any]:
    name, shape, raw = body
    # A copy, because an array over the stored bytes could not be written to.
    return np.frombuffer(raw, dtype=_known_dtype(name)).reshape(shape).copy()


def _dtype_name(dtype: np.dtype[Any]) -> str:
    if dtype.kind not in _DTYPE_KINDS or dtype.type in (np.longdouble, np.clongdouble):
        raise TypeError(f"numpy dtype {dtype}")
    return dtype.str


def _known_dtype(name: str) -> np.dtype[Any]:
    dtype = np.dtype(name)
    if dtype.kind not in _DTYPE_KINDS:
        raise ValueError(f"numpy dtype {name}")
    return dtype


def _dump_zone(zone: dt.tzinfo | None) -> object:
    if zone is None:
        return None
    if isinstance(zone, ZoneInfo) and zone.key is not None:
        return zone.key
    if type(zone) is dt.timezone:
        offset, name = zone.utcoffset(None), zone.tzname(None)
        own_name = [] if name == dt.timezone(offset).tzname(None) else [name]
        return [*_dump_timedelta(offset), *own_name]
    raise TypeError(f"time zone of type {_type_name(zone)}")


def _load_zone(zone: object) -> dt.tzinfo | None:
    if zone is None:
        return None
    if isinstance(zone, str):
        return ZoneInfo(zone)
    parts: list[Any] = list(zone)  # type: ignore[call-overload]  # days, seconds, ..., and a name
    return dt.timezone(_load_timedelta(parts[:3]), *parts[3:])


def _dump_timedelta(value: dt.timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _load_timedelta(body: Any) -> dt.timedelta:
    days, seconds, microseconds = body
    return dt.timedelta(days, seconds, microseconds)


def _dump_datetime(value: dt.datetime) -> list[object]:
    return [value.replace(tzinfo=None).isoformat(), value.fold, _dump_zone(value.tzinfo)]


def _load_datetime(body: Any) -> dt.datetime:
    text, fold, zone = body
    return dt.datetime.fromisoformat(text).replace(fold=fold, tzinfo=_load_zone(zone))


def _dump_time(value: dt.time) -> list[object]:
    return [value.replace(tzinfo=None).isoformat(), value.fold, _dump_zone(value.tzinfo)]


def _load_time(body: Any) -> dt.time:
    text, fold, zone = body
    return dt.time.fromisoformat(text).replace(fold=fold, tzinfo=_load_zone(zone))


_SIMPLE: Mapping[type, tuple[int, Callable[[Any], object]]] = {
    dt.datetime: (_DATETIME, _dump_datetime),
    dt.date: (_DATE, dt.date.isoformat),
    dt.time: (_TIME, _dump_time),
    dt.timedelta: (_TIMEDELTA, _dump_timedelta),
    complex: (_COMPLEX, lambda value: [value.real, value.imag]),
    Decimal: (_DECIMAL, str),
    uuid.UUID: (_UUID, lambda value: value.bytes),
}


def _unpack(packed: bytes) -> Any:
    return msgpack.unpackb(
        packed,
        ext_hook=_load,
        strict_map_key=False,
        unicode_errors="surrogatepass",
        raw=False,
    )


def _members(body: bytes) -> Iterator[Any]:
    stream = msgpack.Unpacker(
        ext_hook=_load, strict_map_key=False, unicode_errors="surrogatepass", raw=False
    )
    stream.feed(body)
    yield from stream


_LOADERS: Mapping[int, Callable[[bytes], Any]] = {
    _TUPLE: lambda body: tuple(_unpack(body)),
    _BIG_INT: lambda body: int.from_bytes(body, "big", signed=True),
    _DATETIME: lambda body: _load_datetime(_unpack(body)),
    _DATE: lambda body: dt.date.fromisoformat(_unpack(body)),
    _TIME: lambda body: _load_time(_unpack(body)),
    _TIMEDELTA: lambda body: _load_timedelta(_unpack(body)),
    _SCALAR: _load_scalar,
    _ARRAY: lambda body: _load_array(_unpack(body)),
    _SET: lambda body: set(_members(body)),
    _FROZENSET: lambda body: frozenset(_members(body)),
    _COMPLEX: lambda body: complex(*_unpack(body)),
    _DECIMAL: lambda body: Decimal(_unpack(body)),
    _UUID: lambda body: uuid.UUID(bytes=_unpack(body)),
}


def _load(code: int, body: bytes) -> Any:
    loader = _LOADERS.get(code)
    if loader is None:
        raise ValueError(f"extension type {code}, made by a newer version")
    return loader(body)


def _complaint(contents: object) -> str:
    """Say which value cannot be stored: a second, slow pass that only a failure pays for."""
    try:
        if not isinstance(contents, Mapping):
            return f"contents: a dict is needed, not {_type_name(contents)}"
        found = next(_unstorable(contents, "contents", 0, 0), None)
    except Exception as error:  # noqa: BLE001  # is told, in place of the path
        return _own_fault(error)
    return found or "contents: cannot be stored"


def _unstorable(value: object, path: str, depth: int, extended: int) -> Iterator[str]:
    if isinstance(value, (tuple, set, frozenset)):
        extended += 1
    if depth > MAX_DEPTH or extended > _MAX_EXTENSION_DEPTH:
        yield f"{path[:80]}...: nested too deep, or within itself"
        return
    children = _children(value, path)
    if children is not None:
        for child, child_path in children:
            yield from _unstorable(child, child_path, depth + 1, extended)
    try:
        if children is None:
            _Packer().pack(value)
    except _REFUSALS as error:
        reason = str(error) if isinstance(value, _EXPLAINED) else ""
        yield f"{path}: {reason or f'object of type {_type_name(value)}'} cannot be stored"


def _children(value: object, path: str) -> Iterator[tuple[object, str]] | None:
    fields = value if isinstance(value, Mapping) else _fields_of(value)
    if isinstance(fields, Mapping):
        return _items(fields, path)
    if isinstance(value, (list, tuple)):
        return ((member, f"{path}[{place}]") for place, member in enumerate(value))
    if isinstance(value, (set, frozenset)):
        return ((member, f"{path}{{{shown(member)}}}") for member in value)
    if isinstance(value, enum.Enum):
        return iter([(value.value, f"{path}.value")])
    return None


def _items(fields: Mapping[Any, object], path: str) -> Iterator[tuple[object, str]]:
    for key, member in fields.items():
        if not isinstance(key, str):
            yield key, f"{path} key {shown(key)}"
        yield member, f"{path}.{key}"


def _type_name(value: object) -> str:
    kind = type(value)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"
