"""How contents become the bytes of a tier, and back.

Contents are coded exactly. The compression level says how hard their bytes are squeezed:

* level 0: MessagePack as it is;
* level 1: MessagePack, through zstd when that makes it smaller;
* level 2: the same, with more effort (beyond zstd level 9 the time rises tenfold and a state
  of 2 KB shrinks by another 0.3 %).

The first byte tells which: MessagePack maps begin at 0x80, and a squeezed one is marked by 0x01.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, overload

import numpy as np
import zstandard
from numpy.typing import NDArray

from agent_memory.config import AutoencoderConfig
from agent_memory.contents import pack, unpack
from agent_memory.embeddings.encoder import Encoder
from agent_memory.embeddings.version_zero import VersionZero
from agent_memory.embeddings.widths import Widths
from agent_memory.entry import MemoryEntry
from agent_memory.errors import EncodingError
from agent_memory.models.ltm_vectors import on_int8_grid

UNTRAINED = 0
"""The version of the encoder that needs no training."""

_SQUEEZED = 0x01
_PACKED_FROM = 0x80
_EFFORT = {1: 3, 2: 9}  # zstd levels
_WORTH_TRYING = 256  # bytes; a state of 200 shrinks by 4 % and takes 20 us to
_MAX_UNPACKED = 2**31 - 1  # bytes


class ContentsCodec:
    """Codes contents exactly; the ``Codec`` of all tiers.

    Args:
        max_entry_bytes: Refuse contents that need more bytes than this, unsqueezed.
    """

    def __init__(self, max_entry_bytes: int | None = None) -> None:
        self._max_entry_bytes = max_entry_bytes

    def encode(self, contents: Mapping[str, Any], level: int) -> bytes:
        """Encode contents at a compression level.

        Raises:
            InvalidEntry: A value cannot be stored, or all are too large.
        """
        packed = pack(contents, max_bytes=self._max_entry_bytes)
        if level == 0 or len(packed) < _WORTH_TRYING:
            return packed
        squeezed = zstandard.compress(packed, _EFFORT[min(level, 2)])
        return bytes([_SQUEEZED]) + squeezed if len(squeezed) + 1 < len(packed) else packed

    def decode(self, encoded: bytes) -> dict[str, Any]:
        """Give back contents.

        Raises:
            EncodingError: The bytes are damaged, or were made by a newer version.
        """
        if encoded[:1] >= bytes([_PACKED_FROM]):
            return unpack(encoded)
        if encoded[:1] != bytes([_SQUEEZED]):
            raise EncodingError("stored contents cannot be read (unknown coding)")
        try:
            return unpack(zstandard.ZstdDecompressor().decompress(encoded[1:], _MAX_UNPACKED))
        except zstandard.ZstdError as error:
            raise EncodingError(f"stored contents cannot be read ({error})") from error


class CompressionEngine:
    """Brings entries to a compression level and back.

    Contents stay exact. The vector of the encoder's own version is carried down to the width of
    the level, and at level 2 put on the int8 grid; of another version it is left as it is.

    Args:
        autoencoder_config: The widths of the vectors at each level.
        encoder: What made the vectors; None: the version that needs no training.
        version: Which version it is.
    """

    def __init__(
        self,
        autoencoder_config: AutoencoderConfig | None = None,
        encoder: Encoder | None = None,
        version: int = UNTRAINED,
    ) -> None:
        self.config = autoencoder_config or AutoencoderConfig()
        self._encoder = encoder or VersionZero(Widths.of(self.config))
        self._version = version

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
            level: 0, 1 or 2. Below the entry's own, its vector is made anew from its contents.

        Returns:
            The same kind of thing as was given.

        Raises:
            InvalidEntry: There is no such level, or the dict is no entry.
        """
        if isinstance(entry, MemoryEntry):
            return replace(entry, compression_level=level, embedding=self._vector(entry, level))
        # In a dict the vector's name says its width, and not which version made it.
        given = replace(MemoryEntry.from_dict(entry), encoder_version=self._version)
        return self.compress(given, level).to_dict()

    @overload
    def decompress(self, entry: MemoryEntry) -> MemoryEntry: ...
    @overload
    def decompress(self, entry: Mapping[str, Any]) -> dict[str, Any]: ...
    def decompress(self, entry: MemoryEntry | Mapping[str, Any]) -> MemoryEntry | dict[str, Any]:
        """Bring an entry back to level 0."""
        return self.compress(entry, 0)

    def _vector(self, entry: MemoryEntry, level: int) -> NDArray[np.float32] | None:
        vector = entry.embedding
        widths = self._encoder.widths
        ours = entry.encoder_version == self._version
        if vector is None or not ours or len(vector) not in (*widths,):
            return vector
        width = widths.at(level)
        if len(vector) < width:
            vector = self._encoder.encode_one(entry.contents)
        if len(vector) > width:
            vector = self._encoder.carry(vector, width)
        return on_int8_grid(vector) if level == 2 else vector
