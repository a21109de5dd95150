"""Validates the hashes of entries in a Redis tier: their fields, vectors, and places in indexes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent_memory.errors import CommandRefused, EncodingError, NewerFormat
from agent_memory.models.redis import hash_to_entry, index_places, step_of
from agent_memory.models.redis_attributes import spelled_attributes
from agent_memory.repositories.redis.attributes import DeclaredAttributes
from agent_memory.repositories.redis.inspection import Examined, Owner, TierInspection
from agent_memory.system.checking.validation import Validator
from agent_memory.values.check_report import Kind
from agent_memory.values.entry import EntryKey, MemoryEntry, Tier


@dataclass(frozen=True, slots=True)
class Validated:
    """An entry that was looked at, and what is wrong with it.

    Attributes:
        examined: What the tier holds of it.
        entry: The entry; None if it cannot be read.
        faults: What is wrong, each of a kind and in words.
    """

    examined: Examined
    entry: MemoryEntry | None
    faults: tuple[tuple[Kind, str], ...]


class EntryValidation:
    """Validates the entries of one Redis tier.

    Args:
        tier: Which tier.
        inspection: The tier, beneath its repository.
        validator: Validates vectors.

    Attributes:
        declared: The declared attributes, as they were when they were last learned.
        complete: Those of them that every entry is indexed by.
    """

    def __init__(self, tier: Tier, inspection: TierInspection, validator: Validator) -> None:
        self._tier = tier
        self._inspection = inspection
        self._validator = validator
        self.declared: tuple[str, ...] = ()
        self.complete: tuple[str, ...] = ()
        self.learn_declared()

    def learn_declared(self) -> None:
        """Learn which attributes are declared by now."""
        declared = DeclaredAttributes(self._inspection.channel, self._inspection.key_space, ())
        try:
            self.declared = declared.all_paths()
            complete = declared.complete()
        except CommandRefused:
            # A key of a wrong type, which is found with the keys.
            self.declared, complete = (), set[str]()
        self.complete = tuple(path for path in self.declared if path in complete)

    def examine(self, owner: Owner, ids: Sequence[str]) -> list[Validated]:
        """Look at entries of an agent, and validate them."""
        return self.validate(self._inspection.examine(owner, ids))

    def validate(self, examined: Sequence[Examined]) -> list[Validated]:
        """Validate entries as they were examined."""
        read = [self._read_or_fault(one) for one in examined]
        entries = [entry for entry, _ in read]
        there = [place for place, entry in enumerate(entries) if entry is not None]
        faults = [list(found) for _, found in read]
        vectors = self._validator.vectors([entry for entry in entries if entry is not None])
        for place, why in vectors.items():
            faults[there[place]].append((Kind.VECTOR, why))
        validated = []
        for one, entry, wrong in zip(examined, entries, faults, strict=True):
            more = () if entry is None else self._index_faults(one, entry)
            validated.append(Validated(one, entry, (*wrong, *more)))
        return validated

    def readable(self, fields: Mapping[bytes, bytes], one: Examined) -> MemoryEntry | None:
        """The entry of some fields; None if they make none, or another one than it should be."""
        try:
            entry = self._read(fields)
        except EncodingError:
            return None
        return entry if entry.key == _key_of(one) else None

    def _read_or_fault(
        self, one: Examined
    ) -> tuple[MemoryEntry | None, tuple[tuple[Kind, str], ...]]:
        try:
            entry = self._read(one.fields)
        except NewerFormat as error:
            return None, ((Kind.NEWER, str(error)),)
        except EncodingError as error:
            lacking = self._validator.lacks_code(one.fields.get(b"contents"))
            return None, () if lacking else ((Kind.UNREADABLE, str(error)),)
        if entry.key != _key_of(one):
            return None, ((Kind.UNREADABLE, f"it says it is {entry.key}"),)
        return entry, ()

    def _read(self, fields: Mapping[bytes, bytes]) -> MemoryEntry:
        contents = self._validator.codec.decode(fields.get(b"contents", b""), step_of(fields))
        return hash_to_entry(fields, contents)

    def _index_faults(self, one: Examined, entry: MemoryEntry) -> Iterator[tuple[Kind, str]]:
        """What is wrong with an entry's level, and with its places in indexes."""
        if self._tier is Tier.STM and entry.compression_level != 0:
            yield Kind.LEVEL, f"compression level {entry.compression_level} in place of 0"
        wanted = index_places(entry)
        for name in sorted({*wanted, *one.places}):
            found, right = one.places.get(name), wanted.get(name)
            if found != right:
                yield Kind.INDEX, f"{name}: {_score(found)} in place of {_score(right)}"
        if not self._attributes_fit(one, entry):
            yield Kind.ATTRIBUTES, "declared attributes are not those of its contents"
        for stored in one.attributes:
            right = entry.timestamp if stored.score == "-" else float(stored.score)
            if stored.stored != stored.value or not stored.place or float(stored.place) != right:
                yield Kind.ATTRIBUTES, f"{stored.index}: {stored.place or 'missing'}"

    def _attributes_fit(self, one: Examined, entry: MemoryEntry) -> bool:
        stored = _spelled(one.fields.get(b"attributes", b"").decode("ascii", "replace"))
        needed = _spelled(spelled_attributes(entry.contents, self.complete))
        possible = _spelled(spelled_attributes(entry.contents, self.declared))
        return needed <= stored <= possible


def _key_of(one: Examined) -> EntryKey:
    return EntryKey(one.owner.run_id, one.owner.agent_id, one.memory_id)


def _spelled(attributes: str) -> set[tuple[str, ...]]:
    words = attributes.split()
    return {tuple(words[first : first + 4]) for first in range(0, len(words), 4)}


def _score(score: float | None) -> str:
    return "missing" if score is None else repr(score)
