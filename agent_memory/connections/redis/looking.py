"""Looks in a short time whether a server answers, on a connection of its own."""

from __future__ import annotations

import redis

from agent_memory.connections.redis.clients import connect, new_connection
from agent_memory.connections.redis.errors import LOSSES
from agent_memory.values.interruptions import raise_if_interrupted

LOOK_TIMEOUT = 0.5
"""How long a server that was away may take to connect and to answer, in seconds."""


def look_at(client: redis.Redis) -> Exception | None:
    """Send a client's server a PING.

    Returns:
        None: It answers, if only by a refusal, and a request will tell what it refuses. Else what
        became of it.
    """
    connection = new_connection(
        client, socket_timeout=LOOK_TIMEOUT, socket_connect_timeout=LOOK_TIMEOUT
    )
    try:
        connect(connection)
        connection.send_command("PING")
        connection.read_response()
    except redis.exceptions.ResponseError:
        return None
    except LOSSES as error:
        raise_if_interrupted(error)
        return error
    else:
        return None
    finally:
        connection.disconnect()
