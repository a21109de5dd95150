"""Scripts that remove entries."""

from __future__ import annotations

from agent_memory.connections.redis.answers import are_codes, is_number
from agent_memory.connections.redis.script import Script
from agent_memory.models.redis import INDEX_KEYS
from agent_memory.repositories.redis.scripts.naming import lua
from agent_memory.repositories.redis.scripts.shared import SHARED

REMOVE = Script(
    SHARED
    + lua(
        """
local outcome, gone = {}, {}
local function drop(id, old)
  redis.call('DEL', prefix .. id)
  unindex(prefix, id, old)
  gone[#gone + 1] = id
  return 1
end
for i = $groups do
  local id = $each.memory_id
  local old = redis.call('HMGET', prefix .. id, $old)
  if not $old.revision then
    unindex(prefix, id, old)
    outcome[#outcome + 1] = 0
  elseif $each.revision == 'unpinned' then
    if redis.call('ZSCORE', prefix .. 'pinned', id) then
      outcome[#outcome + 1] = -1
    else
      outcome[#outcome + 1] = drop(id, old)
    end
  elseif ($each.revision ~= '' and $each.revision ~= $old.revision)
      or ($each.retrieval_count ~= '' and $each.retrieval_count ~= $old.retrieval_count) then
    outcome[#outcome + 1] = -1
  else
    outcome[#outcome + 1] = drop(id, old)
  end
end
flush()
log(prefix, $now, gone, '-')
unregister(prefix, agents, runs, $agent, $run)
return outcome
""",
        head=("agent", "run", "now"),
        each=("memory_id", "revision", "retrieval_count"),
    ),
    answers=are_codes,
)
"""Removes entries of an agent.

ARGV: agent, run, now, then memory id, revision and retrieval count of each ('' for any;
'unpinned' in place of the revision: unless it is pinned). Gives 1 (removed), 0 (absent) or -1
(changed or pinned, and stays) for each.
"""

_INDEXES = ", ".join(f"prefix .. '{key}'" for key in INDEX_KEYS)

CLEAR = Script(
    SHARED
    + lua(
        f"""
local ids = redis.call('ZRANGE', prefix .. 'steps', 0, -1)
for _, id in ipairs(ids) do
  local attributes = redis.call('HGET', prefix .. id, 'attributes')
  if attributes then
    each_attribute(attributes, function(index) redis.call('DEL', prefix .. index) end)
  end
  redis.call('DEL', prefix .. id)
end
redis.call('DEL', {_INDEXES})
unregister(prefix, agents, runs, $agent, $run)
return #ids
""",
        head=("agent", "run"),
    ),
    answers=is_number,
)
"""Removes all entries of an agent. ARGV: agent, run. Gives how many there were."""
