"""Reads what the server of a folder tells of itself in its answer to ``INFO server``."""

from __future__ import annotations

import re


def instance_of(about: bytes) -> str | None:
    """The id that it gave itself as it started; None: it tells none."""
    found = re.search(rb"run_id:(\w+)", about)
    return found[1].decode() if found else None


def process_of(about: bytes) -> int | None:
    """The id of its process; None: it tells none."""
    found = re.search(rb"process_id:(\d+)", about)
    return int(found[1]) if found else None
