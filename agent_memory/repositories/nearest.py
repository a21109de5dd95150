"""Compares stored vectors with a probe: which entries are nearest to it, exactly."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.ranking import as_unit, as_units, nearest, with_bias
from agent_memory.values.entry import MemoryEntry

_NOTHING = np.zeros(0, np.float32)


LEFT_OUT = _NOTHING
"""What a probe gives for vectors that are not asked about: none of them is found."""


class Vectors(NamedTuple):
    """The vectors of some entries, of one encoder version and width."""

    version: int | None
    """Which encoder made them."""
    memory_ids: list[str]
    """Whose they are."""
    matrix: NDArray[np.float32]
    """A row for each of the ids: shape (n, dim)."""


class Probe(Protocol):
    """What stored vectors are compared with."""

    def at(self, version: int | None, width: int) -> NDArray[np.float32] | None:
        """The vector to compare those of a version and width with, of shape (width,).

        Returns:
            None if those do not compare: all of them are given. An empty vector (``LEFT_OUT``) if
            they are not asked about: none is.
        """

    def bias(self, version: int | None, width: int) -> float:
        """The number that is put before both when they are compared; 0.0 for none.

        Long-term vectors alone have one; where others of that width and version stand higher, they
        do not compare.
        """


class Neighbour(NamedTuple):
    """An entry, and how near its vector is to a probe."""

    entry: MemoryEntry
    cosine: float | None
    """Of the angle between the two vectors, -1 to 1; None where they do not compare."""


def grouped_vectors(
    vectors: Iterable[tuple[str, int | None, NDArray[np.float32] | None]],
) -> list[Vectors]:
    """Put vectors together that may be compared: those of one version and width.

    Args:
        vectors: Whose it is, which encoder made it, and the vector of shape (dim,) or None.
    """
    groups: dict[tuple[int | None, int], tuple[list[str], list[NDArray[np.float32]]]] = {}
    for memory_id, version, given in vectors:
        vector = _NOTHING if given is None else given
        ids, rows = groups.setdefault((version, len(vector)), ([], []))
        ids.append(memory_id)
        rows.append(vector)
    return [Vectors(version, ids, np.stack(rows)) for (version, _), (ids, rows) in groups.items()]


def nearest_ids(
    groups: Iterable[Vectors], probe: Probe, count: int | None
) -> dict[str, float | None]:
    """The ids of the nearest vectors of each group, and of all that do not compare.

    Args:
        groups: The vectors.
        probe: What they are compared with.
        count: How many of each group at most; None for all.

    Returns:
        Cosines by memory id, the greatest of each group first; None where they do not compare.
    """
    found: dict[str, float | None] = {}
    for version, memory_ids, matrix in groups:
        asked = probe.at(version, matrix.shape[1])
        if asked is None:
            found |= dict.fromkeys(memory_ids)
            continue
        if not len(asked):
            continue
        bias = probe.bias(version, matrix.shape[1])
        unit = as_unit(with_bias(asked[None], bias)[0])
        units = as_units(with_bias(matrix, bias))
        for place, cosine in nearest(units, unit, memory_ids, count):
            found[memory_ids[place]] = cosine
    return found


def same_vector(one: MemoryEntry, other: MemoryEntry) -> bool:
    """Whether two entries have the same vector, bit by bit, of the same version."""
    vectors = [None if it.embedding is None else it.embedding.tobytes() for it in (one, other)]
    return vectors[0] == vectors[1] and one.encoder_version == other.encoder_version
