"""Scripts that repair entries, each only if its hash is still the one that was looked at."""

from __future__ import annotations

from collections.abc import Iterator

from agent_memory.connections.redis.script import Script
from agent_memory.models.redis import FIELD_TABLE, INDEX_KEYS, SORTED_SETS
from agent_memory.repositories.redis.scripts.naming import lua
from agent_memory.repositories.redis.scripts.shared import LOG_LENGTH, index_key

_INDEXED = [
    field
    for field in FIELD_TABLE
    if any(field.name in (index.score, index.by, index.only) for index in SORTED_SETS)
]
_STORED = {"stored": ", ".join(f"'{field.name}'" for field in _INDEXED)} | {
    # An entry that was stored before there was a field has what absent fields stand for.
    f"stored.{field.name}": (
        f"stored[{place}]" if field.absent is None else f"(stored[{place}] or '{field.absent}')"
    )
    for place, field in enumerate(_INDEXED, 1)
}


def _indexing() -> Iterator[str]:
    """Lines that put an entry, of whose hash ``stored`` tells, into its indexes."""
    for index in SORTED_SETS:
        key = index_key(index, f"$stored.{index.by}")
        line = f"redis.call('ZADD', {key}, $stored.{index.score}, id)"
        yield line if index.only is None else f"if $stored.{index.only} == '1' then {line} end"


_LINES = "\n    ".join(_indexing())

_SHARED = f"""
local prefix, agents, runs = KEYS[1], KEYS[2], KEYS[3]
local indexes = {{{", ".join(f"'{key}'" for key in INDEX_KEYS)}}}

local function is_as_seen(key, seen)
  local hash = redis.call('HGETALL', key)
  return #hash > 0 and table.concat(hash, '\\0') == seen
end

local function take_from_indexes(id)
  for _, index in ipairs(indexes) do redis.call('ZREM', prefix .. index, id) end
  local spelled = redis.call('HGET', prefix .. id, 'attributes') or ''
  for index in string.gmatch(spelled, '(%S+) %S+ %S+ %S+') do
    redis.call('ZREM', prefix .. index, id)
  end
end

local function note(id, now)
  redis.call('XADD', prefix .. 'changes', {LOG_LENGTH}, now, id)
end
"""

REINDEX = Script(
    _SHARED
    + lua(
        f"""
local done = 0
for i = $groups do
  local id = $each.memory_id
  local key = prefix .. id
  if is_as_seen(key, $each.seen) then
    take_from_indexes(id)
    local stored = redis.call('HMGET', key, $stored)
    {_LINES}
    local spelled = redis.call('HGET', key, 'attributes') or ''
    for index, score, field, value in string.gmatch(spelled, '(%S+) (%S+) (%S+) (%S+)') do
      redis.call('HSET', key, field, value)
      redis.call('ZADD', prefix .. index, score == '-' and $stored.timestamp or score, id)
    end
    note(id, $now)
    done = done + 1
  end
end
if done > 0 and not redis.call('ZSCORE', agents, $agent) then
  redis.call('ZADD', agents, $now, $agent)
  redis.call('SADD', runs, $run)
end
return done
""",
        head=("agent", "run", "now"),
        each=("memory_id", "seen"),
        more=_STORED,
    )
)
"""Indexes entries again. ARGV: agent, run, now, then memory id and hash of each. Gives how many."""

SET_FIELDS = Script(
    _SHARED
    + lua(
        """
local key = prefix .. $memory_id
if not is_as_seen(key, $seen) then return 0 end
for i = $groups do redis.call('HSET', key, $each.field, $each.value) end
note($memory_id, $now)
return 1
""",
        head=("now", "memory_id", "seen"),
        each=("field", "value"),
    )
)
"""Sets fields of an entry.

ARGV: now, memory id, hash, then fields and values. Gives 1 if they were set.
"""

TAKE_OUT = Script(
    _SHARED
    + lua(
        """
local id = $memory_id
if not is_as_seen(prefix .. id, $seen) then return 0 end
take_from_indexes(id)
redis.call('DEL', prefix .. id)
note(id, $now)
if redis.call('EXISTS', prefix .. 'steps') == 0 then
  redis.call('DEL', prefix .. 'changes', prefix .. 'ahead')
  redis.call('ZREM', agents, $agent)
  if redis.call('EXISTS', agents) == 0 then redis.call('SREM', runs, $run) end
end
return 1
""",
        head=("agent", "run", "now", "memory_id", "seen"),
    )
)
"""Removes an entry with its places in all indexes.

ARGV: agent, run, now, memory id, hash. Gives 1 if it was taken out.
"""
