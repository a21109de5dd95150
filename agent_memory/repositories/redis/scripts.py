"""The Lua scripts that change entries in Redis, each entry and all of its indexes at once.

A script runs alone on the server, so nothing ever sees an entry without its index members or
the reverse. Conditions (is it there, is it newer, is it still the copied revision) are decided
where the data is. Every script may be sent again after a lost answer, but for ``TOUCH``.

A server that is out of memory refuses what would take more, until a script has written: none
that has begun is broken off half-way. Moves begin with a write that takes nothing, since it is by
them that the server gets its memory back.

Each takes the agent's key prefix as ``KEYS[1]``, the registry of the run's agents as
``KEYS[2]`` and the set of runs as ``KEYS[3]``; ``MOVE`` takes the destination's three as well.
Field order and key names are those of ``models.redis``.

Each that adds, removes or changes entries notes their ids in a short log (a stream), so that
whoever keeps vectors can tell by its last record whether they are still right, and read anew
only those that are not. A call of many entries is one record without their ids.
"""

from __future__ import annotations

from typing import Any

from agent_memory.connections.redis.answers import are_codes, are_texts, is_number
from agent_memory.connections.redis.script import Script
from agent_memory.models.redis import FIELDS

# How many arguments an entry takes: one a field.
STRIDE = len(FIELDS)

_ALWAYS = ", ".join(f"'{name}', ARGV[i + {place}]" for place, name in enumerate(FIELDS[:13]))

# How much of the log is kept.
_LOG = "'MAXLEN', '~', 64, '*'"

_SHARED = f"""
local prefix, agents, runs = KEYS[1], KEYS[2], KEYS[3]

-- Changes of indexes wait here, so that each index takes all of a call's at once: of some ten
-- commands an entry two are left, which a batch feels.
local coming, going = {{}}, {{}}

local function append(waiting, key, first, second)
  local values = waiting[key]
  if not values then
    values = {{}}
    waiting[key] = values
  end
  values[#values + 1] = first
  if second then values[#values + 1] = second end
end

local function flush()
  for key, ids in pairs(going) do redis.call('ZREM', key, unpack(ids)) end
  for key, members in pairs(coming) do redis.call('ZADD', key, unpack(members)) end
  coming, going = {{}}, {{}}
end

-- Declared attributes, as ``models.redis_attributes`` spells them: index, score ('-' for the
-- timestamp), field and value of each.
local function each_attribute(spelled, visit)
  for index, score, field, value in string.gmatch(spelled, '(%S+) (%S+) (%S+) (%S+)') do
    visit(index, score, field, value)
  end
end

local function set_attributes(prefix, id, spelled, time)
  redis.call('HSET', prefix .. id, 'attributes', spelled)
  each_attribute(spelled, function(index, score, field, value)
    redis.call('HSET', prefix .. id, field, value)
    append(coming, prefix .. index, score == '-' and time or score, id)
  end)
end

local function write(prefix, i)
  local id = ARGV[i]
  local key = prefix .. id
  if ARGV[i + 13] ~= '' and ARGV[i + 14] ~= '' then
    -- In one call, after each of which a query engine indexes the entry anew.
    redis.call('HSET', key, {_ALWAYS},
               'embedding', ARGV[i + 13], 'encoder_version', ARGV[i + 14])
  else
    redis.call('HSET', key, {_ALWAYS})
    if ARGV[i + 13] ~= '' then redis.call('HSET', key, 'embedding', ARGV[i + 13]) end
    if ARGV[i + 14] ~= '' then redis.call('HSET', key, 'encoder_version', ARGV[i + 14]) end
  end
  if ARGV[i + 15] ~= '' then redis.call('HSET', key, 'error_bounds', ARGV[i + 15]) end
  if ARGV[i + 16] ~= '' then set_attributes(prefix, id, ARGV[i + 16], ARGV[i + 4]) end
  if ARGV[i + 17] ~= '' then
    redis.call('HSET', key, 'pinned', ARGV[i + 17])
    append(coming, prefix .. 'pinned', ARGV[i + 4], id)
  end
  append(coming, prefix .. 'steps', ARGV[i + 3], id)
  append(coming, prefix .. 'times', ARGV[i + 4], id)
  append(coming, prefix .. 'type:' .. ARGV[i + 5], ARGV[i + 4], id)
  append(coming, prefix .. 'importance', ARGV[i + 6], id)
end

local function unindex(prefix, id, type, attributes)
  append(going, prefix .. 'steps', id)
  append(going, prefix .. 'times', id)
  append(going, prefix .. 'importance', id)
  append(going, prefix .. 'pinned', id)
  if type then append(going, prefix .. 'type:' .. type, id) end
  if attributes then
    each_attribute(attributes, function(index) append(going, prefix .. index, id) end)
  end
end

-- The log's records: ids joined by blanks, or a mark where they are many: '+' came, '-' went, '!'
-- any may have changed. The field beside them is the call's own, lest a log that was deleted and
-- begun again within a millisecond look the same.
local function log(prefix, call, ids, mark)
  if #ids == 0 then return end
  local record = #ids > 50 and mark or table.concat(ids, ' ')
  redis.call('XADD', prefix .. 'changes', {_LOG}, call, record)
end

-- Whoever writes must know which attributes are declared, or the entry would be missing in their
-- indexes. Gives the declaration to one who does not.
local function undeclared(key, known)
  local declared = redis.call('GET', key) or ''
  if declared ~= known then return declared end
end

local rewritten = false

-- Store what ARGV holds from i on, unless what stands there is as new. Gives an Added.
local function put(prefix, i)
  local key = prefix .. ARGV[i]
  local old = redis.call('HMGET', key, 'revision', 'retrieval_count', 'memory_type', 'attributes')
  if not old[1] then
    write(prefix, i)
    return 1
  end
  local revision, count = tonumber(old[1]), tonumber(old[2])
  local given, given_count = tonumber(ARGV[i + 11]), tonumber(ARGV[i + 8])
  if given > revision or (given == revision and given_count > count) then
    flush() -- it may be this very entry, given twice
    unindex(prefix, ARGV[i], old[3], old[4])
    redis.call('DEL', key)
    write(prefix, i)
    rewritten = true
  end
  return 2
end

local function register(agents, runs, agent, run, now)
  if redis.call('ZADD', agents, now, agent) == 1 then redis.call('SADD', runs, run) end
end

local function unregister(prefix, agents, runs, agent, run)
  if redis.call('EXISTS', prefix .. 'steps') == 0 then
    redis.call('DEL', prefix .. 'changes', prefix .. 'ahead')
    redis.call('ZREM', agents, agent)
    if redis.call('EXISTS', agents) == 0 then redis.call('SREM', runs, run) end
  end
end
"""


def _written(reply: Any) -> bool:
    """What became of each entry; or the declaration that the caller did not know."""
    return type(reply) is bytes or (are_codes(reply) and not {0, -1}.intersection(reply))


def _moved(reply: Any) -> bool:
    return type(reply) is bytes or are_codes(reply)


def _replaced(reply: Any) -> bool:
    if type(reply) in (bytes, int):
        return True
    return are_texts(reply) and len(reply) == 2


# The usual store, of one new entry with a vector and nothing else, which is worth a way of its own:
# defining what the others share and collecting the changes of indexes takes a server 20 us of 95.
_ADD_ONE = f"""
if #ARGV == {STRIDE + 4} then
  local prefix, i = KEYS[1], 5
  local id = ARGV[i]
  local key = prefix .. id
  if ARGV[i + 13] ~= '' and ARGV[i + 14] ~= '' and ARGV[i + 15] == '' and ARGV[i + 16] == ''
      and ARGV[i + 17] == '' and (redis.call('GET', KEYS[4]) or '') == ARGV[4]
      and redis.call('EXISTS', key) == 0 then
    redis.call('HSET', key, {_ALWAYS},
               'embedding', ARGV[i + 13], 'encoder_version', ARGV[i + 14])
    redis.call('ZADD', prefix .. 'steps', ARGV[i + 3], id)
    redis.call('ZADD', prefix .. 'times', ARGV[i + 4], id)
    redis.call('ZADD', prefix .. 'type:' .. ARGV[i + 5], ARGV[i + 4], id)
    redis.call('ZADD', prefix .. 'importance', ARGV[i + 6], id)
    if redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1]) == 1 then
      redis.call('SADD', KEYS[3], ARGV[2])
    end
    redis.call('XADD', prefix .. 'changes', {_LOG}, ARGV[3], id)
    return {{1}}
  end
end
"""

# KEYS: also the declared attributes. ARGV: agent, run, now, the attributes that the caller knows,
# then the fields of each entry. Gives an ``Added`` for each.
ADD = Script(
    _ADD_ONE
    + _SHARED
    + f"""
local refusal = undeclared(KEYS[4], ARGV[4])
if refusal then return refusal end
local outcome, ids = {{}}, {{}}
for i = 5, #ARGV, {STRIDE} do
  outcome[#outcome + 1] = put(prefix, i)
  ids[#ids + 1] = ARGV[i]
end
flush()
if #ids > 0 then register(agents, runs, ARGV[1], ARGV[2], ARGV[3]) end
log(prefix, ARGV[3], ids, rewritten and '!' or '+')
return outcome
""",
    answers=_written,
)

# KEYS: also the declared attributes. ARGV: the fields of one entry, its revision being the one it
# replaces; the attributes that the caller knows; now. Gives the stored
# retrieval count and last access time, 0 where it is absent, or -1 where the revision differs.
REPLACE = Script(
    _SHARED
    + """
local refusal = undeclared(KEYS[4], ARGV[#ARGV - 1])
if refusal then return refusal end
local key = prefix .. ARGV[1]
local old = redis.call('HMGET', key, 'revision', 'memory_type', 'retrieval_count',
                       'last_access_time', 'attributes')
if not old[1] then return 0 end
if tonumber(old[1]) ~= tonumber(ARGV[12]) then return -1 end
ARGV[12] = string.format('%d', tonumber(ARGV[12]) + 1)
ARGV[9], ARGV[11] = old[3], old[4]
unindex(prefix, ARGV[1], old[2], old[5])
redis.call('DEL', key)
write(prefix, 1)
flush()
log(prefix, ARGV[#ARGV], {ARGV[1]}, '!')
return {old[3], old[4]}
""",
    answers=_replaced,
)

# ARGV: now, then memory id, revision, vector and encoder version of each ('' for none), and the
# vector and version it replaces (version 'any': whatever there is). Gives 1 (stored) or 0 (absent,
# of another revision, or with another vector) for each.
REEMBED = Script(
    _SHARED
    + """
local outcome, ids = {}, {}
for i = 2, #ARGV, 6 do
  local key = prefix .. ARGV[i]
  local stored = redis.call('HGET', key, 'revision') == ARGV[i + 1]
  if stored and ARGV[i + 5] ~= 'any' then
    local old = redis.call('HMGET', key, 'embedding', 'encoder_version')
    stored = (old[1] or '') == ARGV[i + 4] and (old[2] or '') == ARGV[i + 5]
  end
  if stored then
    if ARGV[i + 2] ~= '' and ARGV[i + 3] ~= '' then
      redis.call('HSET', key, 'embedding', ARGV[i + 2], 'encoder_version', ARGV[i + 3])
    else
      redis.call('HDEL', key, 'embedding', 'encoder_version')
      if ARGV[i + 2] ~= '' then redis.call('HSET', key, 'embedding', ARGV[i + 2]) end
      if ARGV[i + 3] ~= '' then redis.call('HSET', key, 'encoder_version', ARGV[i + 3]) end
    end
    ids[#ids + 1] = ARGV[i]
  end
  outcome[#outcome + 1] = stored and 1 or 0
end
log(prefix, ARGV[1], ids, '!')
return outcome
""",
    answers=are_codes,
)

# ARGV: the time, then memory id and count of each. Gives 1 or 0 (absent) for each.
TOUCH = Script(
    _SHARED
    + """
local outcome = {}
for i = 2, #ARGV, 2 do
  local key = prefix .. ARGV[i]
  local last = redis.call('HGET', key, 'last_access_time')
  if last then
    redis.call('HINCRBY', key, 'retrieval_count', ARGV[i + 1])
    if tonumber(last) < tonumber(ARGV[1]) then
      redis.call('HSET', key, 'last_access_time', ARGV[1])
    end
  end
  outcome[#outcome + 1] = last and 1 or 0
end
return outcome
""",
    answers=are_codes,
)

# ARGV: agent, run, now, then memory id, revision and retrieval count of each ('' for any;
# 'unpinned' in place of the revision: unless it is pinned).
# Gives 1 (removed), 0 (absent) or -1 (changed or pinned, and stays) for each.
REMOVE = Script(
    _SHARED
    + """
local outcome, gone = {}, {}
local function drop(id, old)
  redis.call('DEL', prefix .. id)
  unindex(prefix, id, old[3], old[4])
  gone[#gone + 1] = id
  return 1
end
for i = 4, #ARGV, 3 do
  local id = ARGV[i]
  local old = redis.call('HMGET', prefix .. id, 'revision', 'retrieval_count', 'memory_type',
                         'attributes')
  if not old[1] then
    unindex(prefix, id, false)
    outcome[#outcome + 1] = 0
  elseif ARGV[i + 1] == 'unpinned' then
    if redis.call('ZSCORE', prefix .. 'pinned', id) then
      outcome[#outcome + 1] = -1
    else
      outcome[#outcome + 1] = drop(id, old)
    end
  elseif (ARGV[i + 1] ~= '' and ARGV[i + 1] ~= old[1])
      or (ARGV[i + 2] ~= '' and ARGV[i + 2] ~= old[2]) then
    outcome[#outcome + 1] = -1
  else
    outcome[#outcome + 1] = drop(id, old)
  end
end
flush()
log(prefix, ARGV[3], gone, '-')
unregister(prefix, agents, runs, ARGV[1], ARGV[2])
return outcome
""",
    answers=are_codes,
)

# KEYS: the source's three, then the destination's, then the attributes declared there. ARGV: agent,
# run, now, the attributes that the caller knows, then the fields of each entry as it shall stand
# there. Gives 1 (it has moved), 0 (the source has it no more) or -1 (the
# source has another revision or retrieval count, and stays).
MOVE = Script(
    _SHARED
    + f"""
local refusal = undeclared(KEYS[7], ARGV[4])
if refusal then return refusal end
local to, to_agents, to_runs = KEYS[4], KEYS[5], KEYS[6]
local outcome, moved = {{}}, {{}}
redis.call('DEL', prefix .. 'none')
for i = 5, #ARGV, {STRIDE} do
  local id = ARGV[i]
  local old = redis.call('HMGET', prefix .. id, 'revision', 'retrieval_count', 'memory_type',
                         'attributes')
  if not old[1] then
    outcome[#outcome + 1] = 0
  elseif ARGV[i + 11] ~= old[1] or ARGV[i + 8] ~= old[2] then
    outcome[#outcome + 1] = -1
  else
    put(to, i)
    redis.call('DEL', prefix .. id)
    unindex(prefix, id, old[3], old[4])
    outcome[#outcome + 1] = 1
    moved[#moved + 1] = id
  end
end
flush()
log(prefix, ARGV[3], moved, '-')
log(to, ARGV[3], moved, rewritten and '!' or '+')
if #moved > 0 then register(to_agents, to_runs, ARGV[1], ARGV[2], ARGV[3]) end
unregister(prefix, agents, runs, ARGV[1], ARGV[2])
return outcome
""",
    answers=_moved,
)

# KEYS: the open moves. ARGV: a token to take out, one to put in, and what of it to note.
NOTE_MOVE = Script(
    """
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
"""
)

# ARGV: memory id, revision and attributes of each ('' for none). Gives 1 where they stand now, 0
# where the entry is gone or has another revision.
ATTRIBUTES = Script(
    _SHARED
    + """
local outcome = {}
for i = 1, #ARGV, 3 do
  local id = ARGV[i]
  local key = prefix .. id
  local old = redis.call('HMGET', key, 'revision', 'attributes', 'timestamp')
  local same = old[1] == ARGV[i + 1]
  if same and old[2] ~= ARGV[i + 2] then
    if old[2] then
      each_attribute(old[2], function(index, _, field)
        redis.call('HDEL', key, field)
        append(going, prefix .. index, id)
      end)
      redis.call('HDEL', key, 'attributes')
      flush()
    end
    if ARGV[i + 2] ~= '' then set_attributes(prefix, id, ARGV[i + 2], old[3]) end
  end
  outcome[#outcome + 1] = same and 1 or 0
end
flush()
return outcome
"""
)

# ARGV: agent, run, then the memory types. Gives how many entries there were.
CLEAR = Script(
    _SHARED
    + """
local ids = redis.call('ZRANGE', prefix .. 'steps', 0, -1)
for _, id in ipairs(ids) do
  local attributes = redis.call('HGET', prefix .. id, 'attributes')
  if attributes then
    each_attribute(attributes, function(index) redis.call('DEL', prefix .. index) end)
  end
  redis.call('DEL', prefix .. id)
end
redis.call('DEL', prefix .. 'steps', prefix .. 'times', prefix .. 'importance', prefix .. 'pinned')
for i = 3, #ARGV do redis.call('DEL', prefix .. 'type:' .. ARGV[i]) end
unregister(prefix, agents, runs, ARGV[1], ARGV[2])
return #ids
""",
    answers=is_number,
)
