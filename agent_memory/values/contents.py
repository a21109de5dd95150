"""What an entry may hold, and the exact bytes it becomes.

``pack`` turns contents into MessagePack with extension types for what MessagePack lacks, and
``unpack`` gives back values of the same types. Three families change on the way in, because
giving them back would mean importing code that stored bytes name: an enum member becomes its
value, a dataclass or pydantic model the dict of its fields, a subclass of dict, list or tuple
the plain type. What cannot be kept is refused by its path and never dropped. The table of all
types is in ``docs/contents.md``; each of its rows is a test.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from itertools import repeat
from reprlib import repr as shown
from typing import Any
from zoneinfo import ZoneInfoNotFoundError

import msgpack
import numpy as np

from agent_memory.errors import EncodingError, InvalidEntry, NewerFormat
from agent_memory.values.advice import way_out
from agent_memory.values.extensions import (
    mark_all_tuples,
    note_tuples,
    unpack_contents,
    unpack_value,
)
from agent_memory.values.extent import Extent, TooDeep, TooMuch, Tuples, measure
from agent_memory.values.interruptions import raise_if_interrupted
from agent_memory.values.packer import (
    MAX_EXTENSION_DEPTH,
    MOST_BYTES,
    Packer,
    a_packer,
    keep,
)
from agent_memory.values.plain import children_of, fields_of, made_plain, type_name

MAX_DEPTH = 500
"""How deep lists and dicts may be nested, in levels.

MessagePack's own limits differ by version, and one version packed what it would not unpack.
"""

_APART, _LONE, _SOME = Tuples.APART, Tuples.LONE, Tuples.SOME

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


def pack(
    contents: Mapping[str, Any], *, max_bytes: int | None = None, shortest: bool = False
) -> bytes:
    """Encode contents exactly.

    Args:
        contents: A dict (or mapping) of what is remembered; nested at most ``MAX_DEPTH`` levels.
        max_bytes: Refuse contents that need more than this many bytes.
        shortest: Save a byte where there is one tuple, which takes a quarter longer.

    Returns:
        A MessagePack map.

    Raises:
        InvalidEntry: A value cannot be stored; the message names its path.
    """
    packer = a_packer()
    packed = _packed(packer, contents, max_bytes, shortest)
    keep(packer, packed)
    return packed


def pack_many(
    contents: Iterable[Mapping[str, Any]],
    *,
    max_bytes: int | None = None,
    shortest: Iterable[bool] = repeat(False),
) -> list[bytes]:
    """Encode many contents, each as ``pack`` does; what packs them is made once.

    Args:
        contents: Of each what ``pack`` takes.
        max_bytes: The same for all.
        shortest: Of each whether a byte is to be saved.

    Raises:
        InvalidEntry: A value of one cannot be stored; the message names its path.
    """
    packer = Packer()
    each = zip(contents, shortest, strict=False)
    return [_packed(packer, one, max_bytes, short) for one, short in each]


def _packed(
    packer: Packer, contents: Mapping[str, Any], max_bytes: int | None, shortest: bool
) -> bytes:
    return _packed_as(packer, contents, _extent_of(contents, max_bytes), max_bytes, shortest)


def _packed_as(
    packer: Packer,
    contents: Mapping[str, Any],
    extent: Extent,
    max_bytes: int | None,
    shortest: bool,
) -> bytes:
    """The bytes of contents that have just been measured."""
    packer.changed = False
    try:
        given = contents if type(contents) is dict else dict(contents)
        if not extent.is_plain:
            # So that they become the same bytes as those that come back.
            given = made_plain(given)
            extent = _extent_of(given, max_bytes)
        tuples = extent.tuples
        if tuples is _APART or (shortest and tuples is _LONE):
            packed = packer.pack(given)
        elif tuples is _SOME:
            packed = note_tuples(packer.native(given), given)
        elif extent.is_native:
            packed = mark_all_tuples(packer.native(given))
        else:
            packed = packer.pack_together(given, extent)
        merged = next(_merged_keys(contents, "contents"), None) if packer.changed else None
    except _REFUSALS as error:
        raise_if_interrupted(error)
        raise InvalidEntry(_complaint(contents)) from error
    except Exception as error:
        raise_if_interrupted(error)
        raise InvalidEntry(_own_fault(error)) from error
    if merged is not None:
        raise InvalidEntry(f"{merged}; use keys that stay distinct")
    if max_bytes is not None and len(packed) > max_bytes:
        raise _too_much(len(packed), max_bytes)
    return packed


def plain_contents(value: object, max_bytes: int | None = None) -> Mapping[str, Any]:
    """Contents as they come back once they are stored, for all that is derived from them.

    Features, attributes and bytes that are taken of these are those of what is given back.

    Args:
        value: A mapping, dataclass or pydantic model.
        max_bytes: Refuse contents that need more bytes; None: ``MOST_BYTES``.

    Returns:
        The very same dict where nothing in it changes. What cannot be stored stays in it, for
        ``pack`` to name.

    Raises:
        InvalidEntry: It is none of these, too large or too deep, or its own code fails.
    """
    contents = as_contents(value)
    return contents if check_extent(contents, max_bytes) else _made_plain(contents)


def plain_and_packed(
    value: object, packer: Packer, max_bytes: int | None = None
) -> tuple[Mapping[str, Any], bytes]:
    """What ``plain_contents`` and ``pack`` make of a value, which is measured once.

    Args:
        value: A mapping, dataclass or pydantic model.
        packer: That nobody else uses; who packs many has one.
        max_bytes: Refuse contents that need more bytes; None: ``MOST_BYTES``.

    Raises:
        InvalidEntry: It cannot be stored; the message names the path.
    """
    contents = as_contents(value)
    extent = _extent_of(contents, max_bytes)
    if extent.is_plain:
        return contents, _packed_as(packer, contents, extent, max_bytes, False)
    plain = _made_plain(contents)
    return plain, _packed(packer, plain, max_bytes, False)


def _made_plain(contents: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        plain: Mapping[str, Any] = made_plain(contents)
    except RecursionError as error:
        raise InvalidEntry(_complaint(contents)) from error
    except Exception as error:
        raise_if_interrupted(error)
        raise InvalidEntry(_own_fault(error)) from error
    return plain


def check_extent(contents: object, max_bytes: int | None = None) -> bool:
    """See that contents are not too large or too deep, before any of them is copied.

    Args:
        contents: A mapping, dataclass or pydantic model.
        max_bytes: How many bytes they may need; None: ``MOST_BYTES``.

    Returns:
        Whether they are plain: nothing in them is stored as a value of another class.

    Raises:
        InvalidEntry: They are, or their own code fails.
    """
    return _extent_of(contents, max_bytes).is_plain


def _extent_of(contents: object, max_bytes: int | None) -> Extent:
    most = MOST_BYTES if max_bytes is None else max_bytes
    try:
        return measure(contents, most, MAX_DEPTH)
    except TooMuch as error:
        raise _too_much(None, most) from error
    except TooDeep as error:
        raise InvalidEntry(_complaint(contents)) from error
    except Exception as error:
        raise_if_interrupted(error)
        raise InvalidEntry(_own_fault(error)) from error


def packed_apart(contents: Mapping[str, Any]) -> bytes:
    """The bytes that contents are named by: those that every version makes of them.

    Each tuple is packed by itself, whatever there is besides. ``check_extent`` has passed them, or
    ``unpack`` has given them.

    Raises:
        InvalidEntry: A value cannot be stored; the message names its path.
    """
    try:
        packer = a_packer()
        packed = packer.pack(contents if type(contents) is dict else dict(contents))
    except Exception as error:  # noqa: BLE001  # whatever it is, this names it
        raise_if_interrupted(error)
        return pack(contents)
    keep(packer, packed)
    return packed


def _too_much(size: int | None, most: int) -> InvalidEntry:
    needed = "more bytes than allowed" if size is None else f"{size} bytes"
    return InvalidEntry(
        f"contents: {needed} exceed max_entry_bytes={most}; "
        "store less, or raise the limit in MemoryConfig"
    )


def _own_fault(error: Exception) -> str:
    return f"contents: a value's own code fails when it is read ({type(error).__name__})"


def unpack(packed: bytes) -> dict[str, Any]:
    """Decode what ``pack`` made.

    Raises:
        EncodingError: The bytes are damaged.
        NewerFormat: They were stored by a newer version of this package.
    """
    try:
        contents = unpack_contents(packed)
    except NewerFormat:
        raise
    except _DAMAGES as error:
        raise_if_interrupted(error)
        raise EncodingError(f"stored contents cannot be read ({error!r})") from error
    if not isinstance(contents, dict):
        raise EncodingError("stored contents cannot be read (not a map)")
    return contents


def unpack_many(packed: Iterable[bytes]) -> list[dict[str, Any]] | None:
    """Decode many; None where one cannot be, which ``unpack`` says of it."""
    try:
        contents = [*map(unpack_contents, packed)]
    except (EncodingError, *_DAMAGES):
        return None
    return contents if {*map(type, contents)} <= {dict} else None


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
        fields = fields_of(value)
    except Exception as error:
        raise_if_interrupted(error)
        raise InvalidEntry(_own_fault(error)) from error
    if fields is None:
        raise InvalidEntry(
            f"contents: a dict, dataclass or pydantic model is needed, not {type_name(value)}"
            f"{way_out(value)}"
        )
    return fields


def _merged_keys(value: object, path: str) -> Iterator[str]:
    """Find keys and set members that were distinct and would no longer be, once made plain."""
    children = children_of(value, path)
    if children is None:
        return
    if isinstance(value, (Mapping, set, frozenset)):
        seen: set[object] = set()
        for key in value:
            try:
                plain = unpack_value(Packer().pack([key]))[0]
                merged = plain in seen
            except TypeError as error:
                raise_if_interrupted(error)
                yield f"{path}: key {shown(key)} would become a dict or list, which is no key"
                return
            if merged:
                yield f"{path}: key {shown(key)} would become {shown(plain)}, there already"
            seen.add(plain)
    for child, child_path in children:
        yield from _merged_keys(child, child_path)


def _complaint(contents: object) -> str:
    """Say which value cannot be stored: a second, slow pass that only a failure pays for."""
    try:
        if not isinstance(contents, Mapping):
            return f"contents: a dict is needed, not {type_name(contents)}"
        found = next(_unstorable(contents, "contents", 0, 0), None)
    except Exception as error:  # noqa: BLE001  # reported in place of the path
        raise_if_interrupted(error)
        return _own_fault(error)
    return found or "contents: cannot be stored"


def _unstorable(value: object, path: str, depth: int, extended: int) -> Iterator[str]:
    if isinstance(value, (tuple, set, frozenset)):
        extended += 1
    if depth > MAX_DEPTH or extended > MAX_EXTENSION_DEPTH:
        yield f"{path[:80]}...: nested too deep, or within itself"
        return
    children = children_of(value, path)
    if children is not None:
        for child, child_path in children:
            yield from _unstorable(child, child_path, depth + 1, extended)
    try:
        if children is None:
            Packer().pack(value)
    except _REFUSALS as error:
        raise_if_interrupted(error)
        reason = str(error) if isinstance(value, _EXPLAINED) else ""
        said = reason or f"object of type {type_name(value)}"
        yield f"{path}: {said} cannot be stored{way_out(value)}"
