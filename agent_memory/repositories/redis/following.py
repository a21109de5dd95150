"""What has changed of an agent's entries on a server, by the log that every write extends."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from agent_memory.connections.redis.answers import values_of
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.commands import Command, KeyedCommand
from agent_memory.errors import EncodingError
from agent_memory.models.redis import memory_id_of
from agent_memory.repositories.codec import Codec
from agent_memory.repositories.following import Changes, Stored, View
from agent_memory.repositories.redis.change_log import ChangeLog, Record
from agent_memory.repositories.redis.entries import Values, reading
from agent_memory.values.query import CATEGORIES, FLAGS, RANGES

_FIELDS = ("revision", "contents", *RANGES.values(), *CATEGORIES, *FLAGS)
_READ = KeyedCommand("HMGET", *_FIELDS, answers=values_of(len(_FIELDS)))
_TRUE = b"1"
_NAN = float("nan")


def changes(
    channel: RedisChannel, prefix: str, codec: Codec, seen: object, known: Collection[str]
) -> Changes:
    """What has changed of the entries of an agent; see ``MemoryRepository.changes``.

    Args:
        channel: The server.
        prefix: What all keys of the agent begin with.
        codec: Decodes contents.
        seen: The last record of the log that was heeded.
        known: The ids of the entries that are known.
    """
    log = ChangeLog(channel, prefix)
    heeded: Record | None = seen if isinstance(seen, list) else None
    (records,) = channel.call_all([log.news(heeded)])
    if log.is_old(heeded, records):
        return Changes(heeded, False, [], [])
    names = log.changed(heeded, records, known)
    whole = names is None
    asked = log.ids() if names is None else names
    replies = channel.call_all([_READ(prefix + memory_id_of(name)) for name in asked])
    stored, gone = [], []
    for name, values in zip(asked, replies, strict=True):
        if any(values):
            stored.append(_stored(memory_id_of(name), values, codec))
        else:
            gone.append(memory_id_of(name))
    return Changes(records[-1] if records else [], whole, stored, gone)


def rows_as_seen(
    channel: RedisChannel, tiers: Sequence[tuple[str, View]]
) -> list[list[Values]] | None:
    """Read hashes of an agent if nothing has changed in some tiers of a server; one request.

    Args:
        channel: The server.
        tiers: Of each tier what the keys of the agent begin with, and what was seen.

    Returns:
        The values of each tier's; None where something has changed, or may have.
    """
    commands: list[Command] = []
    for prefix, view in tiers:
        if not isinstance(view.seen, list):
            return None
        commands += [ChangeLog(channel, prefix).news(view.seen), ("EXISTS", f"{prefix}steps")]
        commands += reading(prefix, view.names)
    replies = iter(channel.call_all(commands))
    found = []
    for _, view in tiers:
        records, is_there = next(replies), bool(next(replies))
        rows = [next(replies) for _ in view.names]
        # Without a log there was nothing, or what was stored before there were logs.
        is_old = records == [view.seen] if view.seen else not records
        if not is_old or is_there == view.is_empty:
            return None
        found.append(rows)
    return found


def _stored(memory_id: str, values: Sequence[bytes | None], codec: Codec) -> Stored:
    read = dict(zip(_FIELDS, values, strict=True))
    fields: dict[str, Any] = {name: _number(read[name], float, _NAN) for name in RANGES.values()}
    fields["step_number"] = step = _number(read["step_number"], int, -1)
    fields |= {name: (read[name] or b"").decode("ascii", "replace") for name in CATEGORIES}
    fields |= {name: read[name] == _TRUE for name in FLAGS}
    contents = _contents(codec, read["contents"], step)
    return Stored(memory_id, _number(read["revision"], int, -1), fields, contents)


def _contents(codec: Codec, coded: bytes | None, step: int) -> Mapping[str, Any] | None:
    try:
        return codec.decode(coded or b"", step)
    except EncodingError:
        return None


def _number(field: bytes | None, kind: type[Any], otherwise: Any) -> Any:
    try:
        return otherwise if field is None else kind(field)
    except ValueError:
        return otherwise
