"""Notes open moves in a hash on the Redis server that entries move out of."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.repositories.moves import MOVE_SECONDS, Agent, MoveNotes, OpenMove, token_at
from agent_memory.repositories.redis import scripts


class RedisMoveNotes(MoveNotes):
    """The notes of moves out of a tier.

    Args:
        channel: The server.
        key: The hash they stand in.
    """

    def __init__(self, channel: RedisChannel, key: str) -> None:
        self._channel = channel
        self._key = key
        self._failed: dict[str, str] = {}  # the tokens of moves that raised here, by their agents

    @contextmanager
    def noted(self, agents: Collection[Agent]) -> Iterator[None]:
        """Note on the server that agents are on the move; the note outlives a crash."""
        names = json.dumps(sorted(agents))
        # A move that is tried again replaces its note, so that an outage leaves one, not many;
        # not the old one again, whose age would say that nobody can still be at it.
        token = self._put(self._failed.pop(names, ""), names)
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
        now = server_time(self._channel)
        if move.token < token_at(now - MOVE_SECONDS):
            self._take(move.token)
        elif move.token > token_at(now + MOVE_SECONDS):
            # Noted before the server's clock was set back: it grows old like any other from now on.
            self._put(move.token, json.dumps(sorted(move.agents)))

    def _put(self, replaced: str, names: str) -> str:
        """Note a move by the server's clock, which is that of all who move from there."""
        values = [replaced, uuid.uuid4().hex, names]
        (token,) = self._channel.run(scripts.NOTE_MOVE, [([self._key], values)])
        return token.decode() if isinstance(token, bytes) else str(token)

    def _take(self, token: str) -> None:
        self._channel.call("HDEL", self._key, token)


def server_time(channel: RedisChannel) -> float:
    """What time it is by a server's clock, in seconds since 1970."""
    seconds, microseconds = channel.call("TIME")
    return int(seconds) + int(microseconds) / 1e6


def _open_move(token: bytes, agents: bytes) -> OpenMove | None:
    """The move that a note tells of; None of one that is damaged, which nothing is settled by."""
    try:
        owners = tuple((str(run), str(agent)) for run, agent in json.loads(agents))
        return OpenMove(token.decode(), owners)
    except (ValueError, TypeError, RecursionError):
        return None
