"""A fitted encoder at work: states to vectors and back, in NumPy alone.

A row of features is its difference from the mean of the fitted states, behind a constant, the bias:
the cosine of two such rows is what the vectors of all tiers approximate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings import artifact, framing
from agent_memory.embeddings.carrying import carried_finite
from agent_memory.embeddings.features import flatten, in_chunks
from agent_memory.embeddings.schema import FeatureSchema
from agent_memory.embeddings.weights import Weights
from agent_memory.embeddings.widths import Widths
from agent_memory.errors import EncodingError, InvalidEntry
from agent_memory.values.checks import as_row
from agent_memory.values.deprecation import OldName
from agent_memory.values.file_names import checked_path
from agent_memory.values.quoting import short_repr

_CHUNK = 512  # states; what lies between the layers of so many stays in the cache


class Encoder(Protocol):
    """What every version of the encoder can do; ``VersionZero`` and ``FittedEncoder``."""

    @property
    def widths(self) -> Widths:
        """Of the vectors of the tiers."""

    @property
    def keeps_bias(self) -> bool:
        """Whether the first number of a long-term vector is a constant; see ``int8_grid``."""

    def bias(self, width: int) -> float:
        """What is to be put before vectors of a width to compare them; 0.0 for nothing."""

    def encode(self, states: Iterable[object]) -> NDArray[np.float32]:
        """Encode states to short-term vectors of shape (n, widths.stm)."""

    def encode_one(self, state: object) -> NDArray[np.float32]:
        """Encode one state to a short-term vector of shape (widths.stm,)."""

    def carry(self, vectors: NDArray[np.float32], width: int) -> NDArray[np.float32]:
        """Bring vectors of shape (n, from) or (from,) to a lower tier's width."""

    def similarity(self, state: object, others: Sequence[object]) -> NDArray[np.float32]:
        """How similar a state and others are, from -1 to 1, of shape (n,)."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """How far one feature of a decoded state usually is from the original.

    Attributes:
        typical: For a number the mean absolute error, in its own unit; for a truth or category
            the share of states in which it is wrong.
        relative: The same over the standard deviation of the feature; for a truth or category
            the same share.
    """

    typical: float
    relative: float


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """A decoded state, and how far to trust it.

    Attributes:
        state: Nested dicts and lists; see ``FeatureSchema.states``.
        errors: By path, as measured on states that were held out of the training, at the width
            of the vector.
        contents: Of an entry what is kept of its contents, in the shape and types of the
            original; None of a vector alone.
        bounds: By path, how far numbers of the contents may be off; the others are exact.
    """

    __repr__ = short_repr()

    state: dict[Any, Any]
    errors: Mapping[str, FieldError]
    contents: Mapping[str, Any] | None = None
    bounds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class FittedEncoder:
    """An encoder that has seen states. Nothing in it changes; threads may share one.

    Attributes:
        widths: Of the vectors of the tiers.
        schema: How states become rows.
        weights: How rows become vectors.
        errors: By width, what decoding does to each path.
        input_dim: The width of the network's input that was asked for.
    """

    widths: Widths
    schema: FeatureSchema
    weights: Weights
    errors: Mapping[int, Mapping[str, FieldError]] = field(default_factory=dict)
    input_dim: int = 64

    lead = OldName("bias")
    led = OldName("keeps_bias")

    __repr__ = short_repr()

    @property
    def keeps_bias(self) -> bool:
        """Whether the first number of a long-term vector is a constant."""
        return not self.bias(self.widths.ltm)

    def bias(self, width: int) -> float:
        """What is to be put before vectors of a width to compare them; see ``weights``."""
        return self.weights.bias(width, self.widths)

    def encode(self, states: Iterable[object]) -> NDArray[np.float32]:
        """Encode states.

        Args:
            states: Dicts, other mappings, dataclasses or pydantic models.

        Returns:
            Vectors for short-term memory, of shape (n, widths.stm).

        Raises:
            InvalidEntry: One of them is no state.
        """
        chunks = [
            self.weights.encode(self.schema.rows(chunk)) for chunk in in_chunks(states, _CHUNK)
        ]
        return np.concatenate(chunks) if chunks else np.zeros((0, self.widths.stm), np.float32)

    def encode_one(self, state: object) -> NDArray[np.float32]:
        """Encode one state to a vector of shape (widths.stm,)."""
        vector: NDArray[np.float32] = self.weights.encode(self.schema.rows_of([flatten(state)]))[0]
        return vector

    def carry(self, vectors: NDArray[np.float32], width: int) -> NDArray[np.float32]:
        """Bring vectors to a lower tier's width without the states they stand for.

        Args:
            vectors: Of shape (n, from) or (from,), where ``from`` is a tier's width.
            width: Of the tier below.

        Raises:
            InvalidEntry: No tier has such a width, or it is above that of the vectors.
        """
        given = np.asarray(vectors, np.float32)
        self.widths.steps(given.shape[-1], width)
        carry = partial(self.weights.carry, width=width, widths=self.widths)
        carried = carried_finite(carry, np.atleast_2d(given))
        narrow: NDArray[np.float32] = carried.reshape(*given.shape[:-1], width)
        return narrow

    def similarity(self, state: object, others: Sequence[object]) -> NDArray[np.float32]:
        """How similar a state and others are: the cosine of their scaled rows, exactly.

        Returns:
            Numbers of shape (n,) from -1 to 1; 1 for the same features.
        """
        rows = self.scaled([state, *others])
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return np.asarray(rows[1:] @ rows[0], np.float32)

    def scaled(self, states: Iterable[object]) -> NDArray[np.float64]:
        """The states in the scaled feature space: rows of shape (n, 1 + schema.width)."""
        rows = self.schema.rows(states)
        return np.hstack([np.full((len(rows), 1), self.weights.constant), rows])

    def reconstruct(self, vector: Sequence[float] | NDArray[Any]) -> Reconstruction:
        """Decode the vector of any tier.

        Raises:
            InvalidEntry: No tier has vectors of that width, or it holds what is no number.
        """
        given = _as_vector(vector)
        if given.ndim != 1 or not np.isfinite(given).all():
            raise InvalidEntry(f"vector: finite numbers of shape (dim,) are needed: {given.shape}")
        self.widths.level(len(given))
        (state,) = self.schema.states(self.weights.decode(given[None], self.widths))
        return Reconstruction(state, dict(self.errors.get(len(given), {})))

    def to_bytes(self) -> bytes:
        """Write schema and weights as one artifact; see ``artifact``."""
        errors = {
            str(width): {path: [error.typical, error.relative] for path, error in fields.items()}
            for width, fields in self.errors.items()
        }
        return artifact.dump(
            artifact.Parts(self.widths, self.input_dim, self.schema, self.weights, errors)
        )

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Read what ``to_bytes`` wrote; nothing in it is executed.

        Raises:
            EncodingError: It is damaged, or made by a newer version.
        """
        parts = artifact.load(raw)
        if isinstance(parts, artifact.Untrained):
            raise EncodingError("encoder: the file is that of an untrained one")
        errors = {
            int(width): {path: FieldError(*pair) for path, pair in fields.items()}
            for width, fields in parts.errors.items()
        }
        return cls(parts.widths, parts.schema, parts.weights, errors, parts.input_dim)

    def save(self, path: str | Path) -> None:
        """Write the artifact to a file, replacing it as a whole or not at all."""
        framing.write(checked_path(path), self.to_bytes())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read the artifact of a file.

        Raises:
            ConfigError: There is no such file.
            EncodingError: It is damaged, too large, or made by a newer version.
        """
        raw = framing.read(checked_path(path), artifact.MAX_BYTES)
        with framing.named(path):
            return cls.from_bytes(raw)


def _as_vector(given: object) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite, and is refused
            return as_row(given, np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidEntry(f"vector: numbers of shape (dim,) are needed ({error})") from error
