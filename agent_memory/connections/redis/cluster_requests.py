"""Commands on their way to the servers of a cluster, and one answer for those of several."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import redis

from agent_memory.connections.redis.answers import name_of
from agent_memory.connections.redis.cluster_servers import Request
from agent_memory.connections.redis.commands import Command, packed_command
from agent_memory.connections.redis.errors import no_redis
from agent_memory.connections.redis.sentinels import Place
from agent_memory.connections.redis.topology import Topology
from agent_memory.errors import ConfigError

_WITH_THE_OTHERS = ("SCRIPT", "WAIT")  # sent to every server that a request is sent to
_ASKING = packed_command(("ASKING",))

SENT_ON = (
    redis.exceptions.AskError,  # of which MOVED is one, to redis-py
    redis.exceptions.ClusterDownError,
    redis.exceptions.TryAgainError,
)
"""Answers after which a command may have to be sent again, here or to another server."""

OUT_OF_DATE = (
    redis.exceptions.MovedError,
    redis.exceptions.ClusterDownError,  # which one may have given that has just come back
)
"""Answers after which it is to be asked again who holds what."""


class Sent(NamedTuple):
    """A command on its way to a server.

    Attributes:
        place: Which of the request's it is.
        command: The command.
        asking: Whether the server takes it by exception, since it does not hold the slot yet.
    """

    place: int
    command: Command
    asking: bool = False


Jobs = Mapping[Place, Sequence[Sent]]
"""By server, what it is sent."""


def divided(
    commands: Sequence[Command],
    holders: Sequence[Place | None],
    topology: Topology,
    concerned: Collection[Place],
) -> Jobs:
    """By server, which commands of a request it is sent, in their order.

    Args:
        commands: The request.
        holders: For each command the server that holds its key; None: it has no key.
        topology: The cluster.
        concerned: The servers that are sent something.
    """
    jobs: defaultdict[Place, list[Sent]] = defaultdict(list)
    for place, (command, holder) in enumerate(zip(commands, holders, strict=True)):
        sent = Sent(place, command)
        if holder is not None:
            jobs[holder].append(sent)
        elif name_of(command) in _WITH_THE_OTHERS:
            for server in concerned:
                jobs[server].append(sent)
        elif name_of(command) == "PING":
            for server in topology.primaries:
                jobs[server].append(sent)
        else:
            jobs[topology.primaries[0]].append(sent)
    return jobs


def with_the_others(commands: Sequence[Command]) -> tuple[list[Sent], list[Sent]]:
    """What goes before and behind the other commands of a request, to each server they go to."""
    sent = [Sent(place, command) for place, command in enumerate(commands)]
    loads, waits = (
        [one for one in sent if name_of(one.command) == name] for name in _WITH_THE_OTHERS
    )
    return loads, waits


def request(server: Place, some: Sequence[Sent]) -> Request:
    """What a server is sent for some commands."""
    parts = []
    for sent in some:
        if sent.asking:
            parts.append(_ASKING)
        parts.append(packed_command(sent.command))
    return Request(server, b"".join(parts), len(parts))


def answers_to(some: Sequence[Sent], replies: Sequence[Any]) -> Sequence[Any]:
    """The answers to some commands, without those to what they were announced by."""
    of_commands = iter(replies)
    found = []
    for sent in some:
        if sent.asking:
            next(of_commands)
        found.append(next(of_commands))
    return found


def sent_on(server: Place, sent: Sent, reply: Any) -> tuple[Place, Sent] | None:
    """Where a command is to be sent again, if its answer says so."""
    if isinstance(reply, redis.exceptions.AskError):
        is_moved = isinstance(reply, redis.exceptions.MovedError)
        return Place(reply.host or server.host, reply.port), sent._replace(asking=not is_moved)
    return (server, sent) if isinstance(reply, redis.exceptions.TryAgainError) else None


def topology_of(reply: Any, asked: Place, where: str) -> Topology:
    """Who holds which slots, by the answer to CLUSTER SLOTS.

    Args:
        reply: The answer, or the error that the server answered with.
        asked: Who gave it.
        where: The cluster, as messages shall call it.

    Raises:
        ConfigError: The servers are no cluster.
        StoreUnavailable: No Redis server answers so.
        redis.exceptions.RedisError: The user has no right to ask, or nobody holds any slot.
    """
    if isinstance(reply, redis.exceptions.NoPermissionError):
        raise reply
    if isinstance(reply, redis.exceptions.ResponseError):
        raise ConfigError(
            f"redis_url: {where} is no cluster ({reply}): begin the URL of a single server with "
            "redis:// or rediss://"
        )
    try:
        found = Topology.read(reply, asked)
    except ValueError as error:
        raise no_redis(where, "CLUSTER SLOTS") from error
    if not found.holders:
        raise redis.exceptions.ClusterDownError(found.complaint)
    return found


def together(replies: Sequence[Any]) -> Any:
    """One answer for those of several servers: the first refusal, or the least number."""
    refusals = [reply for reply in replies if isinstance(reply, redis.exceptions.ResponseError)]
    if refusals:
        return refusals[0]
    return min(replies) if type(replies[0]) is int else replies[0]
