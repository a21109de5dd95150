"""Stores many new entries by plain commands, since a script takes the server half as long again.

A chunk of entries is looked at first: its keys, and the declaration of attributes, are watched.
Where nothing of it is stored, one transaction (MULTI) writes it all, unless something of what is
watched has changed meanwhile: then the server writes nothing. So it comes to the same as what the
scripts decide. Whatever is not as usual is left to them: entries that are stored already,
attributes that others have declared, times that have to go on, refusals, lost connections.

The next chunk is looked at by the request that writes the one before, and is packed meanwhile.
On a cluster ``bucket_storing`` does the same in one request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.commands import packed_command
from agent_memory.connections.redis.conversation import Conversation, ConversationLost
from agent_memory.repositories.redis.attributes import DeclaredAttributes
from agent_memory.repositories.redis.bucket_storing import BucketStoring
from agent_memory.repositories.redis.calls import by_agent
from agent_memory.repositories.redis.entries import HashMapper
from agent_memory.repositories.redis.keys import KeySpace
from agent_memory.repositories.redis.packing import EntryPacker, Packed
from agent_memory.repositories.redis.store_batch import Batch
from agent_memory.values.entry import MemoryEntry

CHUNK = 100
"""How many entries a transaction stores: the server does nothing else meanwhile, for 5 ms."""

LEAST = 8
"""Fewer entries are stored by scripts, which take one request."""

_UNWATCH = packed_command(("UNWATCH",))


class PlainStoring:
    """Stores new entries of one tier.

    Args:
        channel: The server.
        key_space: The tier's keys.
        mapper: Turns entries into what is stored.
        declared: The declared attributes.
        clock: Gives the time in seconds since 1970.
    """

    def __init__(
        self,
        channel: RedisChannel,
        key_space: KeySpace,
        mapper: HashMapper,
        declared: DeclaredAttributes,
        clock: Callable[[], float],
    ) -> None:
        self._channel = channel
        self._key_space = key_space
        self._mapper = mapper
        self._declared = declared
        self._clock = clock

    def store(
        self,
        entries: Sequence[MemoryEntry],
        after: Sequence[float] | None = None,
        *,
        are_new: bool = False,
        packed: Sequence[bytes] | None = None,
    ) -> list[bool]:
        """Store those of some entries that can be stored by plain commands.

        Args:
            entries: The entries.
            after: For each, the latest timestamp of its agent's elsewhere, which its own is to be
                beyond, as beyond all of its agent's here; None: it may be any.
            are_new: Whether their ids are random and were made for this call: nothing is stored
                under them, and the server need not watch them.
            packed: What ``contents.pack`` made of the contents of each, where that is done already.

        Returns:
            For each whether it is stored now; the others are left to the scripts.

        Raises:
            InvalidEntry: One cannot be stored; none is.
            StoreUnavailable: The server does not answer; any part may be stored.
        """
        stored = [False] * len(entries)
        if len(entries) < LEAST:
            return stored
        has_one_each = len({(entry.run_id, entry.agent_id) for entry in entries}) == len(entries)
        if not (has_one_each or (after is None and _are_apart(entries))):
            return stored
        known, paths = self._declared.declaration
        ready = self._mapper.ready(entries, paths, packed)
        batch = Batch(ready, after, known, repr(self._clock()), has_one_each, are_new)
        if self._key_space.buckets:
            BucketStoring(self._channel, self._key_space, batch).run(stored)
            return stored
        try:
            with self._channel.conversation() as conversation:
                _Storing(conversation, self._key_space, self._declared.key, batch).run(stored)
        except ConversationLost:
            pass  # the scripts start the server again, and see what is stored of what was sent
        return stored


def _are_apart(entries: Sequence[MemoryEntry]) -> bool:
    """Whether no two entries have one key."""
    return len({entry.key for entry in entries}) == len(entries)


class _Storing:
    """One call of ``store``."""

    def __init__(
        self, conversation: Conversation, key_space: KeySpace, declared_key: str, batch: Batch
    ) -> None:
        self._conversation = conversation
        self._key_space = key_space
        self._declared_key = declared_key
        self._batch = batch
        self._packer = EntryPacker(key_space.prefix, batch.now)

    def run(self, stored: list[bool]) -> None:
        """Store chunk by chunk, and note what is stored."""
        chunks = self._chunks()
        self._look_at(chunks[0])
        written: tuple[Sequence[int], Packed] | None = None
        for chunk, following in zip(chunks, [*islice(chunks, 1, None), ()], strict=True):
            packed = self._pack(chunk)
            replies = self._conversation.answers()
            looked = replies[-self._looks(chunk) :]
            if written is not None:
                self._note(stored, *written, replies[-self._looks(chunk) - 1])
            places = self._storable(chunk, looked)
            written = None
            if places:
                written = places, packed if len(places) == len(chunk) else self._pack(places)
                self._write(written[1])
            self._look_at(following)
        replies = self._conversation.answers()
        if written is not None:
            self._note(stored, *written, replies[-2])

    def _chunks(self) -> list[Sequence[int]]:
        """The places of the entries, those of an agent one after the other."""
        places: Sequence[int] = range(len(self._batch.ready))
        if not self._batch.has_one_each:
            groups = by_agent([ready.entry.key for ready in self._batch.ready])
            places = [place for _, some in groups for place in some]
        return [places[first : first + CHUNK] for first in range(0, len(places), CHUNK)]

    # -- looking ------------------------------------------------------------------------------

    def _looks(self, chunk: Sequence[int]) -> int:
        """How many answers a look at a chunk has."""
        if not chunk:
            return 1
        return 4 if self._batch.after is None else 4 + len(chunk)

    def _look_at(self, chunk: Sequence[int]) -> None:
        """Watch what a chunk depends on, and nothing else any more; ask for it."""
        if not chunk:
            self._conversation.send("unwatch", _UNWATCH, 1)
            return
        # In a bare pipeline, watching keys took the server a fifth of the time of storing entries.
        seen = chunk[:1] if self._batch.are_new else chunk
        keys = [*map(self._key, seen)]
        times = [] if self._batch.after is None else [*map(self._times, chunk)]
        request = [
            ("WATCH", self._declared_key, *keys, *times),
            *(("ZREVRANGE", key, 0, 0, "WITHSCORES") for key in times),
            ("GET", self._declared_key),
            ("EXISTS", *keys),
        ]
        packed = _UNWATCH + b"".join(map(packed_command, request))
        self._conversation.send("look", packed, 1 + len(request))

    def _times(self, place: int) -> str:
        entry = self._batch.ready[place].entry
        return self._key_space.prefix(entry.run_id, entry.agent_id) + "times"

    def _storable(self, chunk: Sequence[int], looked: Sequence[Any]) -> Sequence[int]:
        """The places of a chunk's entries that can be stored as they are."""
        _, watched, *_, declared, there = looked
        # What is not watched, by a user without the right, may change before it is written.
        if watched != b"OK" or there != 0 or (declared or b"") != self._batch.known.encode():
            return ()
        if self._batch.after is None:
            return chunk
        newest = looked[2:-2]
        return [
            place for place, found in zip(chunk, newest, strict=True) if self._is_next(place, found)
        ]

    def _is_next(self, place: int, found: Any) -> bool:
        """Whether an entry is later than its agent's latest, which the server has found."""
        assert self._batch.after is not None  # noqa: S101  # asked by the caller
        at = self._batch.ready[place].entry.timestamp
        if at <= self._batch.after[place] or type(found) is not list:
            return False
        try:
            return not found or float(found[1]) < at
        except (ValueError, TypeError, IndexError):
            return False

    # -- writing ------------------------------------------------------------------------------

    def _pack(self, places: Sequence[int]) -> Packed:
        return self._batch.transaction(places, self._packer, self._key_space)

    def _write(self, packed: Packed) -> None:
        self._conversation.send("write", packed.commands, len(packed.owners) + 2)

    def _note(
        self, stored: list[bool], places: Sequence[int], packed: Packed, outcome: Any
    ) -> None:
        """Note what a transaction has stored: all or nothing, unless keys are damaged."""
        if type(outcome) is not list or len(outcome) != len(packed.owners):
            return
        for place in places:
            stored[place] = True
        gone = self._batch.stored_in_part(places, packed, outcome)
        if gone:
            self._take_back(stored, gone)

    def _take_back(self, stored: list[bool], gone: Sequence[int]) -> None:
        """Remove what is stored in part, which must not pass for stored; the scripts say why."""
        for place in gone:
            stored[place] = False
        command = ("DEL", *map(self._key, gone))
        self._conversation.send("take back", packed_command(command), 1)
        self._conversation.answers()

    def _key(self, place: int) -> str:
        entry = self._batch.ready[place].entry
        return self._key_space.prefix(entry.run_id, entry.agent_id) + entry.memory_id
