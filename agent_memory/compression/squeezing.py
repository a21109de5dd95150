"""The general compressor: zstd, with contexts that are kept.

Making a context takes 5 to 100 us, and squeezing a state of 200 bytes takes 2. Each thread keeps
its own, because a context serves one call at a time.
"""

from __future__ import annotations

import threading

import zstandard

from agent_memory.errors import EncodingError

WORTH_TRYING = 256
"""Bytes; a state of 200 shrinks by 4 %."""

_EFFORT = {1: 3, 2: 9}  # zstd levels
_QUICK = 3  # lower ones are no quicker, and five times as large for maps of int64
_MOST_GAIN = 2.5  # times smaller than by the quick effort: 1.7 was the most that was seen
_LARGE = 1 << 20  # bytes; what is larger leaves a context of many megabytes behind


class _Contexts(threading.local):
    """The contexts of a thread."""

    def __init__(self) -> None:
        self.compressors: dict[tuple[int, bool], zstandard.ZstdCompressor] = {}
        self.decompressor = zstandard.ZstdDecompressor()


_contexts = _Contexts()


def squeeze(
    packed: bytes, level: int, *, below: int | None = None, with_checksum: bool = True
) -> bytes | None:
    """Squeeze bytes.

    Args:
        packed: The bytes.
        level: The level of what they are stored in: 2 is worth more effort than 1.
        below: Give up where the frame will hardly have fewer bytes than this.
        with_checksum: Whether zstd adds its own.

    Returns:
        A frame of zstd; None if it was given up.
    """
    effort = _EFFORT[min(level, 2)]
    if below is not None and effort > _QUICK:
        quick = _compressor(_QUICK, with_checksum, packed).compress(packed)
        if len(quick) >= _MOST_GAIN * below:
            return None
    return _compressor(effort, with_checksum, packed).compress(packed)


def unsqueeze(frame: bytes, most: int) -> bytes:
    """Give bytes back.

    Args:
        frame: What ``squeeze`` gave.
        most: How many bytes they may be: a frame of a few could claim any number.

    Raises:
        EncodingError: The frame is damaged, or claims more.
    """
    try:
        # What the frame claims is allocated at once; it always claims something.
        size = zstandard.frame_content_size(frame)
        if not 0 <= size <= most:
            raise EncodingError(
                f"stored contents cannot be read ({size} bytes claimed, {most} at most; if they "
                "are that large, set max_entry_bytes as where they were stored)"
            )
        unsqueezed: bytes = _contexts.decompressor.decompress(frame, most)
    except (zstandard.ZstdError, MemoryError) as error:
        raise EncodingError(f"stored contents cannot be read ({error})") from error
    return unsqueezed


def _compressor(
    effort: int, with_checksum: bool, packed: bytes
) -> zstandard.ZstdCompressor:  # private
    kept = _contexts.compressors
    found = kept.get((effort, with_checksum))
    if found is None:
        found = zstandard.ZstdCompressor(level=effort, write_checksum=with_checksum)
        if len(packed) <= _LARGE:
            kept[effort, with_checksum] = found
    elif len(packed) > _LARGE:
        found = zstandard.ZstdCompressor(level=effort, write_checksum=with_checksum)
    return found
