"""Notes open moves in a hash on the Redis server that entries move out of."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.repositories.moves import MOVE_SECONDS, Agent, MoveNotes, OpenMove, token_at
from agent_memory.repositories.redis import scripts


class RedisMoveNotes(MoveNotes):
    """The notes of moves out of a tier.

    Args:
        channel: The server.
        key: The hash they stand in.
        clock: Gives the time in seconds since 1970.
    """

    def __init__(self, channel: RedisChannel, key: str, clock: Callable[[], float]) -> None:
        self._channel = channel
        self._key = key
        self._clock = clock
        self._failed: dict[str, str] = {}  # the tokens of moves that raised here, by their agents

    @contextmanager
    def noted(self, agents: Collection[Agent]) -> Iterator[None]:
        """Note on the server that agents are on the move; the note outlives a crash."""
        names = json.dumps(sorted(agents))
        token = token_at(self._clock())
        # A move that is tried again replaces its note, so that an outage leaves one, not many;
        # not the old one again, whose age would say that nobody can still be at it.
        self._put(self._failed.pop(names, token), token, names)
        try:
            yield
        except BaseException:
            self._failed[names] = token  # a move that failed half-way is one to settle
            raise
        self._take(token)

    def open(self) -> list[OpenMove]:
        """The moves that were begun and not finished."""
        noted = self._channel.call("HGETALL", self._key)
        notes = zip(noted[::2], noted[1::2], strict=True)
        return [move for note in notes if (move := _open_move(*note)) is not None]

    def close(self, move: OpenMove) -> None:
        """Take away the note of a settled move, unless the move may still be under way."""
        now = self._clock()
        if move.token < token_at(now - MOVE_SECONDS):
            self._take(move.token)
        elif move.token > token_at(now + MOVE_SECONDS):
            # Noted before the clock was set back: from now on it grows old like any other.
            self._put(move.token, token_at(now), json.dumps(sorted(move.agents)))

    def _put(self, replaced: str, token: str, names: str) -> None:
        self._channel.run(scripts.NOTE_MOVE, [([self._key], [replaced, token, names])])

    def _take(self, token: str) -> None:
        self._channel.call("HDEL", self._key, token)


def _open_move(token: bytes, agents: bytes) -> OpenMove | None:
    """The move that a note tells of; None of one that is damaged, which nothing is settled by."""
    try:
        owners = tuple((str(run), str(agent)) for run, agent in json.loads(agents))
        return OpenMove(token.decode(), owners)
    except (ValueError, TypeError, RecursionError):
        return None
