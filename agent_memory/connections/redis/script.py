"""A Lua script, as Redis knows it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from agent_memory.connections.redis.answers import Check, anything


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script, what it may answer, and the digest that Redis knows it by."""

    source: str
    answers: Check = anything
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        """Compute the digest."""
        digest = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "digest", digest)
