"""Mends entries in Redis: their indexes are made from them again, and what is damaged is taken out.

Each script changes an entry only if its hash is still the one that was looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent_memory.connections.redis.script import Script
from agent_memory.models.redis import encode_id
from agent_memory.repositories.redis.inspection import Examined, Owner, TierInspection
from agent_memory.values.entry import MemoryType

_TYPES = ", ".join(f"'type:{kind.value}'" for kind in MemoryType)

_SHARED = f"""
local prefix, agents, runs = KEYS[1], KEYS[2], KEYS[3]
local orders, types = {{'steps', 'times', 'importance'}}, {{{_TYPES}}}

local function is_as_seen(key, seen)
  local hash = redis.call('HGETALL', key)
  return #hash > 0 and table.concat(hash, '\\0') == seen
end

local function take_from_indexes(id)
  for _, index in ipairs(orders) do redis.call('ZREM', prefix .. index, id) end
  for _, index in ipairs(types) do redis.call('ZREM', prefix .. index, id) end
  redis.call('ZREM', prefix .. 'pinned', id)
  local spelled = redis.call('HGET', prefix .. id, 'attributes') or ''
  for index in string.gmatch(spelled, '(%S+) %S+ %S+ %S+') do
    redis.call('ZREM', prefix .. index, id)
  end
end

local function note(id, now)
  redis.call('XADD', prefix .. 'changes', 'MAXLEN', '~', 64, '*', now, id)
end
"""

# ARGV: agent, run, now, then memory id and hash of each. Gives how many were indexed anew.
_REINDEX = Script(
    _SHARED
    + """
local done = 0
for i = 4, #ARGV, 2 do
  local id, key = ARGV[i], prefix .. ARGV[i]
  if is_as_seen(key, ARGV[i + 1]) then
    take_from_indexes(id)
    local told = redis.call('HMGET', key, 'step_number', 'timestamp', 'importance_score',
                            'memory_type', 'attributes', 'pinned')
    redis.call('ZADD', prefix .. 'steps', told[1], id)
    redis.call('ZADD', prefix .. 'times', told[2], id)
    redis.call('ZADD', prefix .. 'importance', told[3], id)
    redis.call('ZADD', prefix .. 'type:' .. told[4], told[2], id)
    if told[6] == '1' then redis.call('ZADD', prefix .. 'pinned', told[2], id) end
    for index, score, field, value in string.gmatch(told[5] or '', '(%S+) (%S+) (%S+) (%S+)') do
      redis.call('HSET', key, field, value)
      redis.call('ZADD', prefix .. index, score == '-' and told[2] or score, id)
    end
    note(id, ARGV[3])
    done = done + 1
  end
end
if done > 0 and not redis.call('ZSCORE', agents, ARGV[1]) then
  redis.call('ZADD', agents, ARGV[3], ARGV[1])
  redis.call('SADD', runs, ARGV[2])
end
return done
"""
)

# ARGV: now, memory id, hash, then fields and values. Gives 1 if they were set.
_SET_FIELDS = Script(
    _SHARED
    + """
local key = prefix .. ARGV[2]
if not is_as_seen(key, ARGV[3]) then return 0 end
for i = 4, #ARGV, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
note(ARGV[2], ARGV[1])
return 1
"""
)

# ARGV: agent, run, now, memory id, hash. Gives 1 if it was taken out.
_TAKE_OUT = Script(
    _SHARED
    + """
local id = ARGV[4]
if not is_as_seen(prefix .. id, ARGV[5]) then return 0 end
take_from_indexes(id)
redis.call('DEL', prefix .. id)
note(id, ARGV[3])
if redis.call('EXISTS', prefix .. 'steps') == 0 then
  redis.call('DEL', prefix .. 'changes', prefix .. 'ahead')
  redis.call('ZREM', agents, ARGV[1])
  if redis.call('EXISTS', agents) == 0 then redis.call('SREM', runs, ARGV[2]) end
end
return 1
"""
)


class TierMending:
    """Mends what an inspection of a tier has found.

    Args:
        inspection: The tier.
    """

    def __init__(self, inspection: TierInspection) -> None:
        self._tier = inspection
        self._channel = inspection.channel

    def reindex(self, owner: Owner, entries: Sequence[Examined], now: float) -> int:
        """Make the index places of entries of an agent anew; gives how many were."""
        pairs = [part for entry in entries for part in (entry.memory_id, entry.seen)]
        (done,) = self._channel.run(
            _REINDEX, [(self._keys(owner), [*self._who(owner), repr(now), *pairs])]
        )
        return int(done)

    def set_fields(self, entry: Examined, fields: Mapping[str, str | bytes], now: float) -> bool:
        """Change fields of an entry's hash, if it is still as it was seen."""
        pairs = [part for pair in fields.items() for part in pair]
        (done,) = self._channel.run(
            _SET_FIELDS,
            [(self._keys(entry.owner), [repr(now), entry.memory_id, entry.seen, *pairs])],
        )
        return bool(done)

    def take_out(self, entry: Examined, now: float) -> bool:
        """Remove an entry with its places in all indexes, if it is still as it was seen."""
        arguments = [*self._who(entry.owner), repr(now), entry.memory_id, entry.seen]
        (done,) = self._channel.run(_TAKE_OUT, [(self._keys(entry.owner), arguments)])
        return bool(done)

    def _keys(self, owner: Owner) -> list[str]:
        namespace = self._tier.namespace
        return [owner.prefix, f"{namespace}:agents:{encode_id(owner.run_id)}", f"{namespace}:runs"]

    @staticmethod
    def _who(owner: Owner) -> list[str]:
        return [encode_id(owner.agent_id), encode_id(owner.run_id)]
