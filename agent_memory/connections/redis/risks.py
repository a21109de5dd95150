"""What a server of one's own may lose by the way it is configured, as it says itself."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

from agent_memory.connections.confirmation import Confirmation
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.cluster_channel import ClusterChannel
from agent_memory.connections.redis.errors import NODE_OF_A_CLUSTER
from agent_memory.errors import CommandRefused, ConfigError

_NEAR = 0.9  # of the limit on its memory

_logger = logging.getLogger("agent_memory")
_told: set[tuple[str, str]] = set()

_Facts = Mapping[str, str]  # what INFO says, by its names


class Risk(NamedTuple):
    """Something that may cost entries.

    Attributes:
        name: What it is about: "eviction", "durability", "replica", "memory" or "replicas".
        means: What the server does, and what to change.
        is_setting: Whether it is a setting, and does not pass by itself.
    """

    name: str
    means: str
    is_setting: bool = True


def server_risks(channel: RedisChannel) -> list[Risk]:
    """What may cost entries on a server; nothing where it does not let itself be asked.

    Raises:
        StoreUnavailable: It does not answer.
    """
    return _risks(channel, _facts(channel))


def not_served(channel: RedisChannel) -> str | None:
    """Why a server cannot hold a memory, whatever its settings; None: it can, or does not tell.

    Raises:
        StoreUnavailable: It does not answer.
    """
    return _not_served(channel, _facts(channel)[0][1])


def tell_risks(channel: RedisChannel, *, read_only: bool, strict: bool) -> None:
    """Refuse what is no single server; log each risk of one once in a process, or refuse it too.

    Args:
        channel: The server.
        read_only: Whether nothing will be written to it.
        strict: Refuse it, where its settings are the risk.

    Raises:
        ConfigError: It is refused.
        StoreUnavailable: It does not answer.
    """
    facts = _facts(channel)
    reason = _not_served(channel, facts[0][1])
    if reason is not None:
        raise ConfigError(f"redis_url: {reason}")
    risks = [risk for risk in _risks(channel, facts) if not (read_only and risk.name == "replica")]
    refused = [risk.means for risk in risks if risk.is_setting]
    if strict and refused:
        raise ConfigError(
            f"strict_server: {channel.where} may lose entries: {'; '.join(refused)}; or leave "
            "strict_server out to use it as it is"
        )
    for risk in risks:
        if (channel.where, risk.name) not in _told:
            _told.add((channel.where, risk.name))
            _logger.warning("%s may lose entries: %s", channel.where, risk.means)


def _facts(channel: RedisChannel) -> list[tuple[str, _Facts]]:
    """What each server tells of itself, at least one; those of a cluster with their names."""
    try:
        if isinstance(channel, ClusterChannel):
            said = channel.call_each("INFO")
            return [(str(server), _read(text)) for server, text in said.items()]
        return [("", _read(channel.call("INFO")))]
    except CommandRefused:
        return [("", {})]  # a user without the right to ask; storing needs no answer


def _read(said: object) -> _Facts:
    lines = said.decode(errors="replace").splitlines() if isinstance(said, bytes) else []
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _risks(channel: RedisChannel, facts: list[tuple[str, _Facts]]) -> list[Risk]:
    """The risks of all servers, each once, with the servers of a cluster that have it."""
    found: dict[str, Risk] = {}
    servers: dict[str, list[str]] = {}
    for server, one in facts:
        risks = (
            *(_eviction(one), _durability(one), _replica(one), _memory(one)),
            _replicas(one, channel.confirmation),
        )
        for risk in filter(None, risks):
            found.setdefault(risk.name, risk)
            servers.setdefault(risk.name, []).append(server)
    if not isinstance(channel, ClusterChannel):
        return [*found.values()]
    return [
        risk._replace(means=f"{', '.join(servers[name])}: {risk.means}")
        for name, risk in found.items()
    ]


def _not_served(channel: RedisChannel, facts: _Facts) -> str | None:
    if isinstance(channel, ClusterChannel):
        return channel.incomplete
    mode = facts.get("redis_mode") or facts.get("server_mode", "")
    if mode == "sentinel":
        return f"{channel.where} is a Sentinel, which holds no keys: write redis+sentinel://"
    if mode == "cluster" or facts.get("cluster_enabled") == "1":
        return f"{channel.where} {NODE_OF_A_CLUSTER}"
    return None


def _eviction(facts: _Facts) -> Risk | None:
    limit, policy = facts.get("maxmemory", "0"), facts.get("maxmemory_policy", "noeviction")
    if limit == "0" or policy == "noeviction":
        return None
    return Risk(
        "eviction",
        f"the server drops entries to stay below {limit} bytes ({policy}): set "
        "'maxmemory-policy noeviction' in its configuration",
    )


def _durability(facts: _Facts) -> Risk | None:
    if facts.get("aof_enabled", "1") == "1":
        return None
    return Risk(
        "durability",
        "the server keeps no append-only file, and loses the latest entries when it dies: set "
        "'appendonly yes' in its configuration",
    )


def _replica(facts: _Facts) -> Risk | None:
    if facts.get("role", "master") != "slave":
        return None
    primary = f"{facts.get('master_host', '?')}:{facts.get('master_port', '?')}"
    return Risk(
        "replica",
        f"the server is a replica, which takes no writes and may lag behind: name its primary, "
        f"{primary}, in redis_url",
    )


def _replicas(facts: _Facts, asked: Confirmation | None) -> Risk | None:
    there = facts.get("connected_slaves", "")
    if asked is None or not there.isdigit() or int(there) >= asked.replicas:
        return None
    return Risk(
        "replicas",
        f"{there} replicas are connected to the server and wait_replicas asks for "
        f"{asked.replicas}, so that entries wait on this machine's disk: start them, or lower it",
        is_setting=False,
    )


def _memory(facts: _Facts) -> Risk | None:
    limit, used = facts.get("maxmemory", "0"), facts.get("used_memory", "0")
    if not (limit.isdigit() and used.isdigit()) or int(limit) == 0:
        return None
    if int(used) < _NEAR * int(limit):
        return None
    return Risk(
        "memory",
        f"the server uses {int(used):,} of {int(limit):,} bytes, and takes no entries once they "
        "are used up: raise 'maxmemory', or set redis_max_bytes below it",
        is_setting=False,
    )
