"""Files of vectors and weights: a head in JSON and bare numbers, with a checksum.

    magic, 8 bytes | length of the head, uint32 | head, JSON | body | SHA-256, 32 bytes

Reading executes nothing, and never asks for more memory than a small multiple of the file's own
size, of which there is a limit.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent_memory.errors import ConfigError, EncodingError
from agent_memory.values.formats import at, newer
from agent_memory.values.interruptions import raise_if_interrupted

DAMAGES = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError,
           RecursionError)  # fmt: skip
"""What damaged heads raise, in JSON, in NumPy and in the values they claim to be."""

_DIGEST = 32
_LENGTH = 4


def framed(magic: bytes, head: dict[str, Any], body: bytes) -> bytes:
    """Put a file together; the magic's last byte is the version of its format."""
    text = json.dumps(head, allow_nan=False, separators=(",", ":")).encode()
    raw = b"".join((magic, len(text).to_bytes(_LENGTH, "little"), text, body))
    return raw + hashlib.sha256(raw).digest()


def unframed(magic: bytes, raw: bytes, what: str) -> tuple[dict[str, Any], bytes]:
    """Take a file apart.

    Args:
        magic: What it must begin with; its last byte is the newest format that is read.
        raw: The file.
        what: What it is the file of, for messages.

    Raises:
        EncodingError: It is another file, or damaged.
        NewerFormat: It was made by a newer version.
    """
    if raw[: len(magic) - 1] != magic[:-1] or len(raw) < len(magic) + _LENGTH + _DIGEST:
        raise EncodingError(f"{what}: this is no file of one, or the beginning of one")
    found, known = raw[len(magic) - 1], magic[-1]
    if found > known:
        raise newer(f"{what}: the file", found, known)
    if found < known:
        raise EncodingError(f"{what}: the file has format {found}, which there never was")
    content = memoryview(raw)[:-_DIGEST]
    if hashlib.sha256(content).digest() != raw[-_DIGEST:]:
        raise EncodingError(f"{what}: the file is damaged or incomplete (its checksum differs)")
    begin = len(magic) + _LENGTH
    end = begin + int.from_bytes(raw[len(magic) : begin], "little")
    try:
        head = json.loads(raw[begin:end])
    except (ValueError, RecursionError) as error:
        raise EncodingError(f"{what}: the file's head cannot be read ({error!r:.200})") from error
    if not isinstance(head, dict):
        raise EncodingError(f"{what}: the file's head cannot be read (not an object)")
    return head, bytes(content[end:])


@contextmanager
def named(path: str | Path) -> Iterator[None]:
    """Name the file in what is raised within the block."""
    try:
        yield
    except EncodingError as error:
        raise at(str(path), error) from error


def write(path: Path, raw: bytes) -> None:
    """Write a file as a whole or not at all.

    Raises:
        ConfigError: Its folder is not there, or it cannot be written.
    """
    try:
        descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            Path(draft).replace(path)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise_if_interrupted(error)
        raise ConfigError(f"{path} cannot be written ({error.strerror or error})") from error


def read(path: Path, limit: int) -> bytes:
    """Read a file.

    Raises:
        ConfigError: It is not there, or cannot be read.
        EncodingError: It has more bytes than the limit.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            # Room for all that is asked for is made at once; so no more than is there.
            raw = file.read(size + 1) if size <= limit else b""
    except OSError as error:
        raise_if_interrupted(error)
        raise ConfigError(f"{path} cannot be read ({error.strerror or error})") from error
    if size > limit or len(raw) > limit:
        raise EncodingError(f"{path}: more than {limit} bytes")
    return raw
