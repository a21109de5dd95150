"""A Lua script, as Redis knows it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from agent_memory.connections.redis.answers import Check, anything


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script, what it may answer, and the digest that Redis knows it by.

    Attributes:
        source: The script.
        answers: Tells whether an answer is one of its own.
        writes: Whether it changes what is stored, beyond what is found again from the entries.
        digest: Of the source.
    """

    source: str
    answers: Check = anything
    writes: bool = True
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        """Compute the digest."""
        digest = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "digest", digest)
