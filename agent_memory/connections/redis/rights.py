"""What a user of a server must be allowed to do for a memory, and what of that it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, TypeAlias

import redis

from agent_memory.connections.redis.answers import are_texts
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.cluster_channel import ClusterChannel
from agent_memory.connections.redis.script import Script
from agent_memory.errors import CommandRefused

_Words: TypeAlias = tuple[object, ...]

_WITHIN_SCRIPTS: Final = (
    *("del", "dump", "exists", "expire", "get", "hdel", "hget", "hgetall", "hincrby", "hmget"),
    *("hset", "hsetnx", "persist", "pttl", "sadd", "set", "sismember", "smembers", "srem", "time"),
    *("type", "xadd", "xrange", "xrevrange", "zadd", "zcard", "zcount", "zrange", "zrangebylex"),
    *("zrangebyscore", "zrem", "zremrangebylex", "zremrangebyscore", "zrevrange"),
    *("zrevrangebyscore", "zscan", "zscore"),
)
_KEY: Final = object()
_BY_THEMSELVES: Final[dict[str, tuple[_Words, ...]]] = {
    "ping": (("PING",),),
    "scan": (("SCAN", "0", "COUNT", "1"),),
    "watch": (("WATCH", _KEY), ("UNWATCH",)),
    "unwatch": (("UNWATCH",),),
    "multi": (("MULTI",), ("EXEC",)),
    "exec": (("MULTI",), ("EXEC",)),
}
_LOOKING: Final[dict[str, tuple[_Words, ...]]] = {
    "info": (("INFO", "server"),),
    "memory|usage": (("MEMORY", "USAGE", _KEY),),
    "module|list": (("MODULE", "LIST"),),
}

NEEDED: Final = tuple(sorted((*_WITHIN_SCRIPTS, *_BY_THEMSELVES, "evalsha", "script|load")))
"""The commands without which a memory cannot be used."""
WANTED: Final = tuple(sorted(_LOOKING))
"""Those without which it is not known what the server is, and what may cost entries there."""

# Each is tried on one key, which is gone at the end: nobody sees it. What it answers otherwise,
# such as that the key is of another type, says that it was allowed.
_TRY = Script(
    """
    local refused = {}
    local function try(...)
      local reply = redis.pcall(...)
      if type(reply) == 'table' and reply['err'] and (reply['err']:find('NOPERM')
          or reply['err']:find('ACL failure') or reply['err']:find('permission')) then
        table.insert(refused, (...))
      end
    end
    local key = KEYS[1]
    try('set', key, '')
    for _, name in ipairs({'dump', 'exists', 'get', 'hgetall', 'persist', 'pttl', 'smembers',
        'type', 'zcard'}) do try(name, key) end
    for _, name in ipairs({'hdel', 'hget', 'hmget', 'sadd', 'sismember', 'srem', 'zrem',
        'zscore'}) do try(name, key, 'a') end
    for _, name in ipairs({'hincrby', 'zadd', 'zcount', 'zrange', 'zrangebyscore', 'zrevrange',
        'zrevrangebyscore', 'zremrangebyscore'}) do try(name, key, '1', '1') end
    for _, name in ipairs({'zrangebylex', 'zremrangebylex'}) do try(name, key, '[a', '[b') end
    for _, name in ipairs({'hset', 'hsetnx'}) do try(name, key, 'a', 'b') end
    try('xadd', key, '*', 'a', 'b')
    try('xrange', key, '-', '+')
    try('xrevrange', key, '+', '-')
    try('zscan', key, '0')
    try('expire', key, '1')
    try('time')
    try('del', key)
    return refused
    """,
    are_texts,
)


def setuser(name: str, namespaces: Iterable[str]) -> str:
    """The command that makes a user with the least rights that a memory needs.

    Args:
        name: The user.
        namespaces: What the keys of each tier begin with.
    """
    keys = " ".join(f"~{namespace}:*" for namespace in namespaces)
    commands = " ".join(f"+{command}" for command in (*NEEDED, *WANTED))
    return f"ACL SETUSER {name} on >PASSWORD resetchannels {keys} -@all {commands}"


def missing_rights(channel: RedisChannel, namespaces: Iterable[str]) -> list[str]:
    """The commands that a memory needs, or looks with, and that the user may not send.

    Args:
        channel: The server.
        namespaces: What the keys of each tier begin with.

    Raises:
        StoreUnavailable: The server does not answer.
    """
    missing: set[str] = set()
    for namespace in namespaces:
        if not isinstance(channel, ClusterChannel):
            missing |= _missing(channel, f"{namespace}:doctor", channel.call_all)
            continue
        # Each server has its own users.
        for server, tag in channel.topology.tags().items():
            ask = partial(channel.call_on, server)
            missing |= _missing(channel, f"{namespace}:{{{tag}}}:doctor", ask)
    return sorted(missing)


def _missing(
    channel: RedisChannel, key: str, ask: Callable[[Sequence[_Words]], object]
) -> set[str]:
    """What the user may not send to the server that holds a key, and that ``ask`` asks."""
    try:
        (refused,) = channel.run(_TRY, [([key], [])])
    except CommandRefused as error:
        if not _is_refused(error):
            raise
        missing = {"evalsha", "script|load"}
    else:
        missing = {name.decode() for name in refused}
    # It may be there already, so that running it needs no loading.
    load: _Words = ("SCRIPT", "LOAD", _TRY.source)
    tried = {**_BY_THEMSELVES, **_LOOKING, "script|load": (load,)}
    if channel.confirmation is not None:
        tried["wait"] = (("WAIT", 0, 1),)
    if isinstance(channel, ClusterChannel):
        tried["cluster|slots"] = (("CLUSTER", "SLOTS"),)
    for name, commands in tried.items():
        sent = [tuple(key if word is _KEY else word for word in words) for words in commands]
        try:
            ask(sent)
        except CommandRefused as error:
            if _is_refused(error):
                missing.add(name)
    return missing


def _is_refused(error: CommandRefused) -> bool:
    cause = error.__cause__
    # An EXEC that is not allowed ends the transaction, and says why in the words of its error.
    return isinstance(cause, redis.exceptions.NoPermissionError) or "NOPERM" in str(cause)
