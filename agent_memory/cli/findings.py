"""What the doctor finds: one thing it looked at, how it is, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from agent_memory.errors import MemoryStoreError


class State(Enum):
    """How a thing is; the value is what is printed before it."""

    FINE = "ok"
    OPTIONAL = "note"
    BROKEN = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What it is.
        text: How it is, and what to do if something is missing.
        state: Whether that is fine, or keeps the memory from being used.
    """

    subject: str
    text: str
    state: State = State.FINE

    def __str__(self) -> str:
        # What servers and drivers say may come in several lines.
        return f"{self.state.value:4}  {self.subject}: {' '.join(self.text.split())}"


def looked(subject: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """What a look found; an error of this package is a finding too, and says how to mend it."""
    try:
        return look()
    except MemoryStoreError as error:
        return [Finding(subject, str(error), State.BROKEN)]
