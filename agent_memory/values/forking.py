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


def after_fork(method: Callable[[], None]) -> None:
    """Have a bound method called in every forked child, as long as its object lives."""
    _callbacks[:] = [callback for callback in _callbacks if callback() is not None]
    _callbacks.append(weakref.WeakMethod(method))


def _call_back() -> None:
    for callback in tuple(_callbacks):
        method = callback()
        if method is not None:
            method()


PATIENCE = 10.0
"""How long a fork waits for work under way, in seconds; then it happens all the same."""


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
        self._changed = threading.Condition()
        self._passing = 0
        self._shut = False
        _gates.add(self)

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Work within this block is not torn apart by a fork, and waits for one under way."""
        with self._changed:
            self._changed.wait_for(lambda: not self._shut, PATIENCE)
            self._passing += 1
        try:
            yield
        finally:
            with self._changed:
                self._passing -= 1
                self._changed.notify_all()

    def shut(self, deadline: float) -> None:
        """Let no more work begin, and wait for what is under way until a monotonic time."""
        with self._changed:
            self._shut = True
            left = max(deadline - time.monotonic(), 0)
            self._changed.wait_for(lambda: not self._passing, left)
        self._before()

    def open(self) -> None:
        """Let work go on."""
        with self._changed:
            self._shut = False
            self._changed.notify_all()

    def renew(self) -> None:
        """Start again in a child, which has none of the parent's other threads."""
        # A new one, because another thread may have held it when the process was forked.
        self._changed = threading.Condition()
        self._passing = 0
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
