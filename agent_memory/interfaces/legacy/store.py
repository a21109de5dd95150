"""Where states by step lie in Redis: one hash for each agent and step; see ``legacy``.

<namespace>:{<agent>}:<step>    hash    one state
<namespace>:{<agent>}:steps     sorted  steps that were stored, by step
<namespace>:remembering         set     agents
"""

from __future__ import annotations

import math
import uuid
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from agent_memory.config import MemoryConfig, RedisMemoryConfig
from agent_memory.connections.deployment import deployment
from agent_memory.connections.outages import Outages
from agent_memory.connections.redis.answers import is_number
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.foreign import channel_of
from agent_memory.connections.redis.script import Script
from agent_memory.connections.serving import connector

_BATCH = 200  # states a request

# KEYS: the state, the agent's steps, the agents. ARGV: step, priority, contents, ttl, agent, a
# token that no other store has. Gives how many steps the agent has.
_STORE = Script(
    """
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'step', ARGV[1], 'priority', ARGV[2], 'contents', ARGV[3],
           'token', ARGV[6])
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('ZADD', KEYS[2], ARGV[1], ARGV[1])
-- The index goes with the last of its states.
if redis.call('PTTL', KEYS[2]) < 1000 * tonumber(ARGV[4]) then
  redis.call('EXPIRE', KEYS[2], ARGV[4])
end
redis.call('SADD', KEYS[3], ARGV[5])
return redis.call('ZCARD', KEYS[2])
""",
    answers=is_number,
)

# KEYS: the agent's steps, the agents. ARGV: what its keys begin with, agent, then steps, each with
# the token of the state that may go ('gone': of none, 'any': of any), since another may be stored
# under it at this moment.
_DROP = Script(
    """
for i = 3, #ARGV, 2 do
  local key = ARGV[1] .. ARGV[i]
  if ARGV[i + 1] == 'any' or (redis.call('HGET', key, 'token') or 'gone') == ARGV[i + 1] then
    redis.call('DEL', key)
    redis.call('ZREM', KEYS[1], ARGV[i])
  end
end
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('SREM', KEYS[2], ARGV[2]) end
return 1
""",
    answers=is_number,
)


class StepStore:
    """Where the states of a configuration lie, opened; agents may share one, and so may threads.

    Args:
        config: The configuration.
        client: A client of the server to use; None: the one that the configuration names.
    """

    def __init__(self, config: RedisMemoryConfig, client: Any = None) -> None:
        self.config = config
        self.outages = Outages()
        with ExitStack() as opened:
            self.channel = self._open(opened, client)
            self.channel.call("PING")
            self._close = opened.pop_all().close
        self.close: Callable[[], object] = weakref.finalize(self, self._close)

    def _open(self, opened: ExitStack, client: Any) -> RedisChannel:
        if client is not None:
            channel = channel_of(client)
            opened.callback(channel.close)
            return channel
        parts = self.config.model_dump(include={"host", "port", "db", "password"})
        where = deployment(MemoryConfig(stm_config=parts, im_config=parts))
        return connector(opened, where)(self.config.db)

    def put(self, agent: str, step: int, priority: float, contents: bytes, ttl: int) -> int:
        """Store a state, in place of any that there is of the step.

        Args:
            agent: The agent, as it is spelled.
            step: The step.
            priority: Its priority.
            contents: The state, packed.
            ttl: How long it is kept, in seconds.

        Returns:
            How many steps the agent has now, be their states there or not.
        """
        keys = [f"{self._prefix(agent)}{step}", self._steps(agent), self._agents]
        values = [step, repr(priority), contents, ttl, agent, uuid.uuid4().hex]
        (count,) = self.channel.run(_STORE, [(keys, values)])
        return int(count)

    def steps(self, agent: str, first: int, last: int) -> list[bytes]:
        """The steps of an agent from one to another, in order, be their states there or not."""
        found: list[bytes] = self.channel.call("ZRANGEBYSCORE", self._steps(agent), first, last)
        return found

    def newest_first(self, agent: str) -> list[bytes]:
        """All steps of an agent, the latest first, be their states there or not."""
        found: list[bytes] = self.channel.call("ZREVRANGE", self._steps(agent), 0, -1)
        return found

    def states(self, agent: str, steps: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """Steps whose states are there, and these, packed; read as they are asked for."""
        for first in range(0, len(steps), _BATCH):
            some = steps[first : first + _BATCH]
            for step, (packed,) in zip(some, self._fields(agent, some, "contents"), strict=True):
                if packed is not None:
                    yield step, packed

    def tidy(self, agent: str) -> None:
        """Take out what has expired, and beyond the limit the states least worth keeping."""
        steps = self.newest_first(agent)
        found = list(zip(steps, self._fields(agent, steps, "priority", "token"), strict=True))
        there = [
            (_worth(priority, later, self.config), -later, step, token)
            for later, (step, (priority, token)) in enumerate(found)
            if priority is not None
        ]
        there.sort(key=lambda one: one[:2])  # of what is worth the same the oldest first
        over = there[: max(len(there) - self.config.memory_limit, 0)]
        leaving = [(step, b"gone") for step, (priority, _) in found if priority is None]
        leaving += [(step, token or b"any") for _, _, step, token in over]
        self._drop(agent, leaving)

    def agents(self) -> list[str]:
        """The agents, as they are spelled, that have states."""
        names = self.channel.call("SMEMBERS", self._agents)
        return sorted(name.decode("ascii", "replace") for name in names)

    @property
    def _agents(self) -> str:
        return f"{self.config.namespace}:remembering"

    def _prefix(self, agent: str) -> str:
        return f"{self.config.namespace}:{{{agent}}}:"

    def _steps(self, agent: str) -> str:
        return f"{self._prefix(agent)}steps"

    def _fields(self, agent: str, steps: Sequence[bytes], *fields: str) -> list[list[bytes | None]]:
        prefix = self._prefix(agent)
        asked = [("HMGET", f"{prefix}{step.decode('ascii', 'replace')}", *fields) for step in steps]
        return self.channel.call_all(asked)

    def clear(self, agent: str) -> bool:
        """Forget all states of an agent, as it is spelled."""
        self._drop(agent, [(step, b"any") for step in self.newest_first(agent)])
        return True

    def _drop(self, agent: str, steps: Sequence[tuple[bytes, bytes]]) -> None:
        """Take out steps, each with the token of what may go; see ``_DROP``."""
        prefix = self._prefix(agent)
        keys = [self._steps(agent), self._agents]
        # Once at least: an agent all of whose states have expired is taken out too.
        for first in range(0, max(len(steps), 1), _BATCH):
            some = [word for pair in steps[first : first + _BATCH] for word in pair]
            self.channel.run(_DROP, [(keys, [prefix, agent, *some])])


def _worth(priority: bytes, later: int, config: RedisMemoryConfig) -> float:
    """How much a state is worth keeping, as a logarithm: priorities fade with later states."""
    try:
        worth = float(priority)
    except ValueError:  # damaged
        worth = 0.0
    faded = later / config.cleanup_interval * math.log(config.memory_priority_decay)
    return faded + (math.log(worth) if worth > 0.0 else -math.inf)
