"""How a model names an entry, and how it reads single fields of a stored hash."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from agent_memory.errors import InvalidEntry
from agent_memory.models.redis import agent_prefix, decode_id
from agent_memory.values.entry import EntryKey, MemoryType

_PK = re.compile(rb"\{([A-Za-z0-9_]+)/([A-Za-z0-9_]+)\}:([0-9a-f]{32})")

_READERS: dict[str, Callable[[bytes], Any]] = {
    "pk": bytes.decode,
    "memory_id": bytes.decode,
    "run_id": decode_id,
    "agent_id": decode_id,
    "memory_type": lambda stored: MemoryType(stored.decode()),
    "embedding": lambda stored: np.frombuffer(stored, "<f4").tolist(),
    "error_bounds": json.loads,
    "pinned": lambda stored: stored == b"1",
    **dict.fromkeys(("timestamp", "importance_score", "creation_time", "last_access_time"), float),
    **dict.fromkeys(
        ("step_number", "compression_level", "retrieval_count", "encoder_version", "revision"), int
    ),
}


def pk_of(key: EntryKey) -> str:
    """The ``pk`` of an entry."""
    return agent_prefix("", key.run_id, key.agent_id).removeprefix(":") + key.memory_id


def key_of_pk(pk: bytes) -> EntryKey:
    """The key that a ``pk`` names.

    Raises:
        InvalidEntry: It names none.
    """
    found = _PK.fullmatch(pk)
    if found is None:
        raise InvalidEntry(
            f"pk: {pk.decode(errors='replace')!r:.80} is not like {{run/agent}}:memory id; give "
            "the pk of a model, or an EntryKey"
        )
    return EntryKey(decode_id(found[1]), decode_id(found[2]), found[3].decode())


def read_field(name: str, stored: Mapping[bytes, bytes]) -> Any:
    """One field of a stored hash other than its contents; None if it lacks."""
    value = stored.get(name.encode())
    if value is None:
        # That of an entry which is not pinned is absent.
        return False if name == "pinned" else None
    return _READERS[name](value)
