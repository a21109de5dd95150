"""What a Redis server is and can do, read from its answers to four commands.

The query engine is looked for with FT._LIST: Redis-OM's own check is wrong on fakeredis and ends
in an error on servers without modules, and the name of the module differs between vendors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import redis

__all__ = ["EngineKind", "RedisEngine", "ServerModule", "probe"]

EngineKind = Literal["embedded", "redis", "fake"]

_PROBES = (("FT._LIST",), ("MODULE", "LIST"), ("INFO", "server"), ("INFO", "cluster"))


@dataclass(frozen=True, slots=True)
class ServerModule:
    """A module that a server has loaded.

    Attributes:
        name: What the module calls itself: "search", "ReJSON".
        version: As "2.10.5"; a version below 1.0.0, which no vendor writes that way, as one number.
    """

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True)
class RedisEngine:
    """The server behind short-term and intermediate memory.

    Attributes:
        kind: "embedded" (managed, in a folder), "redis" (a server of your own) or "fake".
        name: "valkey", "redis", or what else the server calls itself; "fakeredis".
        version: The server's own version; empty if it does not tell.
        modules: By name; none if the server does not tell.
        has_query_engine: Whether it answers the commands of the query engine (FT.*).
        is_cluster: Whether it is a node of a cluster.
    """

    kind: EngineKind
    name: str
    version: str
    modules: tuple[ServerModule, ...]
    has_query_engine: bool
    is_cluster: bool

    def __str__(self) -> str:
        server = f"{self.name} {self.version}".rstrip()
        loaded = ", ".join(map(str, self.modules))
        cluster = ", a node of a cluster" if self.is_cluster else ""
        return f"{server} with {loaded}{cluster}" if loaded else f"{server}{cluster}"


def probe(
    kind: EngineKind, exchange: Callable[[Sequence[tuple[str, ...]]], Sequence[Any]]
) -> RedisEngine:
    """Ask a server what it is.

    Args:
        kind: How it was chosen.
        exchange: Sends commands and gives the raw answers in order, with the errors that the
            server answered returned among them.

    Raises:
        redis.exceptions.ResponseError: It refuses for a reason that may pass, as when it is busy
            with a script: that says nothing of what it can do.
    """
    indexes, modules, server, cluster = map(_known, exchange(_PROBES))
    about = {**_info(server), **_info(cluster)}
    name, version = _name_and_version(kind, about)
    return RedisEngine(
        kind,
        name,
        version,
        tuple(sorted(map(_module, modules or ()), key=lambda module: module.name.lower())),
        has_query_engine=indexes is not None,
        is_cluster=about.get("cluster_enabled") == "1",
    )


def _known(reply: Any) -> Any:
    """The answer; None where the server has no such command, or none for this user."""
    if not isinstance(reply, redis.exceptions.ResponseError):
        return reply
    if isinstance(reply, redis.exceptions.NoPermissionError):
        return None
    if str(reply).lower().startswith("unknown command"):
        return None
    raise reply


def _info(reply: bytes | None) -> dict[str, str]:
    lines = (reply or b"").decode(errors="replace").splitlines()
    return {name: value for name, mark, value in (line.partition(":") for line in lines) if mark}


def _name_and_version(kind: EngineKind, about: Mapping[str, str]) -> tuple[str, str]:
    if kind == "fake":
        return "fakeredis", ""
    # Valkey gives a version of Redis too: that of the last one it is compatible with.
    name = about.get("server_name", "redis")
    return name, about.get(f"{name}_version") or about.get("redis_version", "")


def _module(fields: Sequence[Any]) -> ServerModule:
    named = dict(zip(fields[::2], fields[1::2], strict=False))
    return ServerModule(named[b"name"].decode(), _dotted(int(named[b"ver"])))


def _dotted(number: int) -> str:
    if number < 10_000:
        return str(number)
    return f"{number // 10_000}.{number // 100 % 100}.{number % 100}"
