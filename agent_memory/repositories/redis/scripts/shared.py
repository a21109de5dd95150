"""What the scripts have in common: the Lua functions that write, index, log and register.

``SHARED`` is the beginning of every script that changes entries of an agent; ``storing`` adds the
functions that store whole entries, for scripts whose groups are the fields of entries.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent_memory.models.redis import FIELD_TABLE, FIELDS, SORTED_SETS, Presence, SortedSet
from agent_memory.repositories.redis.scripts.naming import lua

LOG_LENGTH = "'MAXLEN', '~', 64, '*'"
"""How much of the log of changes is kept, as XADD takes it."""


def pairs(*presences: Presence) -> str:
    """The names and values of the fields that entries have so, as HSET takes them."""
    names = [field.name for field in FIELD_TABLE if field.presence in presences]
    return ", ".join(f"'{name}', $each.{name}" for name in names)


def are_given(presence: Presence, *, given: bool = True) -> str:
    """A condition: all fields that entries have so are given, or none is."""
    relation = "~=" if given else "=="
    names = [field.name for field in FIELD_TABLE if field.presence is presence]
    return " and ".join(f"$each.{name} {relation} ''" for name in names)


def index_key(index: SortedSet, value: str) -> str:
    """The key of an index in Lua; of several, the one of a value."""
    return f"prefix .. '{index.name}'" if index.by is None else (
        f"prefix .. '{index.name}:' .. {value}"
    )  # fmt: skip


def _indexing() -> Iterator[str]:
    """Lines that put the entry of a group into its indexes."""
    for index in SORTED_SETS:
        key = index_key(index, f"$each.{index.by}")
        line = f"append(coming, {key}, $each.{index.score}, id)"
        yield line if index.only is None else f"if $each.{index.only} ~= '' then {line} end"


def _unindexing() -> Iterator[str]:
    """Lines that take an entry, of which ``old`` tells, out of its indexes."""
    for index in SORTED_SETS:
        line = f"append(going, {index_key(index, f'$old.{index.by}')}, id)"
        yield line if index.by is None else f"if $old.{index.by} then {line} end"


def _lines(lines: Iterator[str]) -> str:
    return "\n  ".join(lines)


SHARED = lua(
    f"""
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

-- Declared attributes, as models.redis_attributes spells them: index, score ('-' for the
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

-- Takes an entry out of its indexes; old is what HMGET gave of it.
local function unindex(prefix, id, old)
  {_lines(_unindexing())}
  if $old.attributes then
    each_attribute($old.attributes, function(index) append(going, prefix .. index, id) end)
  end
end

-- The log's records: ids joined by blanks, or a mark where they are many: '+' came, '-' went, '!'
-- any may have changed. The field beside them is the call's own: a log that was deleted and begun
-- again within a millisecond must not look the same.
local function log(prefix, call, ids, mark)
  if #ids == 0 then return end
  local record = #ids > 50 and mark or table.concat(ids, ' ')
  redis.call('XADD', prefix .. 'changes', {LOG_LENGTH}, call, record)
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

-- Whoever writes must know which attributes are declared, or the entry would be missing in their
-- indexes. Gives the declaration to a caller that does not.
local function undeclared(key, known)
  local declared = redis.call('GET', key) or ''
  if declared ~= known then return declared end
end
"""
)


def _setting(presence: Presence) -> Iterator[str]:
    for field in FIELD_TABLE:
        if field.presence is presence:
            name = field.name
            yield f"if $each.{name} ~= '' then redis.call('HSET', key, '{name}', $each.{name}) end"


_STORING = f"""
local rewritten = false

local function write(prefix, i)
  local id = $each.memory_id
  local key = prefix .. id
  if {are_given(Presence.USUALLY)} then
    -- In one call, since a query engine indexes the entry again after each.
    redis.call('HSET', key, {pairs(Presence.ALWAYS, Presence.USUALLY)})
  else
    redis.call('HSET', key, {pairs(Presence.ALWAYS)})
    {_lines(_setting(Presence.USUALLY))}
  end
  {_lines(_setting(Presence.SELDOM))}
  if $each.attributes ~= '' then
    set_attributes(prefix, id, $each.attributes, $each.timestamp)
  end
  {_lines(_indexing())}
end

-- Stores the entry of a group, unless what is stored is as new. Gives an Added.
local function put(prefix, i)
  local id = $each.memory_id
  local key = prefix .. id
  local old = redis.call('HMGET', key, $old)
  if not $old.revision then
    write(prefix, i)
    return 1
  end
  local revision, count = tonumber($old.revision), tonumber($old.retrieval_count)
  local given, given_count = tonumber($each.revision), tonumber($each.retrieval_count)
  if given > revision or (given == revision and given_count > count) then
    flush() -- it may be this very entry, given twice
    unindex(prefix, id, old)
    redis.call('DEL', key)
    write(prefix, i)
    rewritten = true
  end
  return 2
end
"""


def storing(source: str, *head: str) -> str:
    """The text of a script whose groups are the fields of entries, with the functions it needs.

    Args:
        source: Its own lines.
        head: The names of its arguments before those of entries.
    """
    return SHARED + lua(_STORING + source, head=head, each=FIELDS)
