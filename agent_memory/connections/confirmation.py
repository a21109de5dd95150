"""How many replicas must have what is written before it counts as stored.

Replication is asynchronous: a server acknowledges what its replicas have not got yet. WAIT, sent
behind what writes, tells how many of them have it by then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent_memory.errors import WritesRefused


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What is asked of the replicas.

    Attributes:
        replicas: How many of them must have what is written.
        seconds: How long to wait for them.
    """

    replicas: int
    seconds: float

    @property
    def command(self) -> tuple[str, int, int]:
        """The command that waits for all that its connection has written."""
        return "WAIT", self.replicas, max(1, round(1_000 * self.seconds))

    def check(self, answer: Any, where: str) -> None:
        """See that enough replicas have what was written.

        Args:
            answer: To the command.
            where: The server, as messages shall call it.

        Raises:
            WritesRefused: They have not, or nobody knows. What was written stands on the server,
                and is written again by whoever repeats it.
            redis.exceptions.ResponseError: The server refuses to wait.
        """
        if isinstance(answer, Exception):
            raise answer
        if type(answer) is int and answer >= self.replicas:
            return
        raise WritesRefused(
            f"{where}: {answer} of {self.replicas} replicas have within {self.seconds:g} s what "
            "was written, so that it counts as not stored: start them, raise wait_timeout, or "
            "lower wait_replicas"
        )
