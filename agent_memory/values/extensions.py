"""The types that MessagePack lacks, as its extension types: their bytes, and back.

The codes and the list of dtypes are the format of stored contents: append only.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from itertools import compress
from typing import Any
from zoneinfo import ZoneInfo

import msgpack
import numpy as np

from agent_memory.values.formats import newer
from agent_memory.values.plain import type_name

TUPLE, BIG_INT, _DATETIME, _DATE, _TIME, _TIMEDELTA = 1, 2, 3, 4, 5, 6
SCALAR, ARRAY, SET, FROZENSET, _COMPLEX, _DECIMAL, _UUID = 7, 8, 9, 10, 11, 12, 13
TUPLE_OF_TUPLES, LIST_OF_TUPLES, _ALL_TUPLES, _NOTED_TUPLES = 14, 15, 16, 17
"""Below these two every sequence is a tuple; the third says so of whole contents.

The fourth says of whole contents which of their values are tuples.
"""
NEWEST = _NOTED_TUPLES
"""The newest extension type that is read: the number of the format of exact contents."""

# The first key of contents all of whose sequences are tuples: an extension without bytes. Its value
# is None, and both are left out of what is given back.
_NO_BYTES = b"\xc7\0"
_MARK_ITEM = _NO_BYTES + bytes([_ALL_TUPLES, 0xC0])
# The first key of short contents some of whose values are tuples. Its value is a number: bit i is
# set where the value of key i is a tuple.
_NOTE = _NO_BYTES + bytes([_NOTED_TUPLES])
_FIX_MAP, _MAP16, _MAP32 = 0x80, 0xDE, 0xDF
_MOST_FIXED = 15  # items of a map whose header is one byte
_MOST_SMALL = 127  # numbers up to this are their own byte
_NUMBER_BYTES = {0xCC: 1, 0xCD: 2}  # how many bytes follow, by the first

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


def dump_scalar(value: np.generic) -> bytes:
    """The bytes of a NumPy scalar: its dtype, then its value.

    Raises:
        TypeError: Its dtype cannot be stored.
    """
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
        return _load_text(raw, other) if other.kind in "SU" else np.frombuffer(raw, other)[0]
    if code >= len(_DTYPES):
        raise newer("a number in stored contents (by its dtype)", code, len(_DTYPES) - 1)
    dtype = _DTYPES[code]
    if dtype.kind in "iu":
        return dtype.type(msgpack.unpackb(body[1:]))
    return np.frombuffer(body[1:], dtype=dtype)[0]


def _load_text(raw: bytes, dtype: np.dtype[Any]) -> np.bytes_ | np.str_:
    """One text or byte string: an element of an array would lose the NULs at its end."""
    # An empty one has no bytes of its own, and NumPy pads it to one character.
    own = raw[: dtype.itemsize]
    if dtype.kind == "S":
        return np.bytes_(own)
    order = "be" if dtype.str[0] == ">" else "le"
    return np.str_(own.decode(f"utf-32-{order}", "surrogatepass"))


def dump_array(array: np.ndarray[Any, Any]) -> list[object]:
    """An array of any shape as its dtype, its shape and its bytes.

    Raises:
        TypeError: Its dtype cannot be stored, or it is of a class derived from ``ndarray``.
    """
    if type(array) is not np.ndarray:
        raise TypeError(f"object of type {type_name(array)}")
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
    raise TypeError(f"time zone of type {type_name(zone)}")


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


SIMPLE: Mapping[type, tuple[int, Callable[[Any], object]]] = {
    dt.datetime: (_DATETIME, _dump_datetime),
    dt.date: (_DATE, dt.date.isoformat),
    dt.time: (_TIME, _dump_time),
    dt.timedelta: (_TIMEDELTA, _dump_timedelta),
    complex: (_COMPLEX, lambda value: [value.real, value.imag]),
    Decimal: (_DECIMAL, str),
    uuid.UUID: (_UUID, lambda value: value.bytes),
}
"""By type, the code of its extension and the plain value that it becomes."""


def mark_all_tuples(packed: bytes) -> bytes:
    """Note in a MessagePack map that every sequence in it is a tuple."""
    marked = _MARKED.get(packed[0])
    if marked is not None:
        return marked + packed[1:]
    begin = _header_bytes(packed)
    return _map_header(_items(packed, begin) + 1) + _MARK_ITEM + packed[begin:]


def note_tuples(packed: bytes, contents: Mapping[str, Any]) -> bytes:
    """Note in a short MessagePack map which of its values are tuples.

    Args:
        packed: The map, with lists for tuples.
        contents: What it was made of, 14 keys at most; below its values there are no tuples.
    """
    return _noted("".join(map(_BITS.__getitem__, map(type, contents.values())))) + packed[1:]


class _Bits(dict[type, str]):
    """The bit that notes a value, by its type."""

    def __missing__(self, kind: type) -> str:
        return "0"


_BITS = _Bits({tuple: "1"})


@lru_cache(1024)
def _noted(bits: str) -> bytes:
    """What short contents begin with, by a bit for each value, the first one first."""
    number: bytes = msgpack.packb(int(bits[::-1], 2))
    return _map_header(len(bits) + 1) + _NOTE + number


@lru_cache(1024)
def _flags(noted: int) -> tuple[bool, ...]:
    """Whether each value is a tuple, up to the last that is."""
    return tuple(bool(noted >> place & 1) for place in range(noted.bit_length()))


def unpack_contents(packed: bytes) -> Any:
    """Decode contents; raises what MessagePack and the types raise for damage."""
    if packed[1:3] == _NO_BYTES and packed[0] in _BARE:
        if packed[3:5] == _MARK_ITEM[2:]:
            return _unpack_tuples(_BARE[packed[0]] + packed[5:])
        return _unpack_noted(packed) if packed[3:4] == _NOTE[2:] else unpack_value(packed)
    if packed[0] < _MAP16:
        return unpack_value(packed)
    begin = _header_bytes(packed)
    behind = begin + len(_MARK_ITEM)
    if packed[begin:behind] != _MARK_ITEM:
        return unpack_value(packed)
    return _unpack_tuples(_map_header(_items(packed, begin) - 1) + packed[behind:])


def _unpack_noted(packed: bytes) -> Any:
    """Decode contents that begin with a note of which values are tuples."""
    noted, begin = packed[4], 5
    if noted > _MOST_SMALL:
        begin += _NUMBER_BYTES.get(noted, 0)
        noted = int.from_bytes(packed[5:begin], "big")
    contents = unpack_value(_BARE[packed[0]] + packed[begin:])
    if not 0 < noted < 1 << len(contents):
        raise ValueError("a note of tuples that are not there")
    for key in [*compress(contents, _flags(noted))]:
        value = contents[key]
        if type(value) is not list:
            raise ValueError("a note of a tuple where there is no sequence")
        contents[key] = tuple(value)
    return contents


def _header_bytes(packed: bytes) -> int:
    return 1 if packed[0] < _MAP16 else {_MAP16: 3, _MAP32: 5}.get(packed[0], 1)


def _items(packed: bytes, begin: int) -> int:
    """How many items a map has, whose header has so many bytes."""
    return packed[0] & _MOST_FIXED if begin == 1 else int.from_bytes(packed[1:begin], "big")


def _map_header(items: int) -> bytes:
    if items <= _MOST_FIXED:
        return bytes([_FIX_MAP | items])
    if items < 2**16:
        return bytes([_MAP16]) + items.to_bytes(2, "big")
    return bytes([_MAP32]) + items.to_bytes(4, "big")


def _members(body: bytes) -> Iterator[Any]:
    stream = msgpack.Unpacker(
        ext_hook=_load, strict_map_key=False, unicode_errors="surrogatepass", raw=False
    )
    stream.feed(body)
    yield from stream


# By the header of a short map, that of a map with the mark, and the mark.
_MARKED = {_FIX_MAP | items: _map_header(items + 1) + _MARK_ITEM for items in range(_MOST_FIXED)}
_BARE = {marked[0]: bytes([header]) for header, marked in _MARKED.items()}


def _load(code: int, body: bytes) -> Any:
    if code == TUPLE:  # by far the commonest
        return tuple(unpack_value(body))
    loader = _LOADERS.get(code)
    if loader is None:
        if code > NEWEST:
            raise newer("a value in stored contents (by its extension type)", code, NEWEST)
        raise ValueError(f"extension type {code} has no place here")
    return loader(body)


def unpack_value(packed: bytes) -> Any:
    """Decode one value of any type; raises what MessagePack and the types raise for damage."""
    return msgpack.unpackb(
        packed,
        ext_hook=_load,
        strict_map_key=False,
        unicode_errors="surrogatepass",
        raw=False,
    )


def _unpack_tuples(packed: bytes) -> Any:
    """The same, with a tuple for each sequence."""
    return msgpack.unpackb(
        packed,
        ext_hook=_load,
        strict_map_key=False,
        unicode_errors="surrogatepass",
        raw=False,
        use_list=False,
    )


_LOADERS: Mapping[int, Callable[[bytes], Any]] = {
    TUPLE_OF_TUPLES: _unpack_tuples,
    LIST_OF_TUPLES: lambda body: [*_unpack_tuples(body)],
    BIG_INT: lambda body: int.from_bytes(body, "big", signed=True),
    _DATETIME: lambda body: _load_datetime(unpack_value(body)),
    _DATE: lambda body: dt.date.fromisoformat(unpack_value(body)),
    _TIME: lambda body: _load_time(unpack_value(body)),
    _TIMEDELTA: lambda body: _load_timedelta(unpack_value(body)),
    SCALAR: _load_scalar,
    ARRAY: lambda body: _load_array(unpack_value(body)),
    SET: lambda body: set(_members(body)),
    FROZENSET: lambda body: frozenset(_members(body)),
    _COMPLEX: lambda body: complex(*unpack_value(body)),
    _DECIMAL: lambda body: Decimal(unpack_value(body)),
    _UUID: lambda body: uuid.UUID(bytes=unpack_value(body)),
}
