"""Scripts that compare entries with their indexes at one moment on the server."""

from __future__ import annotations

from collections.abc import Iterator

from agent_memory.connections.redis.script import Script
from agent_memory.models.redis import INDEX_KEYS, SORTED_SETS
from agent_memory.repositories.redis.scripts.naming import lua

EXAMINE = Script(
    f"""
local prefix, found = KEYS[1], {{}}
local indexes = {{{", ".join(f"'{name}'" for name in INDEX_KEYS)}}}
for _, id in ipairs(ARGV) do
  local key, places, attributes = prefix .. id, {{}}, {{}}
  for i, index in ipairs(indexes) do
    places[i] = redis.call('ZSCORE', prefix .. index, id) or ''
  end
  local spelled = redis.call('HGET', key, 'attributes') or ''
  for index, score, field, value in string.gmatch(spelled, '(%S+) (%S+) (%S+) (%S+)') do
    local place = redis.call('ZSCORE', prefix .. index, id) or ''
    local stored = redis.call('HGET', key, field) or ''
    for _, part in ipairs({{index, score, place, field, value, stored}}) do
      attributes[#attributes + 1] = part
    end
  end
  found[#found + 1] = {{redis.call('HGETALL', key), places, attributes}}
end
return found
""",
    writes=False,
)
"""Looks at entries.

KEYS: the agent's prefix, and one more (``keys.moving_together``). ARGV: memory ids. Gives for each
its hash, its scores in ``INDEX_KEYS`` ('' where it is not in one), and of each declared attribute
index, score, place there, field, value, and value in the hash.
"""


def _belonging() -> Iterator[str]:
    """Branches that tell whether an entry belongs in an index of some entries alone."""
    for index in SORTED_SETS:
        if index.by is not None:
            begin = f"{index.name}:"
            yield f"elseif belongs and string.sub(index, 1, {len(begin)}) == '{begin}' then"
            value = f"string.sub(index, {len(begin) + 1})"
            yield f"  belongs = redis.call('HGET', prefix .. id, '{index.by}') == {value}"
        elif index.only is not None:
            yield f"elseif belongs and index == '{index.name}' then"
            yield f"  belongs = redis.call('HGET', prefix .. id, '{index.only}') == '1'"


_BRANCHES = "\n  ".join(_belonging())

STRAYS = Script(
    lua(
        f"""
local prefix, index, strays = KEYS[1], $index, {{}}
for i = $groups do
  local id = $each.memory_id
  local belongs = redis.call('EXISTS', prefix .. id) == 1
  if belongs and (string.find(index, '^number:') or string.find(index, '^value:')) then
    local spelled = redis.call('HGET', prefix .. id, 'attributes') or ''
    belongs = string.find(' ' .. spelled, ' ' .. index .. ' ', 1, true) ~= nil
  {_BRANCHES}
  end
  if not belongs and redis.call('ZSCORE', prefix .. index, id) then
    strays[#strays + 1] = id
    if $remove == '1' then redis.call('ZREM', prefix .. index, id) end
  end
end
return strays
""",
        head=("remove", "index"),
        each=("memory_id",),
    ),
    writes=False,
)
"""Finds members of an index that do not belong there.

KEYS: the agent's prefix, and one more (``keys.moving_together``). ARGV: whether to remove them ('1'
or '0'), the index, memory ids in it. Gives those of which there is no entry that belongs there.
"""

REGISTRY = Script(
    lua(
        """
local agents, runs = KEYS[1], KEYS[2]
local mend = $mend == '1'
local faults = {}
local function fault(agent, what)
  faults[#faults + 1] = agent
  faults[#faults + 1] = what
end
for i = $groups do
  local agent = $each.agent
  local prefix = $namespace .. ':{' .. $run .. '/' .. agent .. '}:'
  local has = redis.call('EXISTS', prefix .. 'steps') == 1
  local listed = redis.call('ZSCORE', agents, agent)
  if has and not listed then
    fault(agent, 'unlisted')
    if mend then redis.call('ZADD', agents, $now, agent) end
  elseif listed and not has then
    fault(agent, 'empty')
    if mend then redis.call('ZREM', agents, agent) end
  end
  if not has and redis.call('EXISTS', prefix .. 'changes', prefix .. 'ahead') > 0 then
    fault(agent, 'log')
    if mend then redis.call('DEL', prefix .. 'changes', prefix .. 'ahead') end
  end
end
local has = redis.call('EXISTS', agents)
if redis.call('SISMEMBER', runs, $run) ~= has then
  fault('', has == 1 and 'unlisted' or 'empty')
  if mend then redis.call(has == 1 and 'SADD' or 'SREM', runs, $run) end
end
return faults
""",
        head=("mend", "namespace", "run", "now"),
        each=("agent",),
    ),
    writes=False,
)
"""Compares the lists of agents and runs with what there is.

KEYS: the agents of a run, the runs. ARGV: whether to mend ('1' or '0'), the namespace, the run,
now, agents. Gives agent and fault of each that is listed and has nothing, or has something and is
not listed, or has a log and nothing that it could be of; at last of the run, as agent ''.
"""
