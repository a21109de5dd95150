"""Which runs a tier lists, and which agents of each: asked of all places that list some."""

from __future__ import annotations

from collections.abc import Sequence

from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.models.redis import readable_ids
from agent_memory.repositories.redis.calls import flat
from agent_memory.repositories.redis.keys import KeySpace


def listed_runs(channel: RedisChannel, key_space: KeySpace) -> list[str]:
    """The runs that have entries, each once."""
    replies = channel.call_all([("SMEMBERS", key) for key in key_space.runs])
    return list(dict.fromkeys(readable_ids(flat(replies))))


def listed_agents(
    channel: RedisChannel, key_space: KeySpace, runs: Sequence[str]
) -> list[list[str]]:
    """The agents of each run that have entries."""
    keys = [key_space.agents(run_id) for run_id in runs]
    replies = iter(channel.call_all([("ZRANGE", key, 0, -1) for some in keys for key in some]))
    return [[*readable_ids(flat(next(replies) for _ in some))] for some in keys]
