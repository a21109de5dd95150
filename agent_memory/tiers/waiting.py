"""Entries that wait in a spool, and their bytes there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgpack

from agent_memory.errors import EncodingError, NewerFormat
from agent_memory.models.redis import FIELDS, decode_id, entry_to_values, hash_to_entry
from agent_memory.values.contents import pack, unpack
from agent_memory.values.entry import MemoryEntry
from agent_memory.values.formats import at
from agent_memory.values.sealing import sealed, unsealed

CHANGEABLE = ("importance_score", "pinned")
"""The fields of an entry that can be changed while it waits."""

_CHANGED = "changed"  # the name of the list of those that were, which earlier versions pass over


class LastMoment(NamedTuple):
    """What was known of long-term memory's moments when an entry was acknowledged.

    Attributes:
        moment: The last one that was known; see ``LongTermMemory.moment``.
        is_sure: Whether long-term memory was asked then. Else there may have been later ones.
    """

    moment: float
    is_sure: bool


class Waiting(NamedTuple):
    """An entry that waits.

    Attributes:
        number: Its place in the queue.
        spooled_at: When it was acknowledged, in seconds since 1970.
        coded: The entry; see ``decoded``.
        last: The last moment of long-term memory before it was acknowledged; None: it is not
            known, as of what an earlier version has put there.
    """

    number: int
    spooled_at: float
    coded: bytes
    last: LastMoment | None = None


def waiting_of(
    number: int, spooled_at: object, entry: bytes, moment: object = None, is_sure: object = None
) -> Waiting:
    """An entry that waits, as its row is read."""
    # SQLite keeps a value of any type: one that is no time is before all clearings of its agent.
    at = spooled_at if isinstance(spooled_at, float) else 0.0
    last = LastMoment(moment, is_sure == 1) if isinstance(moment, float) else None
    return Waiting(number, at, entry, last)


def is_older(spooled_at: float, last: LastMoment | None, moment: float, at: float) -> bool:
    """Whether an entry was acknowledged before something was forgotten.

    Args:
        spooled_at: When it was acknowledged, in seconds since 1970.
        last: What was known of moments then; None: nothing.
        moment: When it was forgotten, as a moment of long-term memory.
        at: The same by a clock, in seconds since 1970: it decides where moments cannot, because
            long-term memory could not be asked when the entry was spooled.
    """
    if last is not None and (last.is_sure or moment <= last.moment):
        return moment > last.moment
    return spooled_at <= at


def owner_of(coded: bytes) -> tuple[str, str] | None:
    """The run and the agent of an entry by its bytes; None where they are damaged."""
    try:
        named = msgpack.unpackb(coded)
        return decode_id(named["run_id"].encode()), decode_id(named["agent_id"].encode())
    except (ValueError, TypeError, KeyError, AttributeError, msgpack.UnpackException):
        return None


def memory_id_of(coded: bytes) -> str | None:
    """The id of an entry by its bytes; None where they are damaged."""
    try:
        found = msgpack.unpackb(coded)["memory_id"]
    except (ValueError, TypeError, KeyError, msgpack.UnpackException):
        return None
    return found if isinstance(found, str) else None


def coded(entry: MemoryEntry, max_bytes: int | None = None) -> bytes:
    """The bytes of an entry, its contents and its vector exact.

    Raises:
        InvalidEntry: Its contents cannot be stored, or need more bytes than are allowed.
    """
    values = entry_to_values(entry, sealed(pack(entry.contents, max_bytes=max_bytes)))
    # By name, so that a later version reads what an earlier one has left.
    stored = {name: value for name, value in zip(FIELDS, values, strict=True) if value != ""}
    packed: bytes = msgpack.packb(stored)
    return packed


def coded_again(waiting: Waiting, entry: MemoryEntry, changed: Iterable[str]) -> bytes:
    """The bytes of an entry that was changed while it waits; its contents stay byte by byte.

    Args:
        waiting: As it waits.
        entry: As it is now.
        changed: The fields that were changed and that a tier may have as they were before.
    """
    values = entry_to_values(entry, msgpack.unpackb(waiting.coded)["contents"])
    stored = {name: value for name, value in zip(FIELDS, values, strict=True) if value != ""}
    names = ",".join(sorted(changed))
    packed: bytes = msgpack.packb(stored | ({_CHANGED: names} if names else {}))
    return packed


def changed_fields(waiting: Waiting) -> set[str]:
    """The fields of an entry that were changed while it waits; see ``coded_again``."""
    if _CHANGED.encode() not in waiting.coded:
        return set()
    try:
        names = msgpack.unpackb(waiting.coded).get(_CHANGED, "")
    except (ValueError, AttributeError, msgpack.UnpackException):
        return set()  # it is reported and refused when it is its turn to be stored
    return {name for name in str(names).split(",") if name in CHANGEABLE}


def decoded(waiting: Waiting) -> MemoryEntry:
    """The entry that waits.

    Raises:
        EncodingError: Its bytes are damaged.
        NewerFormat: They were put there by a newer version.
    """
    try:
        named: dict[str, Any] = msgpack.unpackb(waiting.coded)
        stored = {
            name.encode(): value if isinstance(value, bytes) else str(value).encode()
            for name, value in named.items()
            if value != b""
        }
        return hash_to_entry(stored, unpack(unsealed(stored[b"contents"])))
    except NewerFormat as error:
        raise at(f"entry {waiting.number} of the spool", error) from error
    except (
        *(ValueError, TypeError, KeyError, AttributeError, RecursionError, MemoryError),
        *(msgpack.UnpackException,),
    ) as error:
        raise EncodingError(
            f"entry {waiting.number} of the spool cannot be read ({error!r})"
        ) from error
