"""Scripts that store whole entries: new ones, and changed ones in place of an earlier revision."""

from __future__ import annotations

from typing import Any

from agent_memory.connections.redis.answers import are_codes, are_texts
from agent_memory.connections.redis.script import Script
from agent_memory.models.redis import FIELDS, SORTED_SETS, Presence
from agent_memory.repositories.redis.scripts.naming import lua
from agent_memory.repositories.redis.scripts.shared import (
    LOG_LENGTH,
    are_given,
    index_key,
    pairs,
    storing,
)

_ADD_HEAD = ("agent", "run", "now", "declared")


def _added(reply: Any) -> bool:
    """What became of each entry; or the declaration that the caller did not know."""
    return type(reply) is bytes or (are_codes(reply) and not {0, -1}.intersection(reply))


def _replaced(reply: Any) -> bool:
    if type(reply) in (bytes, int):
        return True
    return are_texts(reply) and len(reply) == 2


def _indexed_at_once() -> str:
    """Lines that index one entry, which none of the fields that are seldom there concerns."""
    return "\n    ".join(
        f"redis.call('ZADD', {index_key(index, f'$each.{index.by}')}, $each.{index.score}, id)"
        for index in SORTED_SETS
        if index.only is None
    )


# The usual store, of one new entry with a vector and nothing else, which is worth a way of its own:
# defining what the others share and collecting the changes of indexes takes a server 20 us of 95.
_ADD_ONE = lua(
    f"""
if #ARGV == {len(_ADD_HEAD) + len(FIELDS)} then
  local prefix, i = KEYS[1], $first
  local id = $each.memory_id
  local key = prefix .. id
  if {are_given(Presence.USUALLY)}
      and {are_given(Presence.SELDOM, given=False)} and $each.attributes == ''
      and (redis.call('GET', KEYS[4]) or '') == $declared and redis.call('EXISTS', key) == 0 then
    redis.call('HSET', key, {pairs(Presence.ALWAYS, Presence.USUALLY)})
    {_indexed_at_once()}
    if redis.call('ZADD', KEYS[2], $now, $agent) == 1 then
      redis.call('SADD', KEYS[3], $run)
    end
    redis.call('XADD', prefix .. 'changes', {LOG_LENGTH}, $now, id)
    return {{1}}
  end
end
""",
    head=_ADD_HEAD,
    each=FIELDS,
)

ADD = Script(
    _ADD_ONE
    + storing(
        """
local refusal = undeclared(KEYS[4], $declared)
if refusal then return refusal end
local outcome, ids = {}, {}
for i = $groups do
  outcome[#outcome + 1] = put(prefix, i)
  ids[#ids + 1] = $each.memory_id
end
flush()
if #ids > 0 then register(agents, runs, $agent, $run, $now) end
log(prefix, $now, ids, rewritten and '!' or '+')
return outcome
""",
        *_ADD_HEAD,
    ),
    answers=_added,
)
"""Stores entries of an agent; those that are stored already only if they are newer.

KEYS: the agent's three, and the declared attributes. ARGV: agent, run, now, the attributes that
the caller knows, then the fields of each entry. Gives an ``Added`` for each, or the declaration
where the caller knows another.
"""

REPLACE = Script(
    storing(
        """
local refusal = undeclared(KEYS[4], $declared)
if refusal then return refusal end
local i = $first
local id = $each.memory_id
local key = prefix .. id
local old = redis.call('HMGET', key, $old)
if not $old.revision then return 0 end
if tonumber($old.revision) ~= tonumber($each.revision) then return -1 end
local accessed = redis.call('HGET', key, 'last_access_time')
$each.revision = string.format('%d', tonumber($each.revision) + 1)
$each.retrieval_count, $each.last_access_time = $old.retrieval_count, accessed
unindex(prefix, id, old)
redis.call('DEL', key)
write(prefix, i)
flush()
log(prefix, $now, {id}, '!')
return {$old.retrieval_count, accessed}
""",
        "now",
        "declared",
    ),
    answers=_replaced,
)
"""Stores a changed entry in place of the revision that it carries.

KEYS: the agent's three, and the declared attributes. ARGV: now, the attributes that the caller
knows, then the fields of the entry. Gives the stored retrieval count and last access time, 0 where
it is absent, -1 where its revision differs, or the declaration where the caller knows another.
"""
