"""Python's collector of garbage, held off while many objects are made that are no garbage.

It looks at what is new whenever 700 objects have been made, and at everything now and then. While
thousands of entries are read at once that takes longer than reading them, and finds nothing.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

_paused = False


@contextmanager
def collection_paused() -> Iterator[None]:
    """Hold the collector of garbage off in a block, which should take seconds at most.

    Threads may be in such blocks at once: the one that came first, and found the collector at work,
    lets it go on. Where it was off already it stays so.
    """
    global _paused  # noqa: PLW0603  # a process has one collector
    if not gc.isenabled():
        yield
        return
    try:
        _paused = True
        gc.disable()
        yield
    finally:
        gc.enable()
        _paused = False


def _go_on() -> None:
    """Let it go on in a child: the thread that held it off is not there."""
    if _paused:
        gc.enable()


os.register_at_fork(after_in_child=_go_on)
