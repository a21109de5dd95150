"""How a model names an entry, and how it reads single fields of a stored hash."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from agent_memory.errors import InvalidEntry
from agent_memory.models.redis import FIELD_TABLE, agent_prefix, decode_id, read_vector
from agent_memory.values.entry import EntryKey

_PK = re.compile(rb"\{([A-Za-z0-9_]+)/([A-Za-z0-9_]+)\}:([0-9a-f]{32})")

_READERS: dict[str, Callable[[bytes], Any]] = {
    **{field.name: field.read for field in FIELD_TABLE},
    "pk": bytes.decode,
    "embedding": lambda stored: read_vector(stored).tolist(),
}
_ABSENT = {field.name: field.absent for field in FIELD_TABLE}


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
    return _ABSENT.get(name) if value is None else _READERS[name](value)
