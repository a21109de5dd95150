"""Raises an exception at any place of some work where a signal's handler could raise one.

The interpreter runs the handlers of signals in the main thread: where a function written in Python
begins, where one written in C returns, and within those that wait for something. A profiler is
called at the same places, and what it raises comes out there. So all places of some work can be
tried one after the other; a timer hits those most that take longest, and others never.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from itertools import count
from types import FrameType
from typing import Any

# What waits, and looks for signals meanwhile.
_WAITING = frozenset(
    {"accept", "acquire", "connect", "flock", "open", "poll", "read", "readinto", "recv",
     "recv_into", "select", "send", "sendall", "sleep", "waitpid", "write"}
)  # fmt: skip


class Interrupted(BaseException):
    """What the handler of a signal raises; no part of this package expects it."""


class Places:
    """Does some work, and interrupts it at a place.

    Args:
        work: The work.
        raised: What the handler raises.
    """

    def __init__(
        self, work: Callable[[], object], raised: type[BaseException] = Interrupted
    ) -> None:
        self._work = work
        self._raised = raised
        self._passed = 0
        self._last = 0
        self.where = ""
        """Where it was interrupted."""

    def each(self, apart: int = 1) -> Iterator[BaseException | None]:
        """Do the work again and again, interrupted at a later place each time, until it ends.

        Gives the exceptions, and None for each that was lost on its way, as in a destructor.

        Args:
            apart: How many places later.
        """
        for number in count(1, apart):
            interrupted = self.interrupt(number)
            if self._passed < number:
                return
            yield interrupted

    def interrupt(self, number: int) -> BaseException | None:
        """Do the work and interrupt it at a place, from 1; gives the exception, if it came to it.

        Whoever keeps the exception keeps everything that its traceback has in hand.
        """
        self._passed, self._last, self.where = 0, number, ""
        profiler = self._pass  # kept, as the interpreter does not while it is called
        try:
            sys.setprofile(profiler)
            try:
                self._work()
            finally:
                sys.setprofile(None)
        except self._raised as interrupted:
            # Python gives what comes while a codec works a new message, with the old one in it.
            if not any(self.where in str(one) for one in interrupted.args):
                raise  # another of its kind
            return interrupted
        return None

    def _pass(self, frame: FrameType, event: str, what: Any) -> None:
        if event == "c_call":
            if getattr(what, "__name__", "") not in _WAITING:
                return
        elif event not in {"call", "c_return"}:
            return
        code = frame.f_code
        # Python's logging takes its locks in Python: whoever is interrupted there keeps them.
        if code.co_filename == logging.__file__:
            return
        self._passed += 1
        if self._passed == self._last:  # after which the interpreter calls this no more
            name = getattr(what, "__name__", "")
            self.where = (
                f"{event} {name} in {code.co_qualname} ({code.co_filename}:{frame.f_lineno})"
            )
            raise self._raised(self.where)
