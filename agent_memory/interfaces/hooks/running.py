"""Whose call is under way, so that what happens within it is not recorded once more."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

# Whose calls are under way in this thread. What an agent calls on itself meanwhile belongs to
# the call that is recorded already, and what the hooks call belongs to nobody.
_inside: ContextVar[frozenset[int]] = ContextVar("_inside", default=frozenset())
EVERYONE = 0  # no object has the id 0


def is_inside(agent: object) -> bool:
    """Whether a call of this agent, or of the hooks themselves, is under way."""
    inside = _inside.get()
    return id(agent) in inside or EVERYONE in inside


@contextmanager
def within(who: int) -> Iterator[None]:
    """Note that a call of an agent is under way, named by its ``id()``."""
    token = _inside.set(_inside.get() | {who})
    try:
        yield
    finally:
        _inside.reset(token)


class Awaited:
    """A coroutine of an agent, whose every part runs as the agent's."""

    def __init__(self, agent: object, awaited: Any) -> None:
        self._agent = agent
        self._awaited = awaited

    def __await__(self) -> Generator[Any, Any, Any]:
        """Await the coroutine, each part within a call of the agent."""
        return driven(self._agent, self._awaited.__await__())


def driven(agent: object, parts: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Run a generator part by part as an agent's, and as nobody's in between."""
    proceed: Callable[[], Any] = functools.partial(next, parts)
    while True:
        try:
            with within(id(agent)):
                given = proceed()
        except StopIteration as end:
            return end.value
        try:
            sent = yield given
        except GeneratorExit:
            with within(id(agent)):
                parts.close()
            raise
        except BaseException as error:  # noqa: BLE001  # goes to the generator, as it would without a hook
            proceed = functools.partial(parts.throw, error)
        else:
            proceed = (
                functools.partial(next, parts)
                if sent is None
                else functools.partial(parts.send, sent)
            )
