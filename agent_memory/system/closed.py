"""What stands in the place of a memory's parts once it is closed."""

from __future__ import annotations

from typing import Any, NoReturn

from agent_memory.errors import MemoryClosed


class Closed:
    """Answers whatever is asked of it with ``MemoryClosed``."""

    def __getattr__(self, name: str) -> NoReturn:
        """Refuse.

        Raises:
            MemoryClosed: Always, but for what Python itself looks for.
        """
        if name.startswith("__"):
            raise AttributeError(name)
        raise MemoryClosed(
            "the memory is closed, and nothing was stored or read: open it again with "
            "AgentMemorySystem(config), or close it later"
        )


CLOSED: Any = Closed()
