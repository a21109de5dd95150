"""Entries to the values of their hashes and back, with their contents coded and decoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from agent_memory.connections.redis.answers import values_of
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.commands import Command, KeyedCommand
from agent_memory.errors import EncodingError
from agent_memory.models.redis import (
    STORED,
    Value,
    entry_to_values,
    read_vectors,
    values_to_entry,
    vector_bytes,
)
from agent_memory.models.redis_attributes import spelled_attributes
from agent_memory.models.redis_many_hashes import values_to_entries
from agent_memory.repositories.access import note_read
from agent_memory.repositories.codec import Codec
from agent_memory.repositories.redis.attributes import DeclaredAttributes
from agent_memory.repositories.redis.calls import AT_ONCE
from agent_memory.repositories.redis.packing import Ready
from agent_memory.values.entry import MemoryEntry, Tier
from agent_memory.values.formats import at
from agent_memory.values.sealing import sealed

Values = Sequence[bytes | None]
"""The values of ``STORED`` in a hash, None for those that it lacks."""

_READ = KeyedCommand("HMGET", *STORED, answers=values_of(len(STORED)))
_STEP, _CONTENTS, _EMBEDDING = map(STORED.index, ("step_number", "contents", "embedding"))


class HashMapper:
    """Turns the entries of a tier into what scripts take, and what is read into entries.

    Args:
        channel: The server.
        codec: Codes contents.
        declared: The declared attributes.
        tier: The tier, for messages.
    """

    def __init__(
        self, channel: RedisChannel, codec: Codec, declared: DeclaredAttributes, tier: Tier
    ) -> None:
        self._channel = channel
        self._codec = codec
        self._declared = declared
        self._tier = tier

    def encode(self, entry: MemoryEntry, contents: bytes | None = None) -> list[Value]:
        """The values of an entry, as scripts take them.

        Args:
            entry: The entry.
            contents: Its contents, coded; None: they are coded here.

        Raises:
            InvalidEntry: It cannot be stored.
        """
        coded = self._codec.encode(entry) if contents is None else contents
        attributes = spelled_attributes(entry.contents, self._declared.paths)
        return entry_to_values(entry, coded, attributes)

    def encode_many(self, entries: Sequence[MemoryEntry]) -> list[list[Value]]:
        """The same for many."""
        coded = self._codec.encode_many(entries)
        return [self.encode(*one) for one in zip(entries, coded, strict=True)]

    def ready(
        self,
        entries: Sequence[MemoryEntry],
        paths: Sequence[str],
        packed: Sequence[bytes] | None = None,
    ) -> list[Ready]:
        """Entries ready to be packed, with the attributes of some declared paths.

        Args:
            entries: The entries; at level 0, which is exact, where their contents are packed.
            paths: The declared paths.
            packed: What ``contents.pack`` made of the contents of each; None: they are coded here.

        Raises:
            InvalidEntry: One cannot be stored.
        """
        coded = self._codec.encode_many(entries) if packed is None else [*map(sealed, packed)]
        return [
            Ready(entry, contents, spelled_attributes(entry.contents, paths) if paths else "")
            for entry, contents in zip(entries, coded, strict=True)
        ]

    def load(self, names: Iterable[str]) -> list[MemoryEntry]:
        """The entries under some keys of hashes; those that are not there are left out.

        Raises:
            EncodingError: One is damaged.
            StoreUnavailable: The server does not answer.
        """
        return self.decode_many(self.read(names))

    def load_in_parts(
        self, prefix: str, names: Sequence[str], limit: int | None
    ) -> Iterator[MemoryEntry]:
        """The entries of some ids, as far as they are asked for: so many are sought; None: all."""
        size = AT_ONCE if limit is None else min(max(limit, 20), AT_ONCE)
        for first in range(0, len(names), size):
            yield from self.load(prefix + name for name in names[first : first + size])

    def read(self, names: Iterable[str]) -> list[Values]:
        """The values under some keys of hashes, all None where there is none."""
        return self._channel.call_all(reading("", names))

    def decode_many(self, replies: Iterable[Values]) -> list[MemoryEntry]:
        """The entries of what was read; see ``load``."""
        there = [values for values in replies if any(values)]
        note_read(len(there))
        vectors = read_vectors([values[_EMBEDDING] for values in there])
        steps = [self._step_of(values) for values in there]
        contents = self._codec.decode_many([values[_CONTENTS] or b"" for values in there], steps)
        for values, one in zip(there, contents, strict=True):
            if isinstance(one, EncodingError):
                raise self._damage(values, one) from one
        return values_to_entries(there, contents, vectors)  # type: ignore[arg-type]  # errors were raised

    def decode(self, values: Values) -> MemoryEntry:
        """The entry of the values of a hash.

        Raises:
            EncodingError: It is damaged.
        """
        step = self._step_of(values)
        try:
            contents = self._codec.decode(values[_CONTENTS] or b"", step)
        except EncodingError as error:
            raise self._damage(values, error) from error
        return values_to_entry(values, contents)

    def _step_of(self, values: Values) -> int:
        try:
            return int(values[_STEP] or "lacks")
        except ValueError as error:
            raise self._damage(values, error) from error

    def _damage(self, values: Values, error: Exception) -> EncodingError:
        name = (values[0] or b"?").decode("ascii", "replace")
        place = f"entry {name} in {self._tier.name}"
        if isinstance(error, EncodingError):
            return at(place, error)
        return EncodingError(f"{place}: {error}")


def as_replaced(entry: MemoryEntry, reply: Sequence[Any], tier: Tier) -> MemoryEntry:
    """An entry as it was stored in place of another, by what the script answers.

    Raises:
        EncodingError: What was stored before is damaged.
    """
    try:
        count, accessed = reply
        return replace(
            entry,
            revision=entry.revision + 1,
            retrieval_count=int(count),
            last_access_time=float(accessed),
        )
    except ValueError as error:
        raise EncodingError(
            f"entry {entry.memory_id} in {tier.name}: its hash was damaged ({error!r})"
        ) from error


def reading(prefix: str, names: Iterable[str]) -> list[Command]:
    """The commands that read the hashes of some entries of an agent."""
    return [_READ(prefix + name) for name in names]


def vector_values(entry: MemoryEntry) -> list[Value]:
    """The vector and the encoder version of an entry, empty for none."""
    version = entry.encoder_version
    return [vector_bytes(entry.embedding), "" if version is None else version]
