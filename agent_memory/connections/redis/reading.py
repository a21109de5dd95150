"""Reads answers of a Redis server within bounds, whatever it sends.

hiredis reads an answer for as long as there is more of it, and a socket's timeout starts again with
each byte. So both are bounded here: how large one answer may be, and how slowly it may arrive.
"""

from __future__ import annotations

import os
import select
import time
from itertools import islice
from typing import Any

import redis
from redis._parsers.hiredis import NOT_ENOUGH_DATA  # compared by identity, and given nowhere else
from redis.connection import DefaultParser

LARGEST_ANSWER = 544 * 1024 * 1024
"""How many bytes an answer may have: the largest value of a Redis server, and what is around it."""

LONGEST_LINE = 1024 * 1024
"""How many bytes an error, a number or a status may have."""

LEAST_SPEED = 256 * 1024
"""How many bytes a second have to come of an answer that takes longer than the patience."""

PATIENCE = 30.0
"""How long an answer may take whatever its speed, in seconds."""

AWAKE = 100e-6
"""How long to look for an answer before sleeping until it comes, in seconds.

Most answers of a local server come within it, and being woken takes 80 us.
"""

_BULKS = b"$*"
_NO_ERRORS = frozenset({bytes, int})


class BoundedParser(DefaultParser):  # type: ignore[misc]  # redis-py comes without types here
    """redis-py's parser, which gives up an answer that is too large or too slow."""

    _taken = 0
    _begun = 0.0
    _is_line = False

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Read one answer.

        Raises:
            redis.exceptions.InvalidResponse: It is none, or too large.
            redis.exceptions.TimeoutError: It comes too slowly.
        """
        self._taken = 0
        try:
            return super().read_response(*args, **kwargs)
        except (TypeError, ValueError, MemoryError) as error:
            raise _unreadable(error) from error

    def read_from_socket(self, *args: Any, **kwargs: Any) -> Any:
        """Read what has come of an answer."""
        if self._taken:
            self._check()
        reader = self._reader
        before = 0 if reader is None else reader.len()
        is_first = not self._taken and not self.has_more
        answer = super().read_from_socket(*args, **kwargs)
        if not self._taken:
            self._begun = time.monotonic()
            self._is_line = is_first and self._buffer[0] not in _BULKS
        self._taken += max(0 if self._reader is None else self._reader.len() - before, 1)
        return answer

    def ready(self, most: int) -> list[Any]:
        """Read answers as long as the whole of the next one has come.

        What redis-py does for each answer takes longer than reading it.

        Args:
            most: How many at most.

        Raises:
            redis.exceptions.InvalidResponse: What has come is no answer.
            redis.exceptions.ConnectionError: The server ends the connection.
        """
        reader = self._reader
        if reader is None:
            return []
        try:
            found = [*islice(iter(reader.gets, NOT_ENOUGH_DATA), most)]
        except (TypeError, ValueError, MemoryError) as error:
            raise _unreadable(error) from error
        if not _NO_ERRORS.issuperset(map(type, found)):
            for answer in found:
                first = answer[0] if type(answer) is list and answer else answer
                if isinstance(first, redis.exceptions.ConnectionError):
                    raise first
        return found

    @property
    def has_more(self) -> bool:
        """Whether more has come than the answers that were read."""
        return self._reader is not None and bool(self._reader.has_data())

    def _check(self) -> None:
        if self._taken > (LONGEST_LINE if self._is_line else LARGEST_ANSWER):
            raise redis.exceptions.InvalidResponse(f"an answer of more than {self._taken} bytes")
        if time.monotonic() > self._begun + PATIENCE + self._taken / LEAST_SPEED:
            raise redis.exceptions.TimeoutError("its answer comes too slowly, or never ends")


def read_answers(connection: Any, count: int) -> list[Any]:
    """Read the answers to a request; errors the server answered with are among them, not raised.

    Args:
        connection: redis-py's, of any parser.
        count: How many commands the request has.

    Raises:
        redis.exceptions.RedisError: They cannot be read, or there are more of them.
        OSError: The same.
    """
    parser = connection._parser  # noqa: SLF001  # the library reads one at a time
    answers: list[Any] = []
    while len(answers) < count:
        answers.append(_answer(connection))
        if isinstance(parser, BoundedParser):
            answers += parser.ready(count - len(answers))
    if getattr(parser, "has_more", False):
        # It would be taken for the answer to the next request.
        raise redis.exceptions.InvalidResponse("more answers than commands")
    heed = getattr(connection, "heed", None)
    if heed is not None:
        heed(answers)
    return answers


def stay_awake(connection: Any) -> None:
    """Stay awake for a moment while the answer is under way; whoever else has work goes first."""
    arrival = select.poll()
    arrival.register(connection._sock, select.POLLIN)  # noqa: SLF001  # the library only sleeps
    until = time.perf_counter() + AWAKE
    while not arrival.poll(0) and time.perf_counter() < until:
        os.sched_yield()


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except redis.exceptions.ResponseError as error:
        return error


def _unreadable(error: Exception) -> redis.exceptions.InvalidResponse:
    # A map by what is no key, a text that is none, a length beyond any memory.
    return redis.exceptions.InvalidResponse(
        f"an answer that cannot be read ({type(error).__name__})"
    )
