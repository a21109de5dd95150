"""An entry as bytes that give it back whole, with a checksum: what files carry beside columns."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from agent_memory.errors import EncodingError, InvalidEntry
from agent_memory.values.contents import pack, unpack
from agent_memory.values.entry import MemoryEntry
from agent_memory.values.formats import newer
from agent_memory.values.sealing import sealed, unsealed

FORMAT = 1
"""The number of these bytes, which name it from 2 on, and of the columns beside them."""
FORMAT_KEY = b"agent_memory.format"
"""Where the metadata of a schema keep it; files from before have none, and are of 1."""
_FORMAT = "format"
_NAMES = tuple(field.name for field in fields(MemoryEntry))
_DEFAULTS = {"retrieval_count": 0, "embedding": None, "encoder_version": None, "revision": 0,
             "error_bounds": None, "pinned": False}  # fmt: skip


def exact_bytes(entry: MemoryEntry) -> bytes:
    """All of an entry, contents and vector bit by bit."""
    values: dict[str, Any] = {}
    for name in _NAMES:
        value = getattr(entry, name)
        if name not in _DEFAULTS or value is not _DEFAULTS[name]:
            values[name] = value
    # Plain, also where a code gave them.
    values["contents"] = dict(entry.contents)
    if entry.error_bounds is not None:
        values["error_bounds"] = dict(entry.error_bounds)
    return sealed(pack(values))


def exact_entry(stored: object) -> MemoryEntry:
    """The entry that bytes give back.

    Raises:
        EncodingError: They are damaged, or no bytes.
        NewerFormat: A newer version wrote them.
    """
    if not isinstance(stored, bytes) or not stored:
        raise EncodingError("its exact bytes are missing")
    values = unpack(unsealed(stored))
    # Files without a schema, CSV and JSON, have no other place for a number.
    number = values.pop(_FORMAT, 1)
    if type(number) is int and number > FORMAT:
        raise newer("its exact bytes", number, FORMAT)
    try:
        return MemoryEntry(**values)
    except (TypeError, InvalidEntry) as error:
        raise EncodingError(f"its exact bytes are no entry ({error})") from error
