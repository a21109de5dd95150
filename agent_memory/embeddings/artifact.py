"""A fitted encoder as bytes: its widths and schema as JSON, its matrices as bare float32.

For what frames them see ``framing``. A sender who knows the format can make any checksum, so that
nothing that is read is taken on trust: each value is checked before it is used.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.framing import DAMAGES, framed, unframed
from agent_memory.embeddings.schema import Category, FeatureSchema, Number
from agent_memory.embeddings.weights import Layers, Weights
from agent_memory.embeddings.widths import Widths
from agent_memory.errors import EncodingError
from agent_memory.values.interruptions import raise_if_interrupted

MAX_BYTES = 256 * 1024 * 1024
"""The largest artifact that is read."""

_FARTHEST = 1e30  # no number of a vector is beyond it, nor of a decoded row; float32 ends at 3.4e38
_FAINTEST = 1e-12
_MEMBERS = 1e6  # of a state that may meet in one bucket

MAGIC = b"AMENC\x00\x00\x01"
"""What an artifact begins with; the last byte is the number of its format."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What an artifact holds; ``errors`` is [typical, relative] by width and path."""

    widths: Widths
    input_dim: int
    schema: FeatureSchema
    weights: Weights
    errors: dict[str, dict[str, list[float]]]


@dataclass(frozen=True, slots=True)
class Untrained:
    """What an artifact holds of an encoder that was never trained."""

    widths: Widths
    input_dim: int


def dump(parts: Parts) -> bytes:
    """Write the parts of an encoder."""
    weights = parts.weights
    matrices = [weights.code_in, weights.code_out, weights.directions]
    for layers in (weights.coder, weights.decoder):
        matrices += [array for layer in layers for array in layer]
    head = {
        "widths": list(parts.widths),
        "input_dim": parts.input_dim,
        "numbers": [dataclasses.astuple(number) for number in parts.schema.numbers],
        "categories": [dataclasses.astuple(category) for category in parts.schema.categories],
        "buckets": parts.schema.buckets,
        "means": parts.schema.means.tolist(),
        "constant": weights.constant,
        "faintness": weights.faintness,
        "layers": [len(weights.coder), len(weights.decoder)],
        "shapes": [matrix.shape for matrix in matrices],
        "errors": parts.errors,
    }
    body = b"".join(np.ascontiguousarray(matrix, "<f4").tobytes() for matrix in matrices)
    return framed(MAGIC, head, body)


def dump_untrained(widths: Widths, input_dim: int) -> bytes:
    """Write that an encoder of these widths has learned nothing."""
    head = {"widths": list(widths), "input_dim": input_dim, "untrained": True}
    return framed(MAGIC, head, b"")


def load(raw: bytes) -> Parts | Untrained:
    """Read what ``dump`` or ``dump_untrained`` wrote.

    Raises:
        EncodingError: The bytes are damaged, or too many.
        NewerFormat: They were made by a newer version.
    """
    if len(raw) > MAX_BYTES:
        raise EncodingError(f"encoder: {len(raw)} bytes; {MAX_BYTES} at most")
    head, body = unframed(MAGIC, raw, "encoder")
    try:
        if head.get("untrained") is True:
            return Untrained(Widths(*head["widths"]), _whole(head["input_dim"], 1, 2**31))
        return _parts(head, body)
    except DAMAGES as error:
        raise_if_interrupted(error)
        raise EncodingError(f"encoder: the file cannot be read ({error!r:.200})") from error


def _parts(head: dict[str, Any], body: bytes) -> Parts:
    stm, im, ltm = head["widths"]
    widths = Widths(stm, im, ltm)
    schema = FeatureSchema(
        tuple(_number(values) for values in head["numbers"]),
        tuple(_category(*values) for values in head["categories"]),
        _whole(head["buckets"], 0, 65_536),
        np.array([_finite(mean) for mean in head["means"]], np.float64),
    )
    if schema.means.shape != (schema.width,):
        raise ValueError("a mean is needed of each column")
    matrices = _matrices(head["shapes"], body)
    coder, decoder = (_whole(count, 0, 64) for count in head["layers"])
    layers = _layers(matrices[3:])
    if len(layers) != coder + decoder:
        raise ValueError("layers are missing")
    weights = Weights(
        _positive(head["constant"]),
        _positive(head["faintness"]),
        matrices[0],
        matrices[1],
        matrices[2],
        layers[:coder],
        layers[coder:],
    )
    _check_shapes(weights, schema.width, widths)
    _check_reach(weights, schema)
    return Parts(widths, _whole(head["input_dim"], 1, 2**31), schema, weights,
                 _errors(head["errors"]))  # fmt: skip


def _number(values: list[Any]) -> Number:
    path, kind, centre, scale, compressed, spread, low, high, optional, weight = values
    if kind not in ("float", "integer", "truth") or _finite(low) > _finite(high):
        raise ValueError("no number's scaling")
    return Number(
        _text(path), kind, _finite(centre), _positive(scale), bool(compressed),
        _positive(spread), low, high, bool(optional), _positive(weight),
    )  # fmt: skip


def _category(path: str, values: list[str], optional: bool) -> Category:
    return Category(_text(path), tuple(_text(value) for value in values), bool(optional))


def _matrices(shapes: list[list[int]], body: bytes) -> list[NDArray[np.float32]]:
    if sum(math.prod(_whole(side, 0, MAX_BYTES) for side in shape) for shape in shapes) * 4 != len(
        body
    ):
        raise ValueError("the matrices are not as large as they claim")
    matrices, begin = [], 0
    for shape in shapes:
        size = math.prod(shape)
        flat = np.frombuffer(body, "<f4", size, begin) if size else np.zeros(0, "<f4")
        if not np.isfinite(flat).all():
            raise ValueError("a weight is no number")
        matrices.append(flat.reshape(shape).astype(np.float32))
        begin += size * 4
    return matrices


def _layers(matrices: list[NDArray[np.float32]]) -> Layers:
    return tuple(zip(matrices[::2], matrices[1::2], strict=True))


def _check_shapes(weights: Weights, columns: int, widths: Widths) -> None:
    code = weights.code_in.shape[-1]
    # Those of before have one number less, where the constant is kept.
    if code not in (widths.ltm - 1, widths.code):
        raise ValueError("the code does not fit the widths")
    shapes = [weights.code_in.shape, weights.code_out.shape, weights.directions.shape]
    if shapes != [(columns, code), (code, columns), (columns, widths.stm - 1 - code)]:
        raise ValueError("the matrices do not fit the widths")
    for layers, inputs, outputs in (
        (weights.coder, columns, code),
        (weights.decoder, code, columns),
    ):
        for matrix, bias in layers:
            if matrix.ndim != 2 or matrix.shape[0] != inputs or bias.shape != matrix.shape[1:]:
                raise ValueError("the layers do not fit each other")
            inputs = matrix.shape[1]  # noqa: PLW2901 - one layer's output is the next one's input
        if layers and inputs != outputs:
            raise ValueError("the last layer does not fit")


def _check_reach(weights: Weights, schema: FeatureSchema) -> None:
    """Refuse weights that could make of a state what is no finite number."""
    if not _FAINTEST <= weights.faintness <= 1 / _FAINTEST or weights.constant < 1 / _FARTHEST:
        raise ValueError("a constant is out of range")
    ends = [max(abs(one.low), abs(one.high)) * one.weight for one in schema.numbers]
    row = max([_MEMBERS, *ends]) + float(np.abs(schema.means).max(initial=0.0))
    # The reach may be infinite, and is refused then.
    if not weights.reach(row) * max(1.0, weights.faintness, 1 / weights.faintness) <= _FARTHEST:
        raise ValueError("the weights make numbers that are too large")


def _errors(given: dict[str, Any]) -> dict[str, dict[str, list[float]]]:
    return {
        str(int(width)): {
            _text(path): [_finite(typical), _finite(relative)]
            for path, (typical, relative) in fields.items()
        }
        for width, fields in given.items()
    }


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError("a finite number is needed")
    return float(value)


def _positive(value: Any) -> float:
    if not _finite(value) > 0:
        raise ValueError("a number above 0 is needed")
    return float(value)


def _whole(value: Any, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"a whole number from {least} to {most} is needed")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is needed")
    return value
