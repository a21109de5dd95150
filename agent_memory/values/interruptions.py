"""Tells what the handler of a signal raised from what the code around it did.

A handler runs wherever the program is at that moment, and what it raises comes out there: where a
value's own code may fail with anything, or where a file may. Taken for such a failure, a program's
alarm would be a fault of what is stored, and the program would go on after its time was over.
"""

from __future__ import annotations

import signal
import sys
from functools import partial
from types import CodeType, FrameType, TracebackType
from typing import Any

_RAISING_AGAIN = frozenset({"psycopg._pipeline"})
"""Modules that raise again what comes while they end something, without its traceback."""

_SIGNALS = tuple(signal.valid_signals())


def raise_if_interrupted(error: BaseException) -> None:
    """Raise what the handler of a signal raised, as it is, if that is behind an exception.

    Args:
        error: What was caught. A driver may have put one of its own in place of the handler's.
    """
    if _came_from_here(error, sys._getframe(1)):  # noqa: SLF001 - whoever has caught it
        return
    found = interruption_behind(error)
    if found is not None:
        raise found


def _came_from_here(error: BaseException, frame: FrameType) -> bool:
    """Whether an exception has passed no other function than the one that has caught it.

    A handler's has passed the handler. A file that is not there is asked for at each question,
    where looking for handlers took 200 us.
    """
    traceback = error.__traceback__
    return (
        isinstance(error, Exception)
        and error.__cause__ is None
        and error.__context__ is None
        and traceback is not None
        and traceback.tb_next is None
        and traceback.tb_frame is frame
    )


def interruption_behind(error: BaseException) -> BaseException | None:
    """What the handler of a signal raised that an exception is, or was raised for.

    Args:
        error: What was caught, with its traceback.
    """
    found, passed = error, {*_frames(error.__traceback__)}
    while not _is_interruption(found):
        before = found.__cause__ or found.__context__
        # What a program has caught, and handles as it calls, is in the chain too, and over: it
        # passed none of the frames that what was caught here has passed.
        if before is None or before.__traceback__ is None:
            return None
        if before.__traceback__.tb_frame not in passed and not _is_raised_again(before):
            return None
        found = before
        passed.update(_frames(found.__traceback__))
    return found


def _is_interruption(error: BaseException) -> bool:
    if not isinstance(error, Exception):
        return True  # Python's own handlers are written in C, and raise such
    frames = _frames(error.__traceback__)
    if any(map(_is_called_with_its_caller, frames)):
        return True
    handlers = _codes_of_handlers()
    return _is_raised_again(error) or any(frame.f_code in handlers for frame in frames)


def _is_raised_again(error: BaseException) -> bool:
    """Whether it came to a module that took its traceback off, and then failed itself.

    It is known by the one frame that is left: what has come further has passed others.
    """
    frames = _frames(error.__traceback__)
    return (
        len(frames) == 1
        and frames[0].f_globals.get("__name__") in _RAISING_AGAIN
        and not isinstance(error, OSError)
        and not type(error).__module__.startswith("psycopg")
    )


def _frames(traceback: TracebackType | None) -> list[FrameType]:
    frames = []
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    return frames


def _is_called_with_its_caller(frame: FrameType) -> bool:
    """Whether a function was given the frame that it was called in, as handlers are."""
    code, caller = frame.f_code, frame.f_back
    if caller is None:
        return False
    count = code.co_argcount + bool(code.co_flags & 0x04)  # *args stand behind the others
    names = code.co_varnames[: count + code.co_kwonlyargcount]
    if not names:
        return False
    values = frame.f_locals
    given = [values.get(name) for name in names]
    return any(
        one is caller or (type(one) is tuple and any(part is caller for part in one))
        for one in given
    )


def _codes_of_handlers() -> set[CodeType]:
    """The code of all handlers that are set: one may have let go of its arguments."""
    found = map(_code_of, map(signal.getsignal, _SIGNALS))
    return {code for code in found if code is not None}


def _code_of(handler: Any) -> CodeType | None:
    if not callable(handler):  # as the signs for "the default" and "ignored" are not
        return None
    while isinstance(handler, partial):
        handler = handler.func
    function = getattr(handler, "__func__", handler)
    if not hasattr(function, "__code__"):
        function = getattr(type(function), "__call__", None)  # noqa: B004  # its code is wanted
    code = getattr(function, "__code__", None)
    return code if isinstance(code, CodeType) else None
