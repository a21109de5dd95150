"""Scripts for moves: within one server at once, and notes of moves to elsewhere."""

from __future__ import annotations

from typing import Any

from agent_memory.connections.redis.answers import are_codes, is_text
from agent_memory.connections.redis.script import Script
from agent_memory.repositories.redis.scripts.naming import lua
from agent_memory.repositories.redis.scripts.shared import storing


def _moved(reply: Any) -> bool:
    return type(reply) is bytes or are_codes(reply)


MOVE = Script(
    storing(
        """
local refusal = undeclared(KEYS[7], $declared)
if refusal then return refusal end
local to, to_agents, to_runs = KEYS[4], KEYS[5], KEYS[6]
local outcome, moved = {}, {}
redis.call('DEL', prefix .. 'none')
for i = $groups do
  local id = $each.memory_id
  local old = redis.call('HMGET', prefix .. id, $old)
  if not $old.revision then
    outcome[#outcome + 1] = 0
  elseif $each.revision ~= $old.revision or $each.retrieval_count ~= $old.retrieval_count then
    outcome[#outcome + 1] = -1
  else
    put(to, i)
    redis.call('DEL', prefix .. id)
    unindex(prefix, id, old)
    outcome[#outcome + 1] = 1
    moved[#moved + 1] = id
  end
end
flush()
log(prefix, $now, moved, '-')
log(to, $now, moved, rewritten and '!' or '+')
if #moved > 0 then register(to_agents, to_runs, $agent, $run, $now) end
unregister(prefix, agents, runs, $agent, $run)
return outcome
""",
        *("agent", "run", "now", "declared"),
    ),
    answers=_moved,
)
"""Moves entries of an agent to another tier of the same server and database.

KEYS: the source's three, then the destination's, then the attributes declared there. ARGV: agent,
run, now, the attributes that the caller knows, then the fields of each entry as it is to stand
there. Gives 1 (it has moved), 0 (the source has it no more) or -1 (the source has another revision
or retrieval count, and stays) for each; or the declaration where the caller knows another.

It begins with a write that takes nothing: a server that is out of memory refuses a script that
would take more until the script has written, and by moves it gets its memory back.
"""

NOTE_MOVE = Script(
    lua(
        """
redis.call('HDEL', KEYS[1], $replaced)
local now = redis.call('TIME')
local token = string.format('%014x-', now[1] * 1000 + math.floor(now[2] / 1000)) .. $name
redis.call('HSET', KEYS[1], token, $agents)
return token
""",
        head=("replaced", "name", "agents"),
    ),
    answers=is_text,
)
"""Notes a move under a token that begins with the server's time, by which all see how old it is.

KEYS: the open moves. ARGV: a token to take out, the rest of the one to put in, what to note. Gives
the token.
"""
