"""The message of a code, and beside it the values that the code has no choice for.

A frame, a mask, a long text: coded byte by byte within the message they would take more room than
without a code, and a thousand times as long. So they follow it as ``contents.pack`` makes them,
compressed by zstd where that is smaller:

    length of the message, LEB128 | message | values

Few bytes stay within the message, where they need no length of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent_memory.compression.squeezing import WORTH_TRYING, squeeze, unsqueeze
from agent_memory.errors import EncodingError
from agent_memory.values.contents import packed_apart, unpack

_LONGEST_LENGTH = 5  # bytes
_SQUEEZED = b"\x01"  # what ``pack`` makes begins with more
_PREFIX = packed_apart({"": None})[:-1]  # of a map around its one value


def packed_values(values: Sequence[Any]) -> bytes:
    """The bytes of values.

    Raises:
        InvalidEntry: One cannot be stored.
    """
    return packed_apart({"": list(values)})[len(_PREFIX) :]


def joined(message: bytes, packed: bytes, level: int) -> bytes:
    """A message, and the bytes of values beside it.

    Args:
        message: The message.
        packed: What ``packed_values`` gave.
        level: The level that they are stored at.
    """
    squeezed = None
    if len(packed) >= WORTH_TRYING:
        squeezed = squeeze(packed, level, with_checksum=False)
    values = packed
    if squeezed is not None and len(squeezed) < len(packed):
        values = _SQUEEZED + squeezed
    return b"".join((_length(len(message)), message, values))


def parted(stored: bytes) -> tuple[bytes, bytes]:
    """The message, and the bytes of the values beside it.

    Args:
        stored: What ``joined`` gave.

    Raises:
        EncodingError: Only their beginning is there.
    """
    length = shift = 0
    for at, byte in enumerate(stored[:_LONGEST_LENGTH], 1):
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return stored[at : at + length], stored[at + length :]
    raise EncodingError("stored contents cannot be read (only their beginning is there)")


def values_of(stored: bytes, most: int) -> list[Any]:
    """The values whose bytes lie beside a message.

    Args:
        stored: The bytes.
        most: How many they may be when they are unsqueezed.

    Raises:
        EncodingError: They are damaged.
    """
    packed = unsqueeze(stored[1:], most) if stored[:1] == _SQUEEZED else stored
    values = unpack(_PREFIX + packed).get("")
    if type(values) is not list:
        raise EncodingError("stored contents cannot be read (no values beside a message)")
    return values


def _length(number: int) -> bytes:
    """A whole number in LEB128."""
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)
