"""Lets objects put themselves in order in the child of ``os.fork``.

``os.register_at_fork`` keeps what it is given for ever; this registers once and holds the
objects weakly.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable

_callbacks: list[weakref.WeakMethod[Callable[[], None]]] = []


def after_fork(method: Callable[[], None]) -> None:
    """Have a bound method called in every forked child, as long as its object lives."""
    _callbacks[:] = [callback for callback in _callbacks if callback() is not None]
    _callbacks.append(weakref.WeakMethod(method))


def _in_child() -> None:
    for callback in tuple(_callbacks):
        method = callback()
        if method is not None:
            method()


os.register_at_fork(after_in_child=_in_child)
