"""Blocks: commands that a server is sent together, such as a transaction and what it watches.

Behind a script that they run, and before what asks its replicas, the blocks of a server make one
request. Nothing of it is sent again: whoever sends blocks finds out what was done otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from agent_memory.connections.confirmation import Confirmation
from agent_memory.connections.redis.cluster_servers import Request
from agent_memory.connections.redis.commands import packed_command
from agent_memory.connections.redis.conversation import Conversation
from agent_memory.connections.redis.script import Script
from agent_memory.connections.redis.sentinels import Place


class Block(NamedTuple):
    """Commands that a server is sent together.

    Attributes:
        packed: Their bytes.
        expected: How many these are, and so their answers.
    """

    packed: bytes
    expected: int


Pack = Callable[[int], Block]
"""Gives the block of a number, once it is about to be sent."""


class Blocks:
    """Blocks that run a script.

    Args:
        script: The script: each server is given it first.
        keys: A key of each block; all of its keys are of one slot.
        pack: Gives each block.

    Attributes:
        keys: The same.
    """

    def __init__(self, script: Script, keys: Sequence[str], pack: Pack) -> None:
        self.keys = keys
        self._load = packed_command(("SCRIPT", "LOAD", script.source))
        self._pack = pack
        self._sent: list[list[tuple[int, int]]] = []

    @property
    def lost(self) -> list[list[Any]]:
        """What they are answered when nobody knows what became of them."""
        return [[] for _ in self.keys]

    def requests(
        self,
        places: Mapping[Place, Sequence[int]],
        confirmation: Confirmation | None = None,
    ) -> Iterator[Request]:
        """One for each server, packed while those before it are at work.

        Args:
            places: By server, the places of the blocks that it is sent.
            confirmation: What its replicas are asked at last.
        """
        waits = [] if confirmation is None else [packed_command(confirmation.command)]
        for server, numbers in places.items():
            blocks = [*map(self._pack, numbers)]
            counts = [block.expected for block in blocks]
            self._sent.append([*zip(numbers, counts, strict=True)])
            parts = [self._load, *(block.packed for block in blocks), *waits]
            yield Request(server, b"".join(parts), 1 + sum(counts) + len(waits))

    def said_in(self, conversation: Conversation) -> list[list[Any]]:
        """Send all in a conversation with one server, and return what each was answered."""
        for _, packed, count in self.requests({Place("", 0): range(len(self.keys))}):
            conversation.send("blocks", packed, count)
        return self.answers([conversation.answers()])

    def answers(self, replies: Iterable[Sequence[Any]]) -> list[list[Any]]:
        """What each block was answered; nothing to those that were sent to nobody.

        Args:
            replies: What each server answered to its request.
        """
        found = self.lost
        for sent, answers in zip(self._sent, replies, strict=True):
            of_blocks = iter(answers)
            next(of_blocks)  # to the script
            for place, count in sent:
                found[place] = [*islice(of_blocks, count)]
        return found
