"""How many bytes entries and their indexes take on a Redis server, estimated from a sample."""

from __future__ import annotations

import random
from collections.abc import Sequence

from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.cluster_channel import ClusterChannel
from agent_memory.models.redis import INDEX_KEYS, memory_id_of

_AGENTS = 25  # sampled
_ENTRIES = 8  # sampled of each


def stored_bytes(channel: RedisChannel, prefixes: Sequence[str]) -> int:
    """Estimate the bytes of all entries of some agents.

    Asking for every key would block the server for a while, so a few entries of a few agents are
    taken as typical. The sample is the same for the same agents.

    Args:
        channel: The server.
        prefixes: What the keys of each agent begin with.
    """
    if not prefixes:
        return 0
    sampled = random.Random(0).sample(prefixes, min(_AGENTS, len(prefixes)))  # noqa: S311  # no secret
    counts = channel.call_all([("ZCARD", f"{prefix}steps") for prefix in prefixes])
    ids = channel.call_all([("ZRANGE", f"{prefix}steps", 0, _ENTRIES - 1) for prefix in sampled])
    entries = [
        prefix + memory_id_of(name)
        for prefix, names in zip(sampled, ids, strict=True)
        for name in names
    ]
    indexes = [prefix + name for prefix in sampled for name in _INDEXES]
    an_entry = sum(_usage(channel, entries)) / max(len(entries), 1)
    an_agent = sum(_usage(channel, indexes)) / len(sampled)
    total: float = an_entry * sum(counts) + an_agent * len(prefixes)
    return round(total)


def server_bytes(channel: RedisChannel) -> int | None:
    """How many bytes a server holds, as its own ``maxmemory`` counts them; all of a cluster's.

    Returns:
        None if it does not say, as fakeredis.
    """
    if not channel.measures_memory:
        return None
    if isinstance(channel, ClusterChannel):
        return sum(_held(channel, about) for about in channel.call_each("INFO", "memory").values())
    return _held(channel, channel.call("INFO", "memory"))


def _held(channel: RedisChannel, about: bytes) -> int:
    """How many bytes a server holds, by what it says about its memory."""
    memory = dict(
        line.split(":", 1) for line in about.decode(errors="replace").splitlines() if ":" in line
    )
    # What replicas and the append-only file are still to be sent is not counted either.
    try:
        return int(memory["used_memory"]) - int(memory.get("mem_not_counted_for_evict", 0))
    except (KeyError, ValueError) as error:
        raise channel.not_redis("INFO") from error


_INDEXES = (*INDEX_KEYS, "changes")


def _usage(channel: RedisChannel, names: Sequence[str]) -> list[int]:
    if channel.measures_memory:
        # All members: by default five are sampled, which may miss the contents.
        sizes = channel.call_all([("MEMORY", "USAGE", name, "SAMPLES", 0) for name in names])
        return [size or 0 for size in sizes]
    dumps = channel.call_all([("DUMP", name) for name in names])
    return [len(dump or b"") for dump in dumps]
