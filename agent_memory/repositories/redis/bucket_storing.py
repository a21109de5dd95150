"""Stores many new entries on a cluster by plain commands: a transaction for each bucket.

All keys of a transaction are of one slot there, so that each bucket has its own, and all of them go
to their servers in one request. Nothing is looked at before: what a transaction depends on is
watched, and a script looks whether all is as usual. Where it is not, the script writes the watched
declaration as it is, which ends the watch: the server writes nothing of that bucket, and it is
left to the scripts that store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from agent_memory.connections.redis.answers import is_number
from agent_memory.connections.redis.blocks import Block, Blocks
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.commands import packed_command
from agent_memory.connections.redis.script import Script
from agent_memory.repositories.redis.calls import Group, by_agent
from agent_memory.repositories.redis.keys import Agent, KeySpace
from agent_memory.repositories.redis.packing import EntryPacker, Packed
from agent_memory.repositories.redis.store_batch import Batch

CHUNK = 100
"""How many entries a transaction stores at most: the server does nothing else meanwhile."""

AT_ONCE = 2_000
"""How many entries a request stores, about: their bytes are in memory."""

GUARD = Script(
    """
local declared = redis.call('GET', KEYS[1])
local usual = (declared or '') == ARGV[1]
local last = 1 + tonumber(ARGV[2])
for i = 2, last do
  if redis.call('EXISTS', KEYS[i]) == 1 then usual = false end
end
for i = last + 1, #KEYS do
  local newest = redis.call('ZREVRANGE', KEYS[i], 0, 0, 'WITHSCORES')
  if newest[2] and tonumber(newest[2]) >= tonumber(ARGV[i - last + 2]) then usual = false end
end
if usual then return 1 end
redis.call('SET', KEYS[1], declared or '')
if not declared then redis.call('DEL', KEYS[1]) end
return 0
""",
    answers=is_number,
)
"""Ends the watch of a bucket's declaration, unless all is as the caller takes it to be.

KEYS: the declaration, keys where nothing may be stored, sorted sets of times. ARGV: the declaration
that the caller knows, how many keys of the second kind there are, then for each of the times what
all of them must be below. Gives 1 (all is so) or 0.
"""


class _Part(NamedTuple):
    """Entries of a bucket that one transaction stores.

    Attributes:
        bucket: Its keys.
        places: Of the entries, those of an agent one after the other.
    """

    bucket: KeySpace
    places: Sequence[int]


class BucketStoring:
    """Stores the entries of one call.

    Args:
        channel: The cluster.
        key_space: The tier's keys.
        batch: The entries.
    """

    def __init__(self, channel: RedisChannel, key_space: KeySpace, batch: Batch) -> None:
        self._channel = channel
        self._key_space = key_space
        self._batch = batch
        self._packer = EntryPacker(key_space.prefix, batch.now)

    def run(self, stored: list[bool]) -> None:
        """Store what is new and as usual, and note what is stored."""
        for parts in _requests(self._parts()):
            transactions: dict[int, Packed] = {}

            def packed(
                number: int, parts: Sequence[_Part] = parts, known: dict[int, Packed] = transactions
            ) -> Block:
                known[number] = self._transaction(parts[number])
                return self._guarded(parts[number], known[number])

            keys = [part.bucket.declarations[0] for part in parts]
            replies = self._channel.send_blocks(Blocks(GUARD, keys, packed))
            for number, (part, answers) in enumerate(zip(parts, replies, strict=True)):
                if answers:
                    self._note(stored, part, transactions[number], answers)

    def _parts(self) -> Iterator[_Part]:
        """All entries that may be as usual, by bucket."""
        places_of: dict[str, list[int]] = {}
        for agent, places in self._agents():
            places_of.setdefault(self._key_space.place(*agent), []).extend(places)
        for name, places in places_of.items():
            usual = [place for place in places if self._may_be_next(place)]
            for first in range(0, len(usual), CHUNK):
                yield _Part(KeySpace(name), usual[first : first + CHUNK])

    def _agents(self) -> Iterable[Group]:
        """The agents, and the places of the entries of each."""
        entries = [ready.entry for ready in self._batch.ready]
        if not self._batch.has_one_each:
            return by_agent([entry.key for entry in entries])
        return ((Agent(it.run_id, it.agent_id), (place,)) for place, it in enumerate(entries))

    def _may_be_next(self, place: int) -> bool:
        """Whether an entry is later than its agent's latest elsewhere."""
        after = self._batch.after
        return after is None or self._batch.ready[place].entry.timestamp > after[place]

    def _transaction(self, part: _Part) -> Packed:
        # While a slot moves, what is of two servers is refused. So is the guard where the
        # declaration has gone, or there is none; then so must be what it guards.
        needed = part.bucket.declarations[:1]
        return self._batch.transaction(part.places, self._packer, part.bucket, needed)

    def _guarded(self, part: _Part, transaction: Packed) -> Block:
        """A transaction behind what it depends on."""
        batch = self._batch
        entries = [batch.ready[place].entry for place in part.places]
        hashes = [] if batch.are_new else self._key_space.names(entry.key for entry in entries)
        times, below = [], []
        if batch.after is not None:
            for entry in entries:
                times.append(f"{part.bucket.prefix(entry.run_id, entry.agent_id)}times")
                below.append(repr(float(entry.timestamp)))
        keys = [part.bucket.declarations[0], *hashes, *times]
        guard = ("EVALSHA", GUARD.digest, len(keys), *keys, batch.known, len(hashes), *below)
        before = packed_command(("WATCH", *keys)) + packed_command(guard)
        return Block(before + transaction.commands, len(transaction.owners) + 4)

    def _note(
        self, stored: list[bool], part: _Part, transaction: Packed, answers: Sequence[Any]
    ) -> None:
        """Note what a transaction has stored: all or nothing, unless keys are damaged."""
        watched, guarded, outcome = answers[0], answers[1], answers[-1]
        if type(outcome) is not list or len(outcome) != len(transaction.owners):
            return
        gone = self._batch.stored_in_part(part.places, transaction, outcome)
        if watched != b"OK" or guarded != 1:
            gone = [*part.places]  # stored unguarded, as by a user who may not watch
        for place in part.places:
            stored[place] = True
        for place in gone:
            stored[place] = False
        # Where the guard was refused, so may be the scripts: what was there must not be lost.
        if gone and (self._batch.are_new or type(guarded) is int):
            # What is stored in part must not pass for stored; the scripts say why.
            keys = self._key_space.names(self._batch.ready[place].entry.key for place in gone)
            self._channel.call("DEL", *keys)


def _requests(parts: Iterator[_Part]) -> Iterator[list[_Part]]:
    """The parts, as many together as one request is to store."""
    some: list[_Part] = []
    count = 0
    for part in parts:
        some.append(part)
        count += len(part.places)
        if count >= AT_ONCE:
            yield some
            some, count = [], 0
    if some:
        yield some
