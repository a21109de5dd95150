"""Scripts that store whole entries: new ones, and changed ones in place of an earlier revision."""

from __future__ import annotations

from collections.abc import Sequence
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


def _arrived(reply: Any) -> bool:
    """The same of one entry, with the timestamp that it is stored with."""
    if type(reply) is bytes:
        return True
    return type(reply) is list and [*map(type, reply)] == [int, bytes] and reply[0] in (1, 2)


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


def _one_at_once(head: Sequence[str], answer: str, arriving: str = "") -> str:
    """Lines that store one entry, if it is new and like most.

    Defining what the others share and collecting the changes of indexes takes a server 20 us of
    95: so the usual store, of an entry with a vector and nothing else, has a way of its own.

    Args:
        head: The names of the arguments before those of the entry.
        answer: What they give.
        arriving: Lines that go before, once it is known that the entry is stored by this.
    """
    return lua(
        f"""
if #ARGV == {len(head) + len(FIELDS)} then
  local prefix, i = KEYS[1], $first
  local id = $each.memory_id
  local key = prefix .. id
  if {are_given(Presence.USUALLY)}
      and {are_given(Presence.SELDOM, given=False)} and $each.attributes == ''
      and (redis.call('GET', KEYS[4]) or '') == $declared and redis.call('EXISTS', key) == 0 then
    {arriving}
    redis.call('HSET', key, {pairs(Presence.ALWAYS, Presence.USUALLY)})
    {_indexed_at_once()}
    if redis.call('ZADD', KEYS[2], $now, $agent) == 1 then
      redis.call('SADD', KEYS[3], $run)
    end
    redis.call('XADD', prefix .. 'changes', {LOG_LENGTH}, $now, id)
    return {answer}
  end
end
""",
        head=head,
        each=FIELDS,
    )


ADD = Script(
    _one_at_once(_ADD_HEAD, "{1}")
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

_ARRIVE_HEAD = (*_ADD_HEAD, "after")

# Time goes on for an agent though its steps start again; see ``outcomes.arrival_time``.
_ARRIVING = """
local last = redis.call('ZREVRANGE', prefix .. 'times', 0, 0, 'WITHSCORES')
local newest, same = tonumber($after), nil
if last[2] and tonumber(last[2]) >= newest then newest, same = tonumber(last[2]), last[1] end
if tonumber($each.timestamp) <= newest then
  if not same
      or tonumber(redis.call('ZSCORE', prefix .. 'steps', same)) ~= tonumber($each.step_number) then
    newest = newest + 1
  end
  local at = string.format('%.1f', newest)
  $each.timestamp, $each.creation_time, $each.last_access_time = at, at, at
end
"""

ARRIVE = Script(
    _one_at_once(_ARRIVE_HEAD, "{1, $each.timestamp}", _ARRIVING)
    + storing(
        f"""
local refusal = undeclared(KEYS[4], $declared)
if refusal then return refusal end
local i = $first
local id = $each.memory_id
local there = redis.call('HGET', prefix .. id, 'timestamp')
if there then return {{2, there}} end
{_ARRIVING}
write(prefix, i)
flush()
register(agents, runs, $agent, $run, $now)
log(prefix, $now, {{id}}, '+')
return {{1, $each.timestamp}}
""",
        *_ARRIVE_HEAD,
    ),
    answers=_arrived,
)
"""Stores an entry of an agent, where it is not stored, as the latest of that agent.

KEYS: the agent's three, and the declared attributes. ARGV: agent, run, now, the attributes that
the caller knows, the latest timestamp of the agent's entries elsewhere, then the fields of the
entry, whose timestamp is its step. Gives an ``Added`` and the timestamp that is stored, or the
declaration where the caller knows another.
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
