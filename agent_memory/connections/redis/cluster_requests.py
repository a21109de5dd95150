"""Commands on their way to the servers of a cluster, and one answer for those of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import redis

from agent_memory.connections.redis.commands import Command, packed_command

_ASKING = packed_command(("ASKING",))


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


def packed(sent: Sent) -> bytes:
    """The bytes that are sent."""
    command = packed_command(sent.command)
    return _ASKING + command if sent.asking else command


def together(replies: Sequence[Any]) -> Any:
    """One answer for those of several servers: the first refusal, or the least number."""
    refusals = [reply for reply in replies if isinstance(reply, redis.exceptions.ResponseError)]
    if refusals:
        return refusals[0]
    return min(replies) if type(replies[0]) is int else replies[0]
