"""Contents as the code of one version stores them: its mark, a message, values beside it, a sum.

    mark of the version | message | checksum, 1 byte
    mark of the version | message and values (``beside``) | checksum, 4 bytes

The checksum is a CRC-32 of the coded contents and of all that they are read with: step, code and
vector. A code leaves little in its messages that could tell a flipped bit, and a whole sum of four
bytes would be a third of many: a message alone has one byte of it.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_memory.compression.beside import joined, packed_values, parted, values_of
from agent_memory.compression.fitted.code import PREDICTED, ContentsCode
from agent_memory.compression.fitted.lanes import FEWEST_READ
from agent_memory.compression.fitted.lanes_decoding import decode_many, modes_of
from agent_memory.compression.fitted.lanes_encoding import encode_with_shapes
from agent_memory.errors import EncodingError
from agent_memory.values.coded import (
    CodeBounds,
    CodedContents,
    is_with_values,
    marked,
    unmarked,
)
from agent_memory.values.contents import pack
from agent_memory.values.paths import value_at

MARK_BYTES = 1 + 1
"""What is put around the message of a code: the mark of a version below 125, and a checksum."""

MOST_VALUES = 64 * 1024 * 1024
"""How many bytes values beside a message may have, unless the configuration lets larger ones in."""

_CHECKSUM_BYTES, _CHECKSUM_BYTES_BESIDE = 1, 4

Vector = NDArray[np.float32]


class Row(NamedTuple):
    """Contents as they are stored, and the place of their shape."""

    stored: bytes
    shape: int


class Stored(NamedTuple):
    """Stored contents, and what they are read with."""

    contents: bytes
    step: int
    vector: Vector | None
    """The vector that rests beside them, of shape (dim,)."""


class ValueThere(NamedTuple):
    """The value at a path of contents, ``ABSENT`` where there is none, and their bounds."""

    value: Any
    bounds: CodeBounds | None

    @classmethod
    def of(cls, contents: Mapping[str, Any], path: str) -> ValueThere:
        """That of contents."""
        bounds = contents.bounds or None if isinstance(contents, CodedContents) else None
        return cls(value_at(contents, path), bounds)


class _Parts(NamedTuple):
    """Stored contents taken apart."""

    coded: bytes
    """All but the mark and the checksum."""
    message: bytes
    values: bytes | None
    """The bytes of the values beside the message; None: there are none."""
    checksum: bytes


@dataclass(frozen=True, eq=False)
class VersionCode:
    """The code of a version.

    Attributes:
        version: The version.
        code: Its code.
        digest: The CRC-32 of the bytes that the code was read from.
    """

    version: int
    code: ContentsCode
    digest: int

    def encode(
        self,
        contents: Mapping[str, Any],
        step: int,
        level: int,
        vector: Vector | None,
        *,
        unmoved: bool = False,
    ) -> Row | None:
        """Code contents.

        Args:
            contents: The contents.
            step: The entry's step.
            level: 1 or 2.
            vector: The vector that they are coded beside, of shape (dim,); None: beside none.
            unmoved: Whether numbers that the code would change are stored exactly.

        Returns:
            The row; None if the code does not know their shape.

        Raises:
            InvalidEntry: A value cannot be stored.
        """
        apart = self.code.take_apart(contents)
        if apart is None:
            return None
        place, leaves = apart
        predicted, own = self.code.predicted(place, vector, level), list[Any]()
        message = self.code.encode_leaves(place, leaves, step, level, predicted, own)
        if unmoved:
            found = self.code.read(self.code.head(message), step, vector, own)
            moved = self._moved(leaves, found)
            if moved:
                own.clear()
                message = self.code.encode_leaves(place, leaves, step, level, predicted, own, moved)
        return self._row(place, message, own, step, level, vector)

    def _moved(self, leaves: Sequence[Any], found: Mapping[str, Any]) -> frozenset[int]:
        """The places of leaves that came back otherwise; a NaN, which is never itself, too."""
        apart = self.code.take_apart(found)
        if apart is None:
            raise EncodingError("the code of contents does not know what it gave back")
        pairs = zip(leaves, apart[1], strict=True)
        return frozenset(
            place
            for place, (was, is_now) in enumerate(pairs)
            if isinstance(was, (float, np.floating)) and was != is_now
        )

    def encode_many(
        self,
        contents: Sequence[Mapping[str, Any]],
        steps: Sequence[int],
        level: int,
        vectors: Sequence[Vector] | None,
        *,
        unmoved: bool = False,
    ) -> list[Row | None]:
        """The same for many of one level, all beside vectors or none."""
        if unmoved:
            return self._encode_unmoved(contents, steps, level, vectors)
        own: list[list[Any]] = [[] for _ in contents]
        beside = None if vectors is None else np.array(vectors, np.float32)
        messages = encode_with_shapes(self.code, contents, steps, level, beside, own)
        vector_of = [None] * len(contents) if vectors is None else vectors
        return [
            None if message is None else self._row(*message, values, step, level, vector)
            for message, values, step, vector in zip(messages, own, steps, vector_of, strict=True)
        ]

    def _encode_unmoved(
        self,
        contents: Sequence[Mapping[str, Any]],
        steps: Sequence[int],
        level: int,
        vectors: Sequence[Vector] | None,
    ) -> list[Row | None]:
        """Code many, and those again whose numbers would move: they are few."""
        rows = self.encode_many(contents, steps, level, vectors)
        beside: Sequence[Vector | None] = [None] * len(rows) if vectors is None else vectors
        coded = [(place, row) for place, row in enumerate(rows) if row is not None]
        stored = [Stored(row.stored, steps[place], beside[place]) for place, row in coded]
        for (place, _), found in zip(coded, self.decode_many(stored, MOST_VALUES), strict=True):
            # By their bytes: arrays have no truth when they are compared, and a NaN is not itself.
            if isinstance(found, EncodingError) or pack(found) != pack(contents[place]):
                rows[place] = self.encode(
                    contents[place], steps[place], level, beside[place], unmoved=True
                )
        return rows

    def decode(self, stored: Stored, most: int) -> CodedContents:
        """Give contents back.

        Args:
            stored: What is stored of them.
            most: How many bytes the values beside their message may have.

        Raises:
            EncodingError: The bytes are damaged.
        """
        parts = _parts_of(stored.contents)
        head = self.code.head(parts.message)
        if not self._is_whole(parts, stored, is_beside_vector=head.is_beside_vector):
            raise EncodingError(
                "stored contents cannot be read (their checksum, which is also of step, vector "
                "and code, differs)"
            )
        own = () if parts.values is None else values_of(parts.values, most)
        contents = self.code.read(head, stored.step, stored.vector, own)
        bounds = self.code.bounds(head.place, head.level)
        beside = head.is_beside_vector
        return CodedContents(contents, self.version, head.level, bounds, beside_vector=beside)

    def decode_many(
        self, stored: Sequence[Stored], most: int
    ) -> list[CodedContents | EncodingError]:
        """The same for many; those that cannot be read are the errors that ``decode`` raises."""
        return self._read_many(stored, most, None)

    def values_at(
        self, stored: Sequence[Stored], path: str, most: int
    ) -> list[ValueThere | CodedContents | EncodingError]:
        """The values at a path of many contents, of which nothing else is made.

        Whole contents of those that have to be read by themselves.
        """
        return self._read_many(stored, most, path)

    def _read_many(self, stored: Sequence[Stored], most: int, path: str | None) -> list[Any]:
        found: list[Any] = [None] * len(stored)
        if len(stored) >= FEWEST_READ and self.code.shapes:
            found = self._decode_lanes(stored, most, path)
        return [
            self._decoded_alone(one, most) if known is None else known
            for one, known in zip(stored, found, strict=True)
        ]

    def _decoded_alone(self, stored: Stored, most: int) -> CodedContents | EncodingError:
        try:
            return self.decode(stored, most)
        except EncodingError as error:
            return error

    def _decode_lanes(self, stored: Sequence[Stored], most: int, path: str | None) -> list[Any]:
        """Many at once; None for those that are to be read alone, where they say what is wrong."""
        found: list[Any] = [None] * len(stored)
        chosen, messages, values = self._whole(stored, most)
        if not chosen:
            return found
        beside = np.zeros((len(chosen), self.code.vector_dim), np.float32)
        for lane, (place, mode) in enumerate(chosen):
            if mode == PREDICTED:
                beside[lane] = stored[place].vector
        steps = [stored[place].step for place, _ in chosen]
        vectors = beside if self.code.vector_dim else None
        done = decode_many(self.code, messages, steps, vectors, values, path)
        for (place, mode), one in zip(chosen, done, strict=True):
            if isinstance(one, EncodingError):
                continue
            given, shape, level = one
            bounds = self.code.bounds(shape, level)
            found[place] = (
                CodedContents(given, self.version, level, bounds, beside_vector=mode == PREDICTED)
                if path is None
                else ValueThere(given, bounds or None)
            )
        return found

    def _whole(
        self, stored: Sequence[Stored], most: int
    ) -> tuple[list[tuple[int, int]], list[bytes], list[list[Any]]]:
        """Those that are whole: places and modes, messages, and the values beside them."""
        readable = []
        for place, one in enumerate(stored):
            try:
                parts = _parts_of(one.contents)
                own = [] if parts.values is None else values_of(parts.values, most)
            except EncodingError:
                continue
            readable.append((place, parts, own))
        modes = modes_of(self.code, [parts.message for _, parts, _ in readable])
        whole = [
            (place, mode, parts, own)
            for (place, parts, own), mode in zip(readable, modes, strict=True)
            if self._is_whole(parts, stored[place], is_beside_vector=mode == PREDICTED)
        ]
        return (
            [(place, mode) for place, mode, _, _ in whole],
            [parts.message for _, _, parts, _ in whole],
            [own for _, _, _, own in whole],
        )

    def _row(
        self,
        place: int,
        message: bytes,
        values: Sequence[Any],
        step: int,
        level: int,
        vector: Vector | None,
    ) -> Row:
        coded = joined(message, packed_values(values), level) if values else message
        width = _CHECKSUM_BYTES_BESIDE if values else _CHECKSUM_BYTES
        checksum = self._checksum(coded, step, vector)[:width]
        return Row(marked(self.version, coded + checksum, with_values=bool(values)), place)

    def _is_whole(self, parts: _Parts, stored: Stored, *, is_beside_vector: bool) -> bool:
        vector = stored.vector if is_beside_vector else None
        if is_beside_vector and (vector is None or vector.shape != (self.code.vector_dim,)):
            return False
        expected = self._checksum(parts.coded, stored.step, vector)
        return parts.checksum == expected[: len(parts.checksum)]

    def _checksum(self, coded: bytes, step: int, vector: Vector | None) -> bytes:
        crc = zlib.crc32(b"%d" % step, zlib.crc32(coded, self.digest))
        if vector is not None:
            crc = zlib.crc32(vector.astype("<f4", copy=False).tobytes(), crc)
        return crc.to_bytes(_CHECKSUM_BYTES_BESIDE, "little")


def _parts_of(stored: bytes) -> _Parts:
    """Take stored contents apart.

    Raises:
        EncodingError: Only their beginning is there.
    """
    _, rest = unmarked(stored)
    if not is_with_values(stored):
        coded = rest[:-_CHECKSUM_BYTES]
        return _Parts(coded, coded, None, rest[-_CHECKSUM_BYTES:])
    coded = rest[:-_CHECKSUM_BYTES_BESIDE]
    return _Parts(coded, *parted(coded), rest[-_CHECKSUM_BYTES_BESIDE:])
