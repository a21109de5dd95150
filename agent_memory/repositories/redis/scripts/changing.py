"""Scripts that change some fields of stored entries: vectors, retrievals, declared attributes."""

from __future__ import annotations

from agent_memory.connections.redis.answers import are_codes
from agent_memory.connections.redis.script import Script
from agent_memory.repositories.redis.scripts.naming import lua
from agent_memory.repositories.redis.scripts.shared import SHARED

REEMBED = Script(
    SHARED
    + lua(
        """
local outcome, ids = {}, {}
for i = $groups do
  local key = prefix .. $each.memory_id
  local stored = redis.call('HGET', key, 'revision') == $each.revision
  if stored and $each.old_version ~= 'any' then
    local found = redis.call('HMGET', key, 'embedding', 'encoder_version')
    stored = (found[1] or '') == $each.old_embedding and (found[2] or '') == $each.old_version
  end
  if stored then
    if $each.embedding ~= '' and $each.encoder_version ~= '' then
      redis.call('HSET', key, 'embedding', $each.embedding,
                 'encoder_version', $each.encoder_version)
    else
      redis.call('HDEL', key, 'embedding', 'encoder_version')
      if $each.embedding ~= '' then redis.call('HSET', key, 'embedding', $each.embedding) end
      if $each.encoder_version ~= '' then
        redis.call('HSET', key, 'encoder_version', $each.encoder_version)
      end
    end
    ids[#ids + 1] = $each.memory_id
  end
  outcome[#outcome + 1] = stored and 1 or 0
end
log(prefix, $now, ids, '!')
return outcome
""",
        head=("now",),
        each=(
            *("memory_id", "revision", "embedding", "encoder_version"),
            *("old_embedding", "old_version"),
        ),
    ),
    answers=are_codes,
)
"""Stores vectors in place of those that entries have.

ARGV: now, then memory id, revision, vector and encoder version of each ('' for none), and the
vector and version it replaces (version 'any': whatever there is). Gives 1 (stored) or 0 (absent,
of another revision, or with another vector) for each.
"""

TOUCH = Script(
    SHARED
    + lua(
        """
local counted, outcome = KEYS[4], {}
if $token ~= '' then
  local noted = redis.call('ZRANGEBYLEX', counted, '[' .. $token .. ' ', '(' .. $token .. '!')
  if noted[1] then
    for code in string.gmatch(string.sub(noted[1], #$token + 2), '%d') do
      outcome[#outcome + 1] = tonumber(code)
    end
    return outcome
  end
end
for i = $groups do
  local key = prefix .. $each.memory_id
  local last = redis.call('HGET', key, 'last_access_time')
  if last then
    redis.call('HINCRBY', key, 'retrieval_count', $each.count)
    if tonumber(last) < tonumber($at) then redis.call('HSET', key, 'last_access_time', $at) end
  end
  outcome[#outcome + 1] = last and 1 or 0
end
if $token ~= '' then
  redis.call('ZADD', counted, 0, $token .. ' ' .. table.concat(outcome))
  if redis.call('ZCARD', counted) > 1000 then
    redis.call('ZREMRANGEBYLEX', counted, '-', '(' .. $outdated)
  end
end
return outcome
""",
        head=("at", "token", "outdated"),
        each=("memory_id", "count"),
    ),
    answers=are_codes,
)
"""Counts retrievals, and notes the answer under a token.

Sent again with its token it counts nothing and gives the noted answer; without one it may not be
sent again after a lost answer. Notes sort by their tokens, and thus by time; those of processes
that died before they took them away go when they are outdated, by the clock of whoever counts.
While there are few they stay, so that a client whose clock is wrong takes no other's away.

KEYS: also the notes of counts. ARGV: the time; the token ('' for none); the token before which
notes are outdated; then memory id and count of each. Gives 1 or 0 (absent) for each.
"""

ATTRIBUTES = Script(
    SHARED
    + lua(
        """
local outcome = {}
for i = $groups do
  local id = $each.memory_id
  local key = prefix .. id
  local found = redis.call('HMGET', key, 'revision', 'attributes', 'timestamp')
  local same = found[1] == $each.revision
  if same and found[2] ~= $each.attributes then
    if found[2] then
      each_attribute(found[2], function(index, _, field)
        redis.call('HDEL', key, field)
        append(going, prefix .. index, id)
      end)
      redis.call('HDEL', key, 'attributes')
      flush()
    end
    if $each.attributes ~= '' then set_attributes(prefix, id, $each.attributes, found[3]) end
  end
  outcome[#outcome + 1] = same and 1 or 0
end
flush()
return outcome
""",
        each=("memory_id", "revision", "attributes"),
    )
)
"""Indexes entries by declared attributes.

ARGV: memory id, revision and attributes of each ('' for none). Gives 1 where they stand now, 0
where the entry is gone or has another revision.
"""
