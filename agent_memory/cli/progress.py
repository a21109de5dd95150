"""Shows how far a long command is, on a terminal and nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console


@contextmanager
def shown() -> Iterator[Callable[[str, int], object] | None]:
    """What to tell of progress; None where nobody would see it."""
    if not sys.stderr.isatty():
        yield None
        return
    with Console(stderr=True, markup=False).status("") as status:
        yield lambda what, count: status.update(f"{count:,} {what}")
