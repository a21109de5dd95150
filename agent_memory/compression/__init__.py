"""A fitted code for contents: small, bounded in what it forgets, and each entry by itself.

``ContentsCode`` is fitted on what is remembered. Numbers are put on a lattice, once; everything
else stays exact. See ``docs/compression.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_memory.values.deprecation import moved_names

# What was here when this was a module.
_MOVED = {
    "CompressionEngine": "agent_memory",
    **dict.fromkeys(
        ("ContentsCodec", "MOST_UNSQUEEZED", "exact_bytes"), "agent_memory.compression.levels"
    ),
}

if not TYPE_CHECKING:  # else type checkers would take any name for one that is here
    __getattr__ = moved_names(__name__, _MOVED)
