"""How contents become the bytes of a tier, and back.

Where a code has been fitted to contents (``coding``), levels 1 and 2 are coded by it, within the
bounds that it tells. Else contents are coded exactly, and the level says how hard their bytes are
squeezed:

* level 0: MessagePack with a checksum (``sealing``);
* level 1: the same, or MessagePack through zstd, with zstd's own, where that is smaller;
* level 2: the same, with more effort (beyond zstd level 9 the time rises tenfold and a state
  of 2 KB shrinks by another 0.3 %).

The first byte tells which: MessagePack maps and sealed ones begin at 0x80, a squeezed one is marked
by 0x01, and what lies between names the version of a code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from agent_memory.compression.codes import Coded, Codes, Uncoded
from agent_memory.compression.lowering import LevelVectors
from agent_memory.compression.rows import Stored, ValueThere
from agent_memory.compression.squeezing import WORTH_TRYING, squeeze, unsqueeze
from agent_memory.config import AutoencoderConfig
from agent_memory.embeddings.encoder import Encoder
from agent_memory.embeddings.own import OwnSpace
from agent_memory.embeddings.registry import EncoderRegistry
from agent_memory.embeddings.widths import Widths
from agent_memory.errors import EncodingError
from agent_memory.values.coded import CodedContents, check_further, is_coded
from agent_memory.values.contents import pack, pack_many, unpack, unpack_many
from agent_memory.values.entry import MemoryEntry
from agent_memory.values.sealing import SEAL_BYTES, sealed, unsealed

_SQUEEZED = 0x01
_PACKED_FROM = 0x80
_PACKED = bytes([_PACKED_FROM])

_fields_of = attrgetter(*MemoryEntry.__slots__)
_LEVEL, _EMBEDDING = map(MemoryEntry.__slots__.index, ("compression_level", "embedding"))

MOST_UNSQUEEZED = 64 * 1024 * 1024
"""How many bytes squeezed contents may have, unless the configuration lets larger ones in: a row of
a few bytes could claim any number."""


class ContentsCodec:
    """Codes contents; the ``Codec`` of all tiers.

    Args:
        max_entry_bytes: Refuse contents that need more bytes than this, unsqueezed.
        codes: The codes that were fitted; None: all is coded exactly.
        most_read: How many bytes contents that are read may have, if that is more than
            ``MOST_UNSQUEEZED``.
        beside_vectors: Whether an entry's vector rests unchanged beside its contents as long as
            those do, and is there when they are read: what it predicts is then not stored again.
    """

    def __init__(
        self,
        max_entry_bytes: int | None = None,
        codes: Codes | None = None,
        most_read: int = 0,
        *,
        beside_vectors: bool = False,
    ) -> None:
        self._max_entry_bytes = max_entry_bytes
        self._most_read = max(most_read, max_entry_bytes or 0, MOST_UNSQUEEZED)
        self._codes = codes or Codes()
        self._beside_vectors = beside_vectors

    def encode(self, entry: MemoryEntry) -> bytes:
        """Encode an entry's contents at its compression level.

        Raises:
            InvalidEntry: A value cannot be stored, or all are too large.
            EncodingError: The code that contents came from cannot be read any more.
        """
        coded = None
        if _may_be_coded(entry):
            coded = self._codes.encode(self._uncoded(entry))
        return self._shorter(entry, coded)

    def encode_many(self, entries: Sequence[MemoryEntry]) -> list[bytes]:
        """The same for many, in a fraction of the time."""
        wanted = [entry for entry in entries if _may_be_coded(entry)]
        messages = self._codes.encode_many([*map(self._uncoded, wanted)])
        coded = dict(zip(map(id, wanted), messages, strict=True))
        exact = [entry for entry in entries if coded.get(id(entry)) is None]
        packed = iter(
            pack_many(
                (entry.contents for entry in exact),
                max_bytes=self._max_entry_bytes,
                shortest=(entry.compression_level > 0 for entry in exact),
            )
        )
        return [
            _squeezed(next(packed), entry.compression_level)
            if (message := coded.get(id(entry))) is None
            else self._shorter(entry, message)
            for entry in entries
        ]

    def decode(
        self, encoded: bytes, step: int, vector: NDArray[np.float32] | None = None
    ) -> dict[str, Any]:
        """Give back contents.

        Args:
            encoded: What ``encode`` gave.
            step: The entry's step.
            vector: The entry's vector, of shape (dim,); needed where it rests beside them.

        Raises:
            EncodingError: The bytes are damaged.
            NewerFormat: They were stored by a newer version.
        """
        if encoded and encoded[0] >= _PACKED_FROM:
            return unpack(unsealed(encoded))
        if is_coded(encoded):
            return self._codes.decode(encoded, step, vector, self._most_read)
        check_further(encoded)
        if encoded[:1] != bytes([_SQUEEZED]):
            raise EncodingError("stored contents cannot be read (unknown coding)")
        return unpack(unsqueeze(encoded[1:], self._most_read))

    def decode_many(
        self,
        encoded: Sequence[bytes],
        steps: Sequence[int],
        vectors: Sequence[NDArray[np.float32] | None] | None = None,
    ) -> list[dict[str, Any] | EncodingError]:
        """Give many contents back, in a fraction of the time.

        Args:
            encoded: What ``encode`` gave, of each.
            steps: The step of each entry.
            vectors: Its vector, of shape (dim,); needed where it rests beside them.

        Returns:
            For each its contents, or the error that ``decode`` raises.
        """
        if all(one[:1] >= _PACKED for one in encoded):
            exact = unpack_many(map(unsealed, encoded))
            if exact is not None:
                return [*exact]
        beside = [None] * len(encoded) if vectors is None else vectors
        places = [place for place, one in enumerate(encoded) if is_coded(one)]
        coded = self._codes.decode_many(
            [Stored(encoded[place], steps[place], beside[place]) for place in places],
            self._most_read,
        )
        found: list[dict[str, Any] | EncodingError | None] = [None] * len(encoded)
        for place, one in zip(places, coded, strict=True):
            found[place] = one
        return [
            self._decoded_alone(encoded[place], steps[place]) if one is None else one
            for place, one in enumerate(found)
        ]

    def values_at(
        self,
        path: str,
        encoded: Sequence[bytes],
        steps: Sequence[int],
        vectors: Sequence[NDArray[np.float32] | None] | None = None,
    ) -> list[ValueThere | EncodingError]:
        """The values at a path of many contents; see ``decode_many``.

        Of coded contents nothing else is made.
        """
        beside = [None] * len(encoded) if vectors is None else vectors
        coded = [place for place, one in enumerate(encoded) if is_coded(one)]
        among = {*coded}
        exact = [place for place in range(len(encoded)) if place not in among]
        found: list[Any] = [None] * len(encoded)
        rows = [Stored(encoded[place], steps[place], beside[place]) for place in coded]
        values = self._codes.values_at(rows, path, self._most_read)
        for place, value in zip(coded, values, strict=True):
            found[place] = value
        contents = self.decode_many([encoded[at] for at in exact], [steps[at] for at in exact])
        for place, one in zip(exact, contents, strict=True):
            found[place] = one if isinstance(one, EncodingError) else ValueThere.of(one, path)
        return found

    def _decoded_alone(self, encoded: bytes, step: int) -> dict[str, Any] | EncodingError:
        try:
            return self.decode(encoded, step)
        except EncodingError as error:
            return error

    def _uncoded(self, entry: MemoryEntry) -> Uncoded:
        vector = entry.embedding if self._beside_vectors else None
        step, level = entry.step_number, entry.compression_level
        return Uncoded(entry.contents, step, level, vector, entry.encoder_version)

    def _shorter(self, entry: MemoryEntry, coded: Coded | None) -> bytes:
        """What a code made of contents, or the exact coding where that is as short."""
        if coded is None:
            level = entry.compression_level
            packed = pack(entry.contents, max_bytes=self._max_entry_bytes, shortest=level > 0)
            return _squeezed(packed, level)
        if len(coded.stored) <= coded.least_exact:
            return coded.stored
        # They came in, so their size was allowed once.
        packed = pack(entry.contents, shortest=True)
        exact = _squeezed(packed, entry.compression_level, below=len(coded.stored))
        return exact if len(exact) <= len(coded.stored) else coded.stored


def exact_bytes(contents: Mapping[str, Any], level: int) -> int:
    """How many bytes contents take that are coded exactly at a level."""
    return len(_squeezed(pack(contents, shortest=level > 0), level))


def _squeezed(packed: bytes, level: int, below: int | None = None) -> bytes:
    if level == 0 or len(packed) < WORTH_TRYING:
        return sealed(packed)
    # With zstd's own checksum, which takes as many bytes as a seal.
    squeezed = squeeze(packed, level, below=below)
    if squeezed is None or 1 + len(squeezed) >= len(packed) + SEAL_BYTES:
        return sealed(packed)
    return bytes([_SQUEEZED]) + squeezed


def _may_be_coded(entry: MemoryEntry) -> bool:
    """Whether a code may take anything from the contents.

    Not from such as say that they are not exact without saying by which code: its lattice is not
    known, and the bounds of two would add up.
    """
    known = entry.error_bounds is None or isinstance(entry.contents, CodedContents)
    return entry.compression_level > 0 and known


class CompressionEngine:
    """Brings entries to a compression level and back.

    Contents stay exact, but where a code has been fitted to them. A vector is carried down to the
    width of the level by the version of the encoder that made it, and at level 2 brought to the
    bytes a number that the configuration wants; that of a version which is not there stays. Before
    a code rounds exact contents, the current version replaces the vector of an earlier one.

    Args:
        autoencoder_config: The widths of the vectors of version 0 at each level, and how those of
            level 2 rest.
        encoders: The versions that made the vectors; None: the one that needs no training.
        codes: The codes of contents; None: there are none.

    Examples:
        >>> from agent_memory import AutoencoderConfig, CompressionEngine
        >>> engine = CompressionEngine(AutoencoderConfig())
        >>> entry = memory.recall(Query(agent_id="ant-1", limit=1))[0].entry
        >>> engine.compress(entry, 2).embedding.shape
        (32,)
    """

    def __init__(
        self,
        autoencoder_config: AutoencoderConfig | None = None,
        encoders: EncoderRegistry | None = None,
        codes: Codes | None = None,
    ) -> None:
        self.config = autoencoder_config or AutoencoderConfig()
        self._encoders = encoders or EncoderRegistry(Widths.of(self.config))
        self._vectors = LevelVectors(self._encoders, self.config.vector_dtype)
        self._codes = codes or Codes()

    @overload
    def compress(self, entry: MemoryEntry, level: int) -> MemoryEntry: ...
    @overload
    def compress(self, entry: Mapping[str, Any], level: int) -> dict[str, Any]: ...
    def compress(
        self, entry: MemoryEntry | Mapping[str, Any], level: int
    ) -> MemoryEntry | dict[str, Any]:
        """Bring an entry to a level.

        Args:
            entry: A ``MemoryEntry``, or the dict of one.
            level: 0, 1 or 2. Below the entry's own, its vector is encoded again from its contents.

        Returns:
            The same kind of thing as was given.

        Raises:
            InvalidEntry: There is no such level, or the dict is no entry.

        Examples:
            >>> engine.compress(entry.to_dict(), 1)["metadata"]["compression_level"]
            1
        """
        if isinstance(entry, MemoryEntry):
            return self._with_contents(self.lowered(entry, level))
        # In a dict the vector's name says its width, and not which version made it.
        given = MemoryEntry.from_dict(entry)
        if not self._encoders.is_own(given.encoder_version):
            given = replace(given, encoder_version=self._encoders.current.version)
        return self.compress(given, level).to_dict()

    def lowered(self, entry: MemoryEntry, level: int) -> MemoryEntry:
        """Bring an entry to a level but for its contents, which the tier it goes to codes itself.

        Args:
            entry: The entry.
            level: 0, 1 or 2. Below the entry's own, its vector is encoded again from its contents.
        """
        return self.lowered_many([entry], level)[0]

    def lowered_many(self, entries: Sequence[MemoryEntry], level: int) -> list[MemoryEntry]:
        """The same for many, in a fraction of the time."""
        if not entries:
            return []
        if level and self._codes.current is not None:
            # Those of earlier versions tell too little apart what is rounded to the same.
            entries = self._vectors.of_current(entries)
        columns = [*map(list, zip(*map(_fields_of, entries), strict=True))]
        columns[_LEVEL] = [level] * len(entries)
        columns[_EMBEDDING] = self._vectors.of_many(entries, level)
        return MemoryEntry.restored_many(*columns)

    def _with_contents(self, entry: MemoryEntry) -> MemoryEntry:
        """The entry with the contents that its level keeps."""
        if not _may_be_coded(entry):
            return entry
        step = entry.step_number
        coded = self._codes.encode(Uncoded(entry.contents, step, entry.compression_level))
        if coded is None:
            return entry
        contents = self._codes.decode(coded.stored, step)
        return replace(entry, contents=contents, error_bounds=contents.bounds or None)

    @overload
    def decompress(self, entry: MemoryEntry) -> MemoryEntry: ...
    @overload
    def decompress(self, entry: Mapping[str, Any]) -> dict[str, Any]: ...
    def decompress(self, entry: MemoryEntry | Mapping[str, Any]) -> MemoryEntry | dict[str, Any]:
        """Bring an entry back to level 0.

        Examples:
            >>> engine.decompress(engine.compress(entry, 1)).contents == entry.contents
            True
        """
        return self.compress(entry, 0)

    def narrowest(self, version: int) -> int:
        """How many numbers the vectors of a version have in long-term memory.

        Raises:
            EncoderNotFound: It is not registered.
            EncodingError: What is registered is damaged.
        """
        return self._encoders.required(version).widths.ltm

    def embed(self, entries: Sequence[MemoryEntry], version: int) -> list[MemoryEntry]:
        """Give entries vectors of a version of the encoder, as wide as their levels.

        Args:
            entries: The entries, whose contents are encoded again.
            version: The version. One of a model of the user's own leaves entries as they are that
                have no text for it.

        Raises:
            EncoderNotFound: It is not registered.
            EncodingError: What is registered is damaged.
            InvalidEntry: The contents of one cannot be encoded.
            ConfigError: The version is of a model of the user's own that is not at hand.
            EmbedderError: That model fails.
        """
        encoder = self._encoders.required(version)
        states = [entry.contents for entry in entries]
        vectors: Iterable[NDArray[np.float32] | None] = (
            encoder.encode_some(states) if isinstance(encoder, OwnSpace) else encoder.encode(states)
        )
        return [
            entry
            if vector is None
            else replace(
                entry,
                embedding=self._vectors.at_level(encoder, vector[None], entry.compression_level)[0],
                encoder_version=version,
            )
            for entry, vector in zip(entries, vectors, strict=True)
        ]

    def resting(self, encoder: Encoder, states: Sequence[object]) -> NDArray[np.float32]:
        """The vectors of states as they rest at level 2, of shape (n, dim).

        Raises:
            InvalidEntry: One cannot be encoded.
        """
        vectors = encoder.encode(states)
        if not len(vectors):
            return np.zeros((0, encoder.widths.ltm), np.float32)
        return self._vectors.at_level(encoder, vectors, 2)
