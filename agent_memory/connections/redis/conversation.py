"""Several requests on one connection, for what is decided here of what the server has watched.

A transaction whose keys are watched spans requests: first they are watched and looked at, then all
is written at once, or nothing where one of them has changed since.
"""

from __future__ import annotations

from typing import Any

import redis

from agent_memory.connections.confirmation import Confirmation
from agent_memory.connections.redis.commands import packed_command
from agent_memory.connections.redis.reading import read_answers, stay_awake


class ConversationLost(Exception):  # it is no error: what was lost is done otherwise
    """The connection was lost: what is not answered may have been done."""


class Conversation:
    """Requests on a connection that nobody else uses meanwhile.

    Args:
        connection: redis-py's.
        is_local: Whether the server is in this process, and answers at once.
    """

    def __init__(self, connection: Any, *, is_local: bool) -> None:
        self._connection = connection
        self._is_local = is_local
        self._expected = 0

    def send(self, name: str, packed: bytes, count: int) -> None:  # noqa: ARG002  # for who watches
        """Send a request.

        Args:
            name: What it does.
            packed: Its commands.
            count: How many these are.
        """
        self._connection.send_packed_command([packed])
        self._expected += count

    def answers(self) -> list[Any]:
        """All answers that have not been read; errors the server answered with are among them."""
        if not self._expected:
            return []
        if not self._is_local:
            stay_awake(self._connection)
        answers = read_answers(self._connection, self._expected)
        self._expected = 0
        return answers

    def end(self, confirmation: Confirmation | None, where: str) -> None:
        """Read what has not been read, and see that enough replicas have what was written.

        Args:
            confirmation: What they are asked; None: nothing.
            where: The server, as messages shall call it.

        Raises:
            WritesRefused: They have not.
            redis.exceptions.ResponseError: The server refuses to wait.
        """
        self.answers()
        if confirmation is not None:
            self.send("confirm", packed_command(confirmation.command), 1)
            confirmation.check(self.answers()[0], where)


def is_lost(error: BaseException) -> bool:
    """Whether an error tells that a connection was lost, and not that the server is silent."""
    return isinstance(error, redis.exceptions.ConnectionError) or (
        isinstance(error, OSError) and not isinstance(error, TimeoutError)
    )
