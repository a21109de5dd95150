"""The notes of moves: which agents' entries are on their way out of a tier.

A move between two stores that share no transaction is noted before it begins. The note outlives
a crash, so that the next upkeep knows whose entries may stand in two tiers.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

MOVE_SECONDS = 300.0
"""Seconds after which a move that was not finished never will be."""
CLOCK_SKEW = 600.0
"""Seconds: more than the clocks of honest machines differ, and more than a lease of forgetting."""

Agent = tuple[str, str]
"""A run, and an agent in it."""


class OpenMove(NamedTuple):
    """A move between two tiers that was begun and not finished."""

    token: str
    agents: tuple[Agent, ...]
    """Runs and agents whose entries were on the move."""


class MoveNotes(ABC):
    """The notes of moves out of one tier. ``tiers.moving`` says when they are made and closed."""

    @abstractmethod
    def noted(self, agents: Collection[Agent]) -> AbstractContextManager[None]:
        """Note that agents are on the move, before the block is entered.

        The note goes when the block ends, and stays when it raises or the process dies.
        """

    @abstractmethod
    def open(self) -> list[OpenMove]:
        """The moves that were begun and not finished, by a crash or because they go on."""

    @abstractmethod
    def close(self, move: OpenMove) -> None:
        """Take away the note of a move that was settled.

        The note of a move that may still be under way, because it is younger than
        ``MOVE_SECONDS``, stays.
        """


class NoMoveNotes(MoveNotes):
    """For a tier that keeps no notes: nothing is noted, and no move is ever open."""

    def noted(self, agents: Collection[Agent]) -> AbstractContextManager[None]:
        """Enter the block."""
        del agents
        return nullcontext()

    def open(self) -> list[OpenMove]:
        """No moves."""
        return []

    def close(self, move: OpenMove) -> None:
        """Nothing to close."""


def token_at(seconds: float) -> str:
    """A new name for a move or a count that begins at a time; names sort by time.

    Args:
        seconds: The time, in seconds since 1970.
    """
    return f"{int(seconds * 1000):014x}-{uuid.uuid4().hex}"


def begun_at(token: str) -> float:
    """When the move of a name began, in seconds since 1970.

    Raises:
        ValueError: It is no name of a move.
    """
    return int(token.partition("-")[0], 16) / 1000
