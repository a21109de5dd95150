"""Looks beneath the Redis tiers: at each key, whether it belongs to an entry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agent_memory.connections.redis.clients import RedisClient
from agent_memory.models.redis import agent_prefix, decode_id
from agent_memory.testing.wholeness import Findings

_OF_EVERY_ENTRY = ("steps", "times", "importance")
_BESIDE = ("changes", "ahead")
_OF_THE_NAMESPACE = (
    *("runs", "moving", "counted", "workers", "memory", "attributes", "attributes:complete"),
)


def orphans(client: RedisClient, namespaces: Iterable[str]) -> Findings:
    """Find keys, index members and registered agents that belong to no entry, and the reverse.

    Args:
        client: A binary client of the server, which nobody else writes to meanwhile.
        namespaces: What the keys of each tier begin with.
    """
    return sum((_in_namespace(client, name) for name in namespaces), Findings())


def _in_namespace(client: RedisClient, namespace: str) -> Findings:
    kinds = _keys(client, namespace)
    agents: dict[str, set[str]] = {}
    for key in kinds:
        if key.startswith(f"{namespace}:{{"):
            prefix, _, name = key.partition("}:")
            agents.setdefault(f"{prefix}}}:", set()).add(name)
    findings = Findings()
    for prefix, names in agents.items():
        findings += _of_agent(client, prefix, {name: kinds[prefix + name] for name in names})
    others = {key.removeprefix(f"{namespace}:") for key in kinds if f"{namespace}:{{" not in key}
    registries = {name for name in others if name.startswith("agents:")}
    codes = {name for name in others if name.startswith("code:")}
    strange = sorted(others - registries - codes - {*_OF_THE_NAMESPACE})
    registered = set(_registered(client, namespace, registries))
    return findings + Findings(
        ghosts=tuple(f"registered agent {prefix}" for prefix in sorted(registered - {*agents})),
        leaks=tuple(f"key {namespace}:{name}" for name in strange)
        + tuple(f"unregistered agent {prefix}" for prefix in sorted({*agents} - registered)),
    )


def _keys(client: RedisClient, namespace: str) -> dict[str, str]:
    """All keys of a namespace, and their types."""
    # Names begin with the namespace, but those of another may begin with the same letters.
    keys = [key.decode() for key in client.scan_iter(count=1_000)]
    ours = [key for key in keys if key.startswith(f"{namespace}:") and ":index:" not in key]
    pipeline = client.pipeline(transaction=False)
    for key in ours:
        pipeline.type(key)
    return dict(zip(ours, (kind.decode() for kind in pipeline.execute()), strict=True))


def _registered(client: RedisClient, namespace: str, registries: Iterable[str]) -> Iterable[str]:
    for registry in registries:
        run = decode_id(registry.removeprefix("agents:").encode())
        members: Any = client.zrange(f"{namespace}:{registry}", 0, -1)
        for agent in members:
            yield agent_prefix(namespace, run, decode_id(agent))


def _of_agent(client: RedisClient, prefix: str, kinds: dict[str, str]) -> Findings:
    hashes = {name for name, kind in kinds.items() if kind == "hash"}
    members = {
        name: {member.decode() for member in client.zrange(prefix + name, 0, -1)}
        for name, kind in kinds.items()
        if kind == "zset"
    }
    of_types = set().union(*(held for name, held in members.items() if name.startswith("type:")))
    ghosts = [
        f"{prefix}{name} holds {member}"
        for name, held in members.items()
        for member in sorted(held - hashes)
    ]
    missing = [
        f"{prefix}{name} lacks {member}"
        for name in (*_OF_EVERY_ENTRY, "type:")
        for member in sorted(hashes - (of_types if name == "type:" else members.get(name, set())))
    ]
    strange = [
        f"key {prefix}{name}"
        for name in kinds.keys() - members.keys() - hashes
        if name not in _BESIDE or not hashes
    ]
    return Findings(ghosts=tuple(ghosts), losses=tuple(missing), leaks=tuple(strange))
