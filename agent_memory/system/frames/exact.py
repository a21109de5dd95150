"""An entry as bytes that give it back whole, with a checksum: what files carry beside columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from agent_memory.errors import EncodingError, InvalidEntry
from agent_memory.values.contents import pack, unpack
from agent_memory.values.embedder import checked_space
from agent_memory.values.entry import MemoryEntry
from agent_memory.values.formats import newer
from agent_memory.values.sealing import sealed, unsealed

FORMAT = 2
"""The newest number of these bytes, which name it from 2 on, and of the columns beside them.

2 names the space of a vector of the user's own; what has none is written as 1.
"""
FORMAT_KEY = b"agent_memory.format"
"""Where the metadata of a schema keep it; files from before have none, and are of 1."""
_FORMAT, _SPACE = "format", "space"
_NAMES = tuple(field.name for field in fields(MemoryEntry))
_DEFAULTS = {"retrieval_count": 0, "embedding": None, "encoder_version": None, "revision": 0,
             "error_bounds": None, "pinned": False}  # fmt: skip


def exact_bytes(entry: MemoryEntry, spaces: Mapping[int, str] = MappingProxyType({})) -> bytes:
    """All of an entry, contents and vector bit by bit.

    Args:
        entry: The entry.
        spaces: By version, the names of spaces of own vectors, which are no numbers elsewhere.
    """
    values: dict[str, Any] = {}
    for name in _NAMES:
        value = getattr(entry, name)
        if name not in _DEFAULTS or value is not _DEFAULTS[name]:
            values[name] = value
    # Plain, also where a code gave them.
    values["contents"] = dict(entry.contents)
    if entry.error_bounds is not None:
        values["error_bounds"] = dict(entry.error_bounds)
    space = spaces.get(entry.encoder_version or 0)
    if space is not None and entry.embedding is not None:
        values |= {_SPACE: space, _FORMAT: 2}
    return sealed(pack(values))


def exact_entry(stored: object) -> MemoryEntry:
    """The entry that bytes give back; see ``exact_parts``."""
    return exact_parts(stored)[0]


def exact_parts(stored: object) -> tuple[MemoryEntry, str | None]:
    """The entry that bytes give back, and the space of its vector if that is of the user's own.

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
    space = values.pop(_SPACE, None)
    try:
        return MemoryEntry(**values), None if space is None else checked_space(space)
    except (TypeError, InvalidEntry) as error:
        raise EncodingError(f"its exact bytes are no entry ({error})") from error
