"""Hooks: agents whose ``act()`` and ``get_state()`` are remembered without a line in them."""

from __future__ import annotations

from agent_memory.interfaces.hooks.installation import install_memory_hooks
from agent_memory.interfaces.hooks.single import with_memory

__all__ = ["install_memory_hooks", "with_memory"]
