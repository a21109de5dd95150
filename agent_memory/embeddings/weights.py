"""What a fitted encoder has learned besides its schema: matrices, and what is done with them.

A state's centred row ``x`` has a *code* of ltm numbers, ``g = x C + MLP(x)``, and principal
components ``p = x V``. Each tier's vector is linear in that of the tier above::

    short-term    [c, e g, p]        all of p
    intermediate  [c, e g, p']       the first im - ltm - 1 of p
    long-term     [g]

The constant ``c`` is longer than most rows: it makes the cosine of two vectors order them by
distance, which among centred rows alone it would not do. A long-term vector has no room to spare,
so that its *bias* is not kept, but put before it when vectors are compared. (Encoders of before
keep it there too, and have codes of ltm - 1 numbers; so has one with im = ltm.)
``e`` is small where the components say all, that the code does not disturb them.

A code is decoded to ``y = g B + MLP(g)``; where components are there too they are exact, and
``y`` only fills in what they leave open: ``y + (p - y V) V'``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.widths import Widths

Array = NDArray[np.float32]
Layers = tuple[tuple[Array, Array], ...]
"""Matrices of shape (inputs, outputs) and biases of shape (outputs,); ReLU between them."""


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """The matrices of an encoder of rows of ``d`` columns; all float32.

    Attributes:
        constant: The bias: stands before every vector, in it or when it is compared; above 0.
        faintness: What the code is multiplied with in the two upper tiers, above 0.
        code_in: ``C``, of shape (d, code).
        code_out: ``B``, of shape (code, d).
        directions: ``V``, orthonormal columns (or zeros), of shape (d, stm - 1 - code).
        coder: The MLP from row to code; empty in a PCA version.
        decoder: The MLP from code to row; empty in a PCA version.
    """

    constant: float
    faintness: float
    code_in: Array
    code_out: Array
    directions: Array
    coder: Layers = ()
    decoder: Layers = ()

    @property
    def code(self) -> int:
        """How many numbers a code has."""
        return int(self.code_in.shape[1])

    def bias(self, width: int, widths: Widths) -> float:
        """What is to be put before vectors of a width to compare them; 0.0 where it is there."""
        return self.constant if width == widths.ltm == self.code else 0.0

    def encode(self, rows: NDArray[Any]) -> Array:
        """Encode rows of shape (n, d) to short-term vectors of shape (n, stm)."""
        x = np.ascontiguousarray(rows, np.float32)
        code = x @ self.code_in
        if self.coder:
            code += through(self.coder, x)
        vectors = np.empty((len(x), 1 + code.shape[1] + self.directions.shape[1]), np.float32)
        vectors[:, 0] = self.constant
        np.multiply(code, np.float32(self.faintness), out=vectors[:, 1 : 1 + code.shape[1]])
        np.matmul(x, self.directions, out=vectors[:, 1 + code.shape[1] :])
        return vectors

    def carry(self, vectors: Array, width: int, widths: Widths) -> Array:
        """Bring vectors of shape (n, from) to a lower tier's width."""
        if width == vectors.shape[1] or width > widths.ltm:
            return vectors[:, :width].copy()
        code = vectors[:, 1 : 1 + self.code] / np.float32(self.faintness)
        return code if width == self.code else np.hstack([vectors[:, :1], code])

    def decode(self, vectors: Array, widths: Widths) -> Array:
        """Decode vectors of any tier, of shape (n, width), to rows of shape (n, d)."""
        code = self.carry(vectors, widths.ltm, widths)[:, -self.code :]
        rows: Array = code @ self.code_out
        if self.decoder:
            rows += through(self.decoder, code)
        components = vectors[:, 1 + self.code :]
        if components.shape[1]:
            directions = self.directions[:, : components.shape[1]]
            rows += (components - rows @ directions) @ directions.T
        return rows

    def reach(self, row: float) -> float:
        """A bound of all numbers that come of rows whose numbers are at most so large."""
        code = _reach(((self.code_in, None),), row) + _reach(self.coder, row)
        components = _reach(((self.directions, None),), row)
        rows = _reach(((self.code_out, None),), code) + _reach(self.decoder, code)
        back = _reach(((self.directions.T, None),), components + rows)
        return max(row, self.constant, code, components, rows, back)


def _reach(layers: Sequence[tuple[Array, Array | None]], reach: float) -> float:
    """A bound of the numbers that layers make of such as are at most so large; 0 of none."""
    for matrix, bias in layers:
        reach *= float(np.abs(matrix).sum(axis=0, dtype=np.float64).max(initial=0.0))
        reach += 0.0 if bias is None else float(np.abs(bias).max(initial=0.0))
    return reach if layers else 0.0


def through(layers: Layers, x: Array) -> Array:
    """Pass rows through layers with ReLU between them."""
    *hidden, (last, last_bias) = layers
    for matrix, bias in hidden:
        x = x @ matrix
        x += bias
        np.maximum(x, 0.0, out=x)
    return x @ last + last_bias


def principal_weights(rows: NDArray[Any], widths: Widths, lift: float) -> Weights:
    """The weights of PCA: the components of most variance, in order, and no network.

    Args:
        rows: Centred rows of shape (n, d).
        widths: Of the tiers.
        lift: The constant, as a multiple of the rows' root mean square length.
    """
    x = np.asarray(rows, np.float64)
    columns = x.shape[1]
    variances, axes = np.linalg.eigh(x.T @ x / max(len(x), 1))
    # Directions without variance would only carry what the fitted states never showed.
    shown = variances > 1e-12 * max(float(variances.sum()), 1e-300)
    axes = axes[:, shown][:, ::-1]
    # Either sign would do; the largest share is made positive, so that machines agree.
    if columns:
        largest = np.abs(axes).argmax(axis=0)
        axes = axes * np.copysign(1.0, axes[largest, np.arange(axes.shape[1])])
    padded = np.zeros((columns, widths.stm - 1), np.float32)
    kept = min(axes.shape[1], widths.stm - 1)
    padded[:, :kept] = axes[:, :kept]
    code = np.ascontiguousarray(padded[:, : widths.code])
    rest = np.ascontiguousarray(padded[:, widths.code :])
    length = float(np.sqrt(max(variances.sum(), 0.0))) or 1.0
    return Weights(lift * length, 1.0, code, np.ascontiguousarray(code.T), rest)
