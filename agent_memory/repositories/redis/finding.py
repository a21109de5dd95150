"""The scripts that find and read what answers a question, in one request."""

from __future__ import annotations

from typing import Any

from agent_memory.connections.redis.answers import rows_of
from agent_memory.connections.redis.script import Script
from agent_memory.models.redis import STORED

TOO_MANY = 2_000
"""Agents, or entries, beyond which the script gives nothing: the server does nothing meanwhile."""


def _is_answer(reply: Any) -> bool:
    return reply is None or (type(reply) is list and {list}.issuperset(map(type, reply)))


_are_rows = rows_of(len(STORED))


def _are_answers(reply: Any) -> bool:
    return reply is None or (type(reply) is list and all(map(_are_rows, reply)))


# KEYS: what the keys of each agent begin with; or the registry of a run's agents, and then ARGV
# begins with what stands before and behind an agent's name in such a key. ARGV[3]: how many agents
# and entries are too many. ARGV[4]: whether the ids of the last command answer not. ARGV[5]: how
# many commands there are; of each the number of its words, and the words, the second of which is a
# key without its beginning. Then the fields to read. Gives the fields of each entry, or nil.
FIND = Script(
    """
local most = tonumber(ARGV[3])
local prefixes = KEYS
if ARGV[1] ~= '' then
  if redis.call('ZCARD', KEYS[1]) > most then return false end
  prefixes = redis.call('ZRANGE', KEYS[1], 0, -1)
  for i, name in ipairs(prefixes) do prefixes[i] = ARGV[1] .. name .. ARGV[2] end
end

local at, asked, fields = 6, {}, {}
for i = 1, tonumber(ARGV[5]) do
  local words = {}
  for j = 1, tonumber(ARGV[at]) do words[j] = ARGV[at + j] end
  asked[i] = words
  at = at + 1 + #words
end
for i = at, #ARGV do fields[#fields + 1] = ARGV[i] end

local function ids(prefix, words)
  local suffix = words[2]
  words[2] = prefix .. suffix
  local found = redis.call(unpack(words))
  words[2] = suffix
  return found
end

local function among(kept, others, wanted)
  local named, left = {}, {}
  for _, id in ipairs(others) do named[id] = true end
  for _, id in ipairs(kept) do
    if (named[id] or false) == wanted then left[#left + 1] = id end
  end
  return left
end

local names = {}
for _, prefix in ipairs(prefixes) do
  local kept = ids(prefix, asked[1])
  for place = 2, #asked do
    if #kept == 0 then break end
    local wanted = ARGV[4] == '' or place < #asked
    kept = among(kept, ids(prefix, asked[place]), wanted)
  end
  if #names + #kept > most then return false end
  for _, id in ipairs(kept) do names[#names + 1] = prefix .. id end
end

local found = {}
for i, name in ipairs(names) do found[i] = redis.call('HMGET', name, unpack(fields)) end
return found
""",
    answers=_is_answer,
    writes=False,
)

# KEYS: what the keys of an agent begin with in each tier, the richest first. ARGV[1]: how many
# entries are asked for, if not all. ARGV[2]: how many are too many. Then the words of the command
# that reads ids, whose second is a key without its beginning and whose fourth is its last bound.
# Where a tier has as many as are asked for, the next one is asked for none that come later. Gives
# for each tier the fields of each entry, or nil.
FIND_IN_TIERS = Script(
    f"""
local limit, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local command = {{}}
for i = 3, #ARGV do command[i - 2] = ARGV[i] end
local suffix = command[2]

local answers = {{}}
for place, prefix in ipairs(KEYS) do
  command[2] = prefix .. suffix
  local ids = redis.call(unpack(command))
  if #ids > most then return false end
  if limit and #ids == limit then
    command[4] = redis.call('ZSCORE', command[2], ids[limit])
  end
  local found = {{}}
  for i, id in ipairs(ids) do
    found[i] = redis.call('HMGET', prefix .. id, {", ".join(f"'{name}'" for name in STORED)})
  end
  answers[place] = found
end
return answers
""",
    answers=_are_answers,
    writes=False,
)
