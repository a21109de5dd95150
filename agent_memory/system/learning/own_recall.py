"""What storing own vectors with fewer bytes costs: measured on those that are still in full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from agent_memory.embeddings.held_out import FEWEST, neighbour_recall
from agent_memory.embeddings.own import OwnSpace
from agent_memory.embeddings.resting import VectorDtype, at_rest
from agent_memory.values.entry import MemoryEntry, Tier

_DTYPES: Final[tuple[VectorDtype, ...]] = ("int8", "float16", "float32")

LEAST_RECALL = 0.95
"""The recall in long-term memory below which another ``vector_dtype`` is advised."""


@dataclass(frozen=True, slots=True)
class OwnRecall:
    """What becomes of the vectors of a model of the user's own on their way down the tiers.

    Attributes:
        version: The version that stands for them.
        name: What the model is called.
        dim: How many numbers a vector has, in every tier.
        entries: How many vectors were measured.
        recall: By tier, recall@10: the share of the ten nearest by the vectors in full that those
            find which lie in that tier. Empty where there are fewer than 22 vectors in full.
        by_dtype: The same for each ``vector_dtype`` that long-term memory may have.
        advice: What to do about it; nothing where long-term memory finds nearly all.
    """

    version: int
    name: str
    dim: int
    entries: int
    recall: Mapping[Tier, float]
    by_dtype: Mapping[str, float]
    advice: tuple[str, ...]


def measure_own(
    version: int,
    space: OwnSpace,
    entries: Sequence[MemoryEntry],
    dtype: VectorDtype,
    levels: Mapping[Tier, int],
) -> OwnRecall:
    """Measure what the tiers find among own vectors.

    Args:
        version: The version that stands for them.
        space: What they are.
        entries: Entries whose vectors are in full; those of other versions are passed over.
        dtype: How vectors lie at level 2.
        levels: The compression level of each tier.
    """
    vectors = [
        entry.embedding
        for entry in entries
        if entry.encoder_version == version
        and entry.embedding is not None
        and len(entry.embedding) == space.dim
    ]
    known = version, space.name, space.dim, len(vectors)
    if len(vectors) < FEWEST:
        return OwnRecall(*known, {}, {}, ())
    full = np.stack(vectors)
    by_dtype: dict[str, float] = {
        one: neighbour_recall(full, np.stack([at_rest(vector, one) for vector in full]))
        for one in _DTYPES
    }
    recall = {tier: by_dtype[dtype] if level == 2 else 1.0 for tier, level in levels.items()}
    return OwnRecall(*known, recall, by_dtype, tuple(_advice(by_dtype, dtype)))


def _advice(by_dtype: Mapping[str, float], dtype: VectorDtype) -> Iterator[str]:
    for better in _DTYPES[_DTYPES.index(dtype) + 1 :]:
        if by_dtype[dtype] < LEAST_RECALL <= by_dtype[better]:
            yield (
                f"long-term memory finds {by_dtype[dtype]:.0%} of what is nearest: "
                f'autoencoder_config={{"vector_dtype": "{better}"}} lets it find '
                f"{by_dtype[better]:.0%} among what moves down from then on"
            )
            return
