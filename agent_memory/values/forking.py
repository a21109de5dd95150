"""What ``os.fork`` asks of objects that live on in both processes.

``after_fork`` lets an object put itself in order in the child. A ``ForkGate`` keeps a fork and
work that it would tear apart from happening at once. ``os.register_at_fork`` keeps what it is
given for ever; this registers once and holds the objects weakly.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_callbacks: list[weakref.WeakMethod[Callable[[], None]]] = []
# Until there are so many, those of objects that are gone stay: each would be looked at each time.
_room = 64


def after_fork(method: Callable[[], None]) -> None:
    """Have a bound method called in every forked child, as long as its object lives."""
    global _room  # noqa: PLW0603  # of the list, which is the process's own too
    if len(_callbacks) >= _room:
        _callbacks[:] = [callback for callback in _callbacks if callback() is not None]
        _room = max(64, 2 * len(_callbacks))
    _callbacks.append(weakref.WeakMethod(method))


def _call_back() -> None:
    for callback in tuple(_callbacks):
        method = callback()
        if method is not None:
            method()


PATIENCE = 10.0
"""How long a fork waits for work under way, in seconds; then it happens all the same."""
_LOOK_EVERY = 0.001  # seconds


class ForkGate:
    """Passed by everyone who begins such work; shut while this process is forked.

    Args:
        before: Called before a fork, once no work is under way.
        after_in_child: Called in the child, before work goes on.
    """

    def __init__(
        self,
        before: Callable[[], object] = lambda: None,
        after_in_child: Callable[[], object] = lambda: None,
    ) -> None:
        self._before = before
        self._after_in_child = after_in_child
        self._passing: dict[object, int] = {}
        self._shut = False
        _gates.add(self)

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Work within this block is not torn apart by a fork, and waits for one under way."""
        # No lock, which whoever is interrupted with it in hand would keep for ever: each step here
        # is one that Python does whole. Whoever is seen neither here nor waiting is interrupted.
        me = object()
        try:
            self._enter(me)
            yield
        finally:
            self._passing.pop(me, None)

    def _enter(self, me: object) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            self._passing[me] = threading.get_ident()
            # Either a fork that begins now sees that this one passes, or this one sees the fork.
            if not self._shut:
                return
            if time.monotonic() > deadline:
                self._shut = False  # by a fork that was interrupted
                return
            del self._passing[me]
            time.sleep(_LOOK_EVERY)

    def shut(self, deadline: float) -> None:
        """Let no more work begin, and wait for what is under way until a monotonic time."""
        self._shut = True
        # Nobody waits for what this thread itself has left unfinished.
        me = threading.get_ident()
        while any(thread != me for thread in [*self._passing.values()]):
            if time.monotonic() > deadline:
                break
            time.sleep(_LOOK_EVERY)
        self._before()

    def open(self) -> None:
        """Let work go on."""
        self._shut = False

    def renew(self) -> None:
        """Start again in a child, which has none of the parent's other threads."""
        self._passing = {}
        self._after_in_child()
        self._shut = False


# Weak, because what is registered at fork stays registered for the life of the process.
_gates: weakref.WeakSet[ForkGate] = weakref.WeakSet()


def _shut_all() -> None:
    deadline = time.monotonic() + PATIENCE
    for gate in tuple(_gates):
        gate.shut(deadline)


def _open_all() -> None:
    for gate in tuple(_gates):
        gate.open()


def _renew_all() -> None:
    for gate in tuple(_gates):
        gate.renew()


def _in_child() -> None:
    _renew_all()
    _call_back()


os.register_at_fork(before=_shut_all, after_in_parent=_open_all, after_in_child=_in_child)
