"""What long work calls to say how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int], object]
"""Called with what is being worked on, and how many of it were dealt with so far."""

EntriesProgress = Callable[[int, int], object]
"""Called with how many entries were dealt with so far, and how many there are."""

EpochProgress = Callable[[int, int, dict[str, float]], object]
"""Called after each epoch with its number from 1, how many there are, and its losses."""
