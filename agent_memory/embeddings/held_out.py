"""What an encoder is worth, measured on states it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.encoder import FieldError, FittedEncoder
from agent_memory.embeddings.features import Value, flatten
from agent_memory.embeddings.ranking import with_bias
from agent_memory.embeddings.resting import VectorDtype, at_rest
from agent_memory.embeddings.schema import EXTREME, FeatureSchema
from agent_memory.embeddings.weights import Weights
from agent_memory.embeddings.widths import Widths

FEWEST = 22
"""How many rows can be measured on: with fewer, ten neighbours are half of all there are."""

_MOST_QUERIES = 1_000
_NEIGHBOURS = 10


@dataclass(frozen=True, slots=True)
class Measured:
    """How vectors did on the states held out.

    Attributes:
        r2: The share of the scaled features' variance that decoding gives back.
        recall: The share of a state's ten likest states that the vectors find.
        nrmse: Root mean square error of decoding, over the root mean square of the features.
    """

    r2: float
    recall: float
    nrmse: float


class Bench:
    """Measures weights on rows.

    Args:
        rows: Centred, of shape (n, d).
        widths: Of the tiers.
        dtype: How the narrowest vectors rest.
    """

    def __init__(
        self, rows: NDArray[np.float64], widths: Widths, dtype: VectorDtype = "int8"
    ) -> None:
        self._rows = rows
        self._widths = widths
        self._dtype: VectorDtype = dtype
        self.measurable = len(rows) >= FEWEST

    def measure(
        self, weights: Weights, dtypes: Sequence[VectorDtype] | None = None
    ) -> tuple[Measured, ...]:
        """What there is to say at each level; nothing where there are too few rows.

        Args:
            weights: What is measured.
            dtypes: How vectors of each level lie; None: as they rest, in full but for the
                narrowest.
        """
        if not self.measurable:
            return ()
        vectors = weights.encode(self._rows)
        measured = []
        for width, dtype in zip(self._widths, dtypes or self._resting(), strict=True):
            bias = weights.bias(width, self._widths)
            carried = _lying(weights.carry(vectors, width, self._widths), dtype, biased=not bias)
            decoded = weights.decode(carried, self._widths)
            compared = with_bias(carried, bias)
            measured.append(self._against_rows(weights.constant, decoded, compared))
        return tuple(measured)

    def features(self, constant: float) -> tuple[Measured | None, ...]:
        """The features themselves with a byte each; None at a level where they do not fit."""
        if not self.measurable:
            return ()
        rows = _lying(self._rows.astype(np.float32), "int8", biased=False)
        measured = self._against_rows(constant, rows, with_bias(rows, constant))
        needed = [1 + rows.shape[1]] * 2 + [self._widths.ltm - self._widths.code + rows.shape[1]]
        return tuple(
            measured if width >= least else None
            for width, least in zip(self._widths, needed, strict=True)
        )

    def _resting(self) -> tuple[VectorDtype, ...]:
        return ("float32", "float32", self._dtype)

    def _against_rows(
        self, constant: float, decoded: NDArray[np.float32], vectors: NDArray[np.float32]
    ) -> Measured:
        r2 = _r2(self._rows, decoded)
        truth = with_bias(self._rows, constant)
        return Measured(r2, neighbour_recall(truth, vectors), float(np.sqrt(max(1.0 - r2, 0.0))))


def _lying(
    vectors: NDArray[np.float32], dtype: VectorDtype, *, biased: bool
) -> NDArray[np.float32]:
    """Vectors as they come back from where they lie; ``biased``: they begin with a constant."""
    if dtype == "float32":
        return vectors
    return np.stack([at_rest(vector, dtype, biased=biased) for vector in vectors])


def _r2(rows: NDArray[np.float64], decoded: NDArray[np.float32]) -> float:
    lost = float(np.square(rows - decoded).sum())
    # From the fitted states' mean, which is zero: what there is to know for one who knew those.
    there = float(np.square(rows).sum())
    return 1.0 - lost / there if there > 0 else float(lost == 0)


def neighbour_recall(
    truth: NDArray[Any], vectors: NDArray[Any], k: int = _NEIGHBOURS, queries: int = _MOST_QUERIES
) -> float:
    """The share of the k likest rows by cosine that vectors find, over evenly spaced rows.

    A row found counts when it is as like as the k-th likest, so that twins do no harm.

    Args:
        truth: Rows of shape (n, any), n above k.
        vectors: Of the same rows, of shape (n, width).
        k: How many neighbours.
        queries: How many rows at most are asked for theirs.
    """
    asked = np.unique(np.linspace(0, len(truth) - 1, min(queries, len(truth)), dtype=int))
    right, found = _unit(truth), _unit(vectors)
    similarity, guess = right[asked] @ right.T, found[asked] @ found.T
    own = np.arange(len(asked)), asked
    similarity[own] = guess[own] = -np.inf
    best = np.argpartition(-guess, k - 1, axis=1)[:, :k]
    least = -np.partition(-similarity, k - 1, axis=1)[:, k - 1 : k]
    return float((np.take_along_axis(similarity, best, axis=1) >= least - 1e-9).mean())


def _unit(rows: NDArray[Any]) -> NDArray[np.float64]:
    rows = np.asarray(rows, np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float64] = rows / np.where(lengths > 0, lengths, 1.0)
    return unit


def field_errors(
    encoder: FittedEncoder, flats: Sequence[dict[str, Value]], dtype: VectorDtype = "int8"
) -> dict[int, dict[str, FieldError]]:
    """What decoding at each width does to each path, over at most 1,000 states.

    Vectors of the narrowest width are decoded as they rest.
    """
    sample = flats[:: -(-len(flats) // 1_000)]
    rows = encoder.schema.rows_of(sample)
    vectors = encoder.weights.encode(rows)
    errors = {}
    for width in sorted(set(encoder.widths)):
        carried = encoder.carry(vectors, width)
        if width == encoder.widths.ltm:
            carried = _lying(carried, dtype, biased=encoder.keeps_bias)
        decoded = encoder.schema.states(encoder.weights.decode(carried, encoder.widths))
        errors[width] = _compared(encoder.schema, sample, [flatten(state) for state in decoded])
    return errors


def _compared(
    schema: FeatureSchema,
    originals: Sequence[dict[str, Value]],
    decoded: Sequence[dict[str, Value]],
) -> dict[str, FieldError]:
    errors = {}
    for number in schema.numbers:
        pairs = [(one.get(number.path), other.get(number.path))
                 for one, other in zip(originals, decoded, strict=True)]  # fmt: skip
        errors[number.path] = _wrong(pairs) if number.kind == "truth" else _apart(pairs)
    for category in schema.categories:
        errors[category.path] = _wrong(
            [(one.get(category.path), other.get(category.path))
             for one, other in zip(originals, decoded, strict=True)]
        )  # fmt: skip
    return errors


def _wrong(pairs: Sequence[tuple[Any, Any]]) -> FieldError:
    share = sum(one != other for one, other in pairs) / max(len(pairs), 1)
    return FieldError(share, share)


def _apart(pairs: Sequence[tuple[Any, Any]]) -> FieldError:
    there = [(one, other) for one, other in pairs if type(one) is float and type(other) is float]
    values = np.clip(np.array(there, np.float64).reshape(-1, 2), -EXTREME, EXTREME)
    if not len(values):
        return FieldError(0.0, 0.0)
    typical = float(np.abs(values[:, 0] - values[:, 1]).mean())
    deviation = float(values[:, 0].std())
    return FieldError(typical, typical / deviation if deviation > 0 else float(typical > 0))
