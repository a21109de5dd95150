"""Which server of a cluster holds which slot, and to which slot a command's keys belong."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.crc import key_slot

from agent_memory.connections.redis.commands import Command, PackedCommand
from agent_memory.connections.redis.sentinels import Place

SLOTS = 16_384
"""How many slots the keys of a cluster are divided into."""

_TAGS_TRIED = 100_000  # of which each slot has some
_WITHOUT_KEY = frozenset(
    ("PING", "INFO", "TIME", "MODULE", "SCRIPT", "FT._LIST", "MULTI", "EXEC", "UNWATCH", "WAIT")
)
_FIRST_KEY = {"EVALSHA": 3, "EVAL": 3, "MEMORY": 2}


def slot_of(command: Command) -> int | None:
    """The slot of a command's first key; None: it has no key."""
    if isinstance(command, PackedCommand):
        return slot_of_key(command.key)
    name = str(command[0])
    return None if name in _WITHOUT_KEY else slot_of_key(command[_FIRST_KEY.get(name, 1)])


def slot_of_key(key: str | bytes) -> int:
    """The slot of a key: of what stands between its first braces, if anything does."""
    return int(key_slot(key.encode() if isinstance(key, str) else key))


@dataclass(frozen=True, slots=True)
class Topology:
    """Who held which slots when a cluster was asked.

    Attributes:
        firsts: The first slots of ranges, ascending.
        lasts: The last slot of each.
        holders: The primary that holds each.
    """

    firsts: tuple[int, ...]
    lasts: tuple[int, ...]
    holders: tuple[Place, ...]

    @classmethod
    def read(cls, answer: Sequence[Any], asked: Place) -> Topology:
        """Read the answer to CLUSTER SLOTS.

        Args:
            answer: The answer.
            asked: Who gave it; servers that do not know their own name are called so.

        Raises:
            ValueError: It is none.
        """
        try:
            ranges = sorted(
                (int(first), int(last), Place((holder[0] or b"").decode() or asked.host, holder[1]))
                for first, last, holder, *_ in answer
            )
        except (TypeError, AttributeError, IndexError) as error:
            raise ValueError("no answer to CLUSTER SLOTS") from error
        firsts, lasts, holders = zip(*ranges, strict=True) if ranges else ((), (), ())
        return cls(firsts, lasts, holders)

    @property
    def primaries(self) -> list[Place]:
        """All servers that hold slots."""
        return sorted({*self.holders})

    def holder(self, slot: int) -> Place | None:
        """The server that holds a slot; None: nobody does."""
        place = bisect_right(self.firsts, slot) - 1
        return self.holders[place] if place >= 0 and slot <= self.lasts[place] else None

    @property
    def complaint(self) -> str:
        """What to say where nobody holds some slots."""
        gaps = ", ".join(f"{first} to {last}" for first, last in self.uncovered())
        return f"nobody holds the slots {gaps}: give them to a server (redis-cli --cluster fix)"

    def tags(self) -> dict[Place, str]:
        """For each server what keys that it holds may have between their braces."""
        found: dict[Place, str] = {}
        missing = {*self.holders}
        for number in range(_TAGS_TRIED):
            tag = f"{number}"
            place = self.holder(slot_of_key(tag))
            if place in missing:
                missing.remove(place)
                found[place] = tag
            if not missing:
                break
        return found

    def uncovered(self) -> list[tuple[int, int]]:
        """The ranges of slots that nobody holds."""
        gaps, free = [], 0
        for first, last in zip(self.firsts, self.lasts, strict=True):
            if first > free:
                gaps.append((free, first - 1))
            free = last + 1
        return gaps if free >= SLOTS else [*gaps, (free, SLOTS - 1)]
