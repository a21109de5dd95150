"""Brings vectors to the width and the bytes of a level, one by one or many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.encoder import Encoder, FittedEncoder
from agent_memory.embeddings.registry import EncoderRegistry
from agent_memory.embeddings.resting import VectorDtype, all_at_rest
from agent_memory.errors import EncodingError, InvalidEntry
from agent_memory.values.entry import MemoryEntry

Vector = NDArray[np.float32]


class LevelVectors:
    """Gives the vectors of entries at other levels.

    Args:
        encoders: The versions that made them.
        dtype: How those of level 2 rest.
    """

    def __init__(self, encoders: EncoderRegistry, dtype: VectorDtype) -> None:
        self._encoders = encoders
        self._dtype: VectorDtype = dtype

    def of(self, entry: MemoryEntry, level: int) -> Vector | None:
        """The vector of an entry at a level, of shape (dim,); see ``CompressionEngine``."""
        vector = entry.embedding
        encoder = None if vector is None else self._encoders.encoder(entry.encoder_version)
        if vector is None or encoder is None or len(vector) not in (*encoder.widths,):
            return vector
        if len(vector) < encoder.widths.at(level):
            vector = encoder.encode_one(entry.contents)
        return np.asarray(self.at_level(encoder, vector[None], level)[0])

    def of_many(self, entries: Sequence[MemoryEntry], level: int) -> list[Vector | None]:
        """The vectors of entries at a level: ``of`` each, in a fraction of the time."""
        found = [entry.embedding for entry in entries]
        groups: dict[tuple[int | None, int], list[int]] = {}
        for place, entry in enumerate(entries):
            if entry.embedding is not None:
                group = entry.encoder_version, len(entry.embedding)
                groups.setdefault(group, []).append(place)
        for (version, width), places in groups.items():
            encoder = self._encoders.encoder(version)
            if encoder is None or width not in (*encoder.widths,):
                continue
            if width < encoder.widths.at(level):
                for place in places:
                    found[place] = self.of(entries[place], level)
                continue
            matrix = np.stack([vector for place in places if (vector := found[place]) is not None])
            for place, vector in zip(places, self.at_level(encoder, matrix, level), strict=True):
                found[place] = vector
        return found

    def of_current(self, entries: Sequence[MemoryEntry]) -> list[MemoryEntry]:
        """Give exact entries of earlier versions the vectors of the current one, at full width.

        Those of a model of the user's own stay, as do entries whose contents are rounded already
        or cannot be encoded, and those whose version is not there or whose vector has none of its
        widths.

        Raises:
            StoreUnavailable: The place where versions are registered does not answer.
        """
        version, encoder = self._encoders.current.version, self._encoders.current.encoder
        if not isinstance(encoder, FittedEncoder):
            return [*entries]
        places = [place for place, one in enumerate(entries) if self._is_earlier(one, version)]
        found = [*entries]
        try:
            vectors = encoder.encode([entries[place].contents for place in places])
            for place, vector in zip(places, vectors, strict=True):
                found[place] = replace(entries[place], embedding=vector, encoder_version=version)
        except (EncodingError, InvalidEntry):
            if len(entries) == 1:
                return [*entries]
            return [self.of_current([one])[0] for one in entries]
        return found

    def _is_earlier(self, entry: MemoryEntry, version: int) -> bool:
        """Whether an entry is exact, and has a vector of a version before the given one."""
        made_by, vector = entry.encoder_version, entry.embedding
        if made_by is None or made_by >= version or vector is None or entry.error_bounds:
            return False
        encoder = self._encoders.encoder(made_by)
        if encoder is None or self._encoders.is_own(made_by):
            return False
        return len(vector) in (*encoder.widths,)

    def at_level(self, encoder: Encoder, vectors: Vector, level: int) -> Vector:
        """Bring vectors of shape (n, from) to the width and the bytes of a level."""
        width = encoder.widths.at(level)
        if vectors.shape[1] > width:
            vectors = encoder.carry(vectors, width)
        dtype = self._dtype if level == 2 else "float32"
        return all_at_rest(vectors, dtype, biased=encoder.keeps_bias)
