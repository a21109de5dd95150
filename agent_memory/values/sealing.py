"""Stored contents with a checksum: a flipped bit is reported and not read as another number.

MessagePack has no redundancy: a bit that flips within a number is another number. So four bytes
follow what ``contents.pack`` made, its CRC-32. The first byte says that they are there, at no cost:
contents are a map, and sealed contents bear the first byte of an array of the same size, which
contents never are. What was stored before there were seals stays readable.
"""

from __future__ import annotations

import zlib

from agent_memory.errors import EncodingError

SEAL_BYTES = 4
"""How many bytes a seal takes."""

_CRC_OF_SEALED = zlib.crc32(bytes(SEAL_BYTES))
"""The CRC-32 of whatever its own CRC-32 follows: no slice is needed to compare the two."""

_MAPS = {*range(0x80, 0x90), 0xDE, 0xDF}
_ARRAY_OF_MAP = {first: first ^ (0x10 if first < 0x90 else 0x02) for first in _MAPS}
_MAP_OF_ARRAY = {array: bytes([first]) for first, array in _ARRAY_OF_MAP.items()}


def sealed(packed: bytes) -> bytes:
    """Put a checksum behind a MessagePack map."""
    marked = bytes([_ARRAY_OF_MAP[packed[0]]]) + packed[1:]
    return marked + zlib.crc32(marked).to_bytes(SEAL_BYTES, "little")


def unsealed(stored: bytes) -> bytes:
    """Give the MessagePack map back; one that was never sealed as it is.

    Raises:
        EncodingError: The checksum is another.
    """
    first = _MAP_OF_ARRAY.get(stored[0]) if stored else None
    if first is None:
        return stored
    if zlib.crc32(stored) != _CRC_OF_SEALED or len(stored) <= SEAL_BYTES:
        raise EncodingError("stored contents cannot be read (their checksum differs)")
    return first + stored[1:-SEAL_BYTES]
