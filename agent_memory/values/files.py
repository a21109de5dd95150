"""Tells a file from another one that has come to stand under its name."""

from __future__ import annotations

import os
from pathlib import Path

FileId = tuple[int, int]
"""A device, and what a file is on it."""


def file_id(path: str | Path) -> FileId | None:
    """Which file stands under a name; None: there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116  # five times as quick, before each answer
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino
