"""Validates entries that were read: their vectors, and why one cannot be read."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from agent_memory.compression.levels import ContentsCodec
from agent_memory.embeddings.encoder import Encoder
from agent_memory.embeddings.int8_grid import on_int8_grid
from agent_memory.embeddings.own import OwnSpace
from agent_memory.embeddings.ranking import with_bias
from agent_memory.embeddings.registry import UNTRAINED
from agent_memory.errors import EncodingError, InvalidEntry, MemoryStoreError
from agent_memory.system.encoder_in_use import CurrentEncoder
from agent_memory.values.coded import CodedContents, code_named_by
from agent_memory.values.entry import MemoryEntry

# Machines differ in the last places of a product, and the int8 grid by one step of 127.
_SAME = 0.999  # the cosine of a vector and of what its encoder makes of the same contents


class Validator:
    """Validates entries of one memory.

    Args:
        encoder: The versions of the encoder and their codes.
        max_bytes: How large contents may be.
    """

    def __init__(self, encoder: CurrentEncoder, max_bytes: int) -> None:
        self._encoder = encoder
        # As the tiers read: what is readable there is no fault here.
        self.codec = ContentsCodec(codes=encoder.codes, most_read=max_bytes)
        self._in_use: set[int] = set()
        self.without_encoder: Counter[int] = Counter()
        """How many entries were met whose vector names a version that is not there."""
        self.without_code: Counter[int] = Counter()
        """How many entries were met whose contents need a code that is not there."""

    def lacks_code(self, contents: object) -> bool:
        """Whether stored contents cannot be read because their version's code is not there.

        That is no fault of the entry, which stays as it is; it is counted.
        """
        try:
            version = code_named_by(contents) if isinstance(contents, bytes) else None
        except EncodingError:
            return False
        if version is None or version not in self._known_versions():
            return False  # a number that is damaged itself names no version
        try:
            self._encoder.codes.code(version)
        except EncodingError:
            self.without_code[version] += 1
            return True
        return False

    def _known_versions(self) -> set[int]:
        return {record.version for record in self._encoder.versions.records()}

    def vectors(self, entries: Sequence[MemoryEntry]) -> dict[int, str]:
        """What is wrong with vectors, by the place of their entries among those given."""
        wrong: dict[int, str] = {}
        self._note_widths(entries)
        groups: defaultdict[int, list[int]] = defaultdict(list)
        for place, entry in enumerate(entries):
            version = _version_of_vector(entry)
            if version != entry.encoder_version:
                wrong[place] = f"one of version {version}, as its contents say, but named another"
            elif entry.embedding is not None and entry.encoder_version is not None:
                groups[entry.encoder_version].append(place)
        for version, places in groups.items():
            encoder = self._encoder.registry.encoder(version)
            if encoder is None:
                self.without_encoder[version] += len(places)
            else:
                wrong |= self._of_encoder(encoder, entries, places)
        return wrong

    def _of_encoder(
        self, encoder: Encoder, entries: Sequence[MemoryEntry], places: Sequence[int]
    ) -> dict[int, str]:
        wrong: dict[int, str] = {}
        comparable = []
        for place in places:
            fault = self._width_fault(entries[place], encoder)
            if fault:
                wrong[place] = fault
            # Of a model of the user's own nobody knows what it was given.
            elif fault is None and _is_exact(entries[place]) and not isinstance(encoder, OwnSpace):
                comparable.append(place)
        made = _made(encoder, [entries[place] for place in comparable])
        for place, vector in zip(comparable, made, strict=True):
            if vector is not None and not _is_same(encoder, entries[place], vector):
                wrong[place] = "not what its encoder makes of its contents"
        return wrong

    def _note_widths(self, entries: Sequence[MemoryEntry]) -> None:
        untrained = self._encoder.registry.encoder(UNTRAINED)
        for entry in entries:
            if entry.encoder_version == UNTRAINED and entry.embedding is not None and untrained:
                level = entry.compression_level
                if len(entry.embedding) == untrained.widths.at(level):
                    self._in_use.add(level)

    def _width_fault(self, entry: MemoryEntry, encoder: Encoder) -> str | None:
        """What is wrong with a vector's width; empty if it may be that of another configuration.

        The version that needs no training makes vectors as wide as each process is configured.
        """
        width, level = encoder.widths.at(entry.compression_level), entry.compression_level
        found = 0 if entry.embedding is None else len(entry.embedding)
        if found == width:
            return None
        known = entry.encoder_version != UNTRAINED or found in (*encoder.widths,)
        return f"{found} numbers in place of {width}" if known or level in self._in_use else ""

    def with_new_vector(self, entry: MemoryEntry) -> MemoryEntry | None:
        """The entry with a new vector; None if none can be made.

        Of the version it names, if that is registered, else of the version in use. If only the
        name of the version is wrong, that is corrected. In place of a vector that was given it gets
        one of the version in use, unless its model is at hand.
        """
        version = _version_of_vector(entry)
        if version != entry.encoder_version:
            return replace(entry, encoder_version=version)
        if version is None or self._encoder.registry.encoder(version) is None:
            version = self._encoder.registry.current.version
        made = self._made_by(version, entry)
        if made is None and self._encoder.registry.is_own(version):
            made = self._made_by(self._encoder.registry.current.version, entry)
        return made

    def _made_by(self, version: int, entry: MemoryEntry) -> MemoryEntry | None:
        bare = replace(entry, embedding=None, encoder_version=None)
        try:
            (made,) = self._encoder.compression.embed([bare], version)
        except MemoryStoreError:
            return None
        return made if made.encoder_version == version else None


def _version_of_vector(entry: MemoryEntry) -> int | None:
    """The version of an entry's vector, as its contents say, or else as the entry names it."""
    contents = entry.contents
    if isinstance(contents, CodedContents) and contents.beside_vector:
        return contents.version
    return entry.encoder_version


def _is_exact(entry: MemoryEntry) -> bool:
    return not isinstance(entry.contents, CodedContents) and not entry.error_bounds


def _made(encoder: Encoder, entries: Sequence[MemoryEntry]) -> list[NDArray[np.float32] | None]:
    """What an encoder makes of entries, as wide as their levels; None where it makes nothing."""
    if not entries:
        return []
    try:
        vectors = encoder.encode([entry.contents for entry in entries])
    except InvalidEntry:
        if len(entries) == 1:
            return [None]
        return [vector for entry in entries for vector in _made(encoder, [entry])]
    return [
        _at_level(encoder, vector, entry.compression_level)
        for entry, vector in zip(entries, vectors, strict=True)
    ]


def _at_level(encoder: Encoder, vector: NDArray[np.float32], level: int) -> NDArray[np.float32]:
    carried = encoder.carry(vector, encoder.widths.at(level))
    return on_int8_grid(carried) if level == 2 else carried


def _is_same(encoder: Encoder, entry: MemoryEntry, made: NDArray[np.float32]) -> bool:
    """Whether a vector is the one that was made, as far as similarity can tell."""
    if entry.embedding is None:
        return True
    both = np.stack([entry.embedding, made]).astype(np.float64)
    one, other = with_bias(both, encoder.bias(len(made)))
    lengths = float(np.sqrt(one @ one) * np.sqrt(other @ other))
    if not lengths:
        return not one.any() and not other.any()
    return bool(one @ other >= _SAME * lengths)
