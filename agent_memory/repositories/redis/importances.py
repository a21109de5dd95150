"""The importances of a tier on a server: read from its sorted sets, kept, and set by a script."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agent_memory.connections.redis.answers import are_codes, values_of
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.commands import Command, KeyedCommand
from agent_memory.connections.redis.script import Script
from agent_memory.models.redis import SORTED_SETS
from agent_memory.repositories.importances import ENTRY_BYTES, Importances
from agent_memory.repositories.redis.calls import by_agent, flat, in_order
from agent_memory.repositories.redis.change_log import MARKS, ChangeLog, Record
from agent_memory.repositories.redis.keys import KeySpace
from agent_memory.repositories.redis.scripts.naming import lua
from agent_memory.repositories.redis.scripts.shared import SHARED
from agent_memory.values.entry import EntryKey
from agent_memory.values.forking import after_fork
from agent_memory.values.recently_used import RecentlyUsed

MAX_BYTES = 256 * 1024**2
"""How many bytes of importances a process keeps of a tier."""

_BARE = 1_000  # bytes that an agent without entries takes
_READ = KeyedCommand("HMGET", "importance_score", "step_number", answers=values_of(2))
_LOGGED_TOGETHER = 50  # ids, which a record of the log names one by one
_INDEXES = [index for index in SORTED_SETS if index.score == "importance_score"]
_ADDING = "\n    ".join(
    f"append(coming, prefix .. '{index.name}', $each.importance, $each.memory_id)"
    for index in _INDEXES
)

# ARGV: the call's own field of the log, then memory id and importance of each. Gives 1 or 0
# (absent) for each. An entry that has the importance already is not changed.
SET = Script(
    SHARED
    + lua(
        f"""
local outcome, ids = {{}}, {{}}
for i = $groups do
  local key = prefix .. $each.memory_id
  local held = redis.call('HMGET', key, 'revision', 'importance_score')
  if held[1] and tonumber(held[2]) ~= tonumber($each.importance) then
    redis.call('HSET', key, 'importance_score', $each.importance)
    redis.call('HINCRBY', key, 'revision', 1)
    {_ADDING}
    ids[#ids + 1] = $each.memory_id
    if #ids == {_LOGGED_TOGETHER} then
      log(prefix, $now, ids, '!')
      ids = {{}}
    end
  end
  outcome[#outcome + 1] = held[1] and 1 or 0
end
flush()
log(prefix, $now, ids, '!')
return outcome
""",
        head=("now",),
        each=("memory_id", "importance"),
    ),
    answers=are_codes,
)


class _Kept:
    """What is kept of an agent's importances."""

    def __init__(self) -> None:
        self.rows: Importances | None = None
        self.seen: Record | None = None
        self.size = _BARE


class RedisImportances:
    """The importances of one tier. Threads may share it.

    Args:
        channel: The server.
        key_space: The tier's keys.
        clock: Gives the time in seconds since 1970.
    """

    def __init__(self, channel: RedisChannel, key_space: KeySpace, clock: Any) -> None:
        self._channel = channel
        self._key_space = key_space
        self._clock = clock
        self._kept: RecentlyUsed[str, _Kept] = RecentlyUsed(lambda _: _Kept(), MAX_BYTES)
        self._unlock()
        after_fork(self._unlock)

    def of(self, run_id: str, agents: Sequence[str]) -> dict[str, Importances]:
        """Those of some agents of a run; see ``ImportanceIndex``."""
        prefixes = {agent_id: self._key_space.prefix(run_id, agent_id) for agent_id in agents}
        with self._lock:
            kept = {prefix: self._kept.of(prefix) for prefix in prefixes.values()}
            try:
                self._refresh(kept)
            except BaseException:
                # What was half read is not right; the next question reads all of it again.
                for one in kept.values():
                    one.rows = None
                raise
            self._kept.make_room()
            return {
                agent_id: rows
                for agent_id, prefix in prefixes.items()
                if (rows := kept[prefix].rows) is not None and len(rows.ids)
            }

    def set(self, wanted: Mapping[EntryKey, float]) -> list[EntryKey]:
        """Set how important some entries are; returns the keys that are not stored here."""
        keys = [*wanted]
        groups = by_agent(keys)
        calls = []
        for agent, places in groups:
            given = flat((keys[at].memory_id, repr(wanted[keys[at]])) for at in places)
            calls.append((self._key_space.of(agent), [repr(self._clock()), *given]))
        found = in_order(groups, self._channel.run(SET, calls))
        return [key for key, there in zip(keys, found, strict=True) if not there]

    def _refresh(self, kept: Mapping[str, _Kept]) -> None:
        """Ask whether anything has changed, and read of each agent what has."""
        logs = {prefix: ChangeLog(self._channel, prefix) for prefix in kept}
        news = self._channel.call_all([logs[it].news(one.seen) for it, one in kept.items()])
        whole: list[str] = []
        changed: list[tuple[str, list[bytes]]] = []
        for (prefix, one), records in zip(kept.items(), news, strict=True):
            if one.rows is not None and one.seen and records == [one.seen]:
                continue
            names = _named(one.seen, records) if one.rows is not None else None
            if names is None:
                whole.append(prefix)
            else:
                changed.append((prefix, names))
            # Read after the log, so that what comes meanwhile is read once more.
            one.seen = records[-1] if records else None
        self._read_whole(whole, kept)
        self._read_changed(changed, kept)

    def _read_whole(self, prefixes: Sequence[str], kept: Mapping[str, _Kept]) -> None:
        commands: list[Command] = [
            ("ZRANGE", f"{prefix}{name}", 0, -1, "WITHSCORES")
            for prefix in prefixes
            for name in ("importance", "steps")
        ]
        replies = iter(self._channel.call_all(commands))
        for prefix in prefixes:
            importance, steps = (_scored(next(replies)) for _ in range(2))
            names = sorted(importance.keys() & steps.keys())
            rows = Importances.of(
                names, (importance[it] for it in names), (int(steps[it]) for it in names)
            )
            before = kept[prefix].rows
            if before is not None and np.array_equal(before.ids, rows.ids):
                rows = rows._replace(ids=before.ids)
            kept[prefix].rows = rows
            kept[prefix].size = _BARE + ENTRY_BYTES * len(names)

    def _read_changed(
        self, changed: Sequence[tuple[str, Sequence[bytes]]], kept: Mapping[str, _Kept]
    ) -> None:
        replies = iter(
            self._channel.call_all(
                [_READ(prefix + name.decode()) for prefix, names in changed for name in names]
            )
        )
        for prefix, names in changed:
            came: dict[bytes, tuple[float, int]] = {}
            gone: list[bytes] = []
            for name in names:
                importance, step = next(replies)
                if importance is None or step is None:
                    gone.append(name)
                else:
                    came[name] = float(importance), int(step)
            one = kept[prefix]
            assert one.rows is not None  # noqa: S101 - what changed was known
            one.rows = one.rows.with_changes(came, gone)
            one.size = _BARE + ENTRY_BYTES * len(one.rows.ids)

    def _unlock(self) -> None:
        self._lock = threading.Lock()


def _named(seen: Record | None, records: Sequence[Record]) -> list[bytes] | None:
    """The ids of what has changed since a record; None where the log does not name them all."""
    if not (seen and records and records[0] == seen):
        return None
    logged = {record for _, (_, record) in records[1:]}
    if logged & MARKS:
        return None
    return sorted({name for record in logged for name in record.split()})


def _scored(reply: Sequence[bytes]) -> dict[bytes, float]:
    return dict(zip(reply[::2], map(float, reply[1::2]), strict=True))
