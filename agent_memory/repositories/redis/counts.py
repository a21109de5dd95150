"""Counts many agents' entries in one request, by their indexes alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from agent_memory.connections.redis.answers import are_texts
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.script import Script
from agent_memory.repositories.counts import AgentCounts, Ahead
from agent_memory.repositories.moves import Agent
from agent_memory.repositories.redis.keys import KeySpace, moving_together

_AT_ONCE = 500  # agents a script call: the server does nothing else meanwhile
_NUMBERS = 9  # that the script gives for each agent

# KEYS: what the keys of each agent begin with, and one more (``moving_together``). ARGV: the
# horizon ('' to note nothing). Gives nine values an agent: those of ``AgentCounts``, two of them
# for what is ahead ('' for nothing). What is ahead is noted in a string beside the agent's indexes,
# by the rule of ``counts.still_ahead``.
_COUNTS = Script(
    """
local horizon = tonumber(ARGV[1])

local function ahead(prefix, newest)
  local note = redis.call('GET', prefix .. 'ahead')
  if tonumber(newest) <= horizon then
    if note then redis.call('DEL', prefix .. 'ahead') end
    return {'', ''}
  end
  if note then
    local since, till = string.match(note, '(%S+) (%S+)')
    if tonumber(since) <= horizon
        and redis.call('ZCOUNT', prefix .. 'times', '(' .. ARGV[1], till) > 0 then
      return {since, till}
    end
  end
  redis.call('DEL', prefix .. 'ahead') -- after which a server that is out of memory takes the rest
  redis.call('SET', prefix .. 'ahead', ARGV[1] .. ' ' .. newest)
  return {ARGV[1], newest}
end

-- The lowest score in an index of what is not pinned.
local function first_free(prefix, index)
  local from = 0
  while true do
    local scored = redis.call('ZRANGE', prefix .. index, from, from + 99, 'WITHSCORES')
    for i = 1, #scored, 2 do
      if not redis.call('ZSCORE', prefix .. 'pinned', scored[i]) then return scored[i + 1] end
    end
    if #scored == 0 then return nil end
    from = from + 100
  end
end

local found = {}
for i = 1, #KEYS - 1 do
  local prefix = KEYS[i]
  local numbers = {'0', '', '', '', '', '', '', '', '0'}
  local first = redis.call('ZRANGE', prefix .. 'times', 0, 0, 'WITHSCORES')
  if first[1] then
    local last = redis.call('ZREVRANGE', prefix .. 'times', 0, 0, 'WITHSCORES')
    local noted = horizon and ahead(prefix, last[2]) or {'', ''}
    local oldest, step = nil, nil
    local held = redis.call('ZCARD', prefix .. 'times')
    local pinned = redis.call('ZCARD', prefix .. 'pinned')
    if pinned > 0 and pinned < held then
      oldest, step = first_free(prefix, 'times'), first_free(prefix, 'steps')
    end
    oldest = oldest or first[2]
    step = step or redis.call('ZRANGE', prefix .. 'steps', 0, 0, 'WITHSCORES')[2]
    numbers = {
      tostring(held), oldest, last[2], step,
      redis.call('ZSCORE', prefix .. 'steps', last[1]),
      redis.call('ZREVRANGE', prefix .. 'steps', 0, 0, 'WITHSCORES')[2],
      noted[1], noted[2], tostring(pinned)
    }
  end
  for _, number in ipairs(numbers) do found[#found + 1] = number end
end
return found
""",
    answers=are_texts,
    writes=False,
)


def agent_counts(
    channel: RedisChannel, key_space: KeySpace, owners: Sequence[Agent], horizon: float | None
) -> Iterator[AgentCounts | None]:
    """Count some agents' entries; see ``MemoryRepository.agent_counts``.

    Args:
        channel: The server.
        key_space: The tier's keys.
        owners: The agents.
        horizon: Agents with later entries are noted; None: they are not.

    Yields:
        What each agent has; None for nothing.
    """
    at = "" if horizon is None else repr(float(horizon))
    # A call names keys of one place alone.
    by_place: dict[str, list[Agent]] = {}
    for owner in owners:
        by_place.setdefault(key_space.place(*owner), []).append(owner)
    groups = [
        some[first : first + _AT_ONCE]
        for some in by_place.values()
        for first in range(0, len(some), _AT_ONCE)
    ]
    calls = [
        (moving_together([key_space.prefix(*owner) for owner in group]), [at]) for group in groups
    ]
    found: dict[Agent, AgentCounts | None] = {}
    for group, reply in zip(groups, channel.run(_COUNTS, calls), strict=True):
        if len(reply) != _NUMBERS * len(group):
            raise channel.not_redis("EVALSHA")
        for place, owner in enumerate(group):
            try:
                found[owner] = _agent_counts(reply[place * _NUMBERS : (place + 1) * _NUMBERS])
            except ValueError as error:
                raise channel.not_redis("EVALSHA") from error
    yield from (found[owner] for owner in owners)


def _agent_counts(reply: Sequence[Any]) -> AgentCounts | None:
    entries, oldest, newest, first_step, newest_step, last_step, since, until, pinned = reply
    if not int(entries):
        return None
    return AgentCounts(
        int(entries),
        float(oldest),
        float(newest),
        int(float(first_step)),
        int(float(newest_step)),
        int(float(last_step)),
        Ahead(float(since), float(until)) if since else None,
        int(pinned),
    )
