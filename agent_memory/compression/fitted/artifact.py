"""A fitted code as bytes, to be kept beside what it has coded. Reading executes nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from agent_memory.compression.fitted.code import MOST_SHAPES, ContentsCode, Prediction
from agent_memory.compression.fitted.column import MOST_CHOICES, Column
from agent_memory.compression.fitted.numbers import INTEGERS, TYPES, Integers, Lattice
from agent_memory.compression.fitted.prediction import Predictor, is_sound
from agent_memory.compression.fitted.rans import TOTAL
from agent_memory.compression.fitted.shape import Shape
from agent_memory.compression.fitted.structure import LEAF, MAX_LEAVES, Whole, leaf_types
from agent_memory.embeddings.framing import framed, unframed
from agent_memory.errors import EncodingError
from agent_memory.values.contents import pack, unpack

MAGIC = b"amcode\0\2"
"""What a code begins with; the last byte is the number of its format."""
_FIRST_MAGIC = b"amcode\0\1"  # lattices without a range, and no lists that stay whole
_WHAT = "code of contents"
_DEEPEST = 80
_DTYPES = frozenset(
    f"{order}{kind}" for order, kinds in (("<", ("f2", "f4", "f8", "i2", "i4", "i8", "u2", "u4",
    "u8")), ("|", ("b1", "i1", "u1")), ("=", ())) for kind in kinds
)  # fmt: skip


def to_bytes(code: ContentsCode) -> bytes:
    """Give a code's bytes; see ``from_bytes``."""
    places: dict[int, int] = {}
    columns: list[Any] = []

    def place_of(column: Column) -> int:
        if id(column) not in places:
            places[id(column)] = len(columns)
            columns.append(_as_list(column))
        return places[id(column)]

    shapes = [[shape.signature, [*map(place_of, shape.fitted)]] for shape in code.shapes]
    prediction = None
    if code.prediction is not None:
        predictor = code.prediction.predictor
        prediction = {
            "scale": predictor.scale,
            "weights": predictor.weights.astype(np.int32),
            "offsets": predictor.offsets.astype(np.int64),
            "shapes": [[*map(place_of, shape.fitted)] for shape in code.prediction.shapes],
            "places": [places_.tolist() for places_ in code.prediction.places],
        }
    body = {
        "columns": columns,
        "shapes": shapes,
        "widths": list(code.widths),
        "prediction": prediction,
        "whole": code.whole,
    }
    return framed(MAGIC, {}, pack(body))


def from_bytes(raw: bytes) -> ContentsCode:
    """Read a code.

    Raises:
        EncodingError: The bytes are damaged or hostile.
        NewerFormat: They were made by a newer version.
    """
    earlier = raw[: len(_FIRST_MAGIC)] == _FIRST_MAGIC
    _, body = unframed(_FIRST_MAGIC if earlier else MAGIC, raw, _WHAT)
    fields = unpack(body)
    try:
        columns = [_column(one) for one in _list(fields["columns"])]
        shapes = [_shape(one, columns) for one in _list(fields["shapes"])]
        widths = _widths(fields["widths"], len(shapes)) if shapes else ()
        prediction = _prediction(fields.get("prediction"), shapes, columns)
        whole = _whole(fields.get("whole", {}), 0)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, RecursionError) as error:
        raise EncodingError(f"{_WHAT}: it cannot be read ({error!r:.200})") from error
    if len(shapes) > MOST_SHAPES:
        raise EncodingError(f"{_WHAT}: {len(shapes)} shapes are more than there can be")
    return ContentsCode(tuple(shapes), widths, prediction, whole)


def _as_list(column: Column) -> list[Any]:
    numbers: list[Any] | None = None
    if isinstance(column.numbers, Lattice):
        one = column.numbers
        numbers = [one.origin, one.fine, one.ratio, one.bound_1, one.bound_2, one.single,
                   one.low, one.high]  # fmt: skip
    elif column.numbers is not None:
        numbers = [column.numbers.base, column.numbers.with_step]
    return [column.path, list(column.values), column.kind, numbers, column.first, column.bits,
            list(column.widths)]  # fmt: skip


def _column(given: Any) -> Column:
    path, values, kind, numbers, first, bits, widths = _list(given)
    _check(isinstance(path, str) and isinstance(values, list), "a column")
    _check(type(first) is int and abs(first) < 2**53, "where buckets begin")
    _check(type(bits) is int and 0 <= bits <= 40, "the size of buckets")
    _check(isinstance(widths, list) and len(widths) > len(values), "the shares of a column")
    lie = None if numbers is None else _numbers(kind, _list(numbers))
    _check(lie is not None or (kind == "" and len(widths) == len(values) + 1), "a column")
    return Column(path, tuple(values), kind, lie, first, bits, _widths(widths, len(widths)))


def _numbers(kind: Any, given: list[Any]) -> Lattice | Integers:
    _check(isinstance(kind, str) and kind in TYPES, "the type of numbers")
    if kind in INTEGERS:
        base, with_step = given
        _check(type(base) is int and type(with_step) is bool, "integers")
        return Integers(base, with_step)
    origin, fine, ratio, bound_1, bound_2, single, *ends = given
    floats = (origin, fine, bound_1, bound_2)
    _check(all(type(one) is float and math.isfinite(one) for one in floats), "a lattice")
    _check(fine > 0.0 and type(ratio) is int and 0 < ratio < TOTAL and ratio % 2, "a lattice")
    _check(type(single) is bool, "a lattice")
    low, high = ends or (-math.inf, math.inf)
    _check(type(low) is type(high) is float and low <= high, "a range")
    return Lattice(origin, fine, ratio, bound_1, bound_2, single, low, high)


def _shape(given: Any, columns: list[Column]) -> Shape:
    signature, places = _list(given)
    _check_signature(signature, 0)
    _check(len(_list(places)) <= 2 * MAX_LEAVES, "a shape")
    _check(sum(1 for _ in _bounded(signature)) == len(places), "the leaves of a shape")
    _check(all(type(place) is int and place >= 0 for place in places), "the columns of a shape")
    return Shape(signature, tuple(columns[place] for place in places))


def _prediction(given: Any, shapes: list[Shape], columns: list[Column]) -> Prediction | None:
    if given is None:
        return None
    weights, offsets = given["weights"], given["offsets"]
    arrays = type(weights) is np.ndarray and type(offsets) is np.ndarray
    _check(arrays and (weights.dtype, offsets.dtype) == (np.int32, np.int64), "a prediction")
    weights, offsets = weights.astype(np.float64), offsets.astype(np.float64)
    _check(is_sound(given["scale"], weights, offsets), "a prediction")
    own, places = _list(given["shapes"]), _list(given["places"])
    _check(len(own) == len(places) == len(shapes), "the shapes of a prediction")
    predicted = []
    for shape, theirs, their_places in zip(shapes, own, places, strict=True):
        _check(len(_list(theirs)) == len(_list(their_places)) == len(shape.fitted), "a prediction")
        _check(all(type(one) is int and one >= 0 for one in theirs), "a prediction")
        most = weights.shape[1]
        _check(all(type(one) is int and -1 <= one < most for one in their_places), "a prediction")
        predicted.append(Shape(shape.signature, tuple(columns[one] for one in theirs)))
    return Prediction(
        Predictor(given["scale"], weights, offsets),
        tuple(predicted),
        tuple(np.array(one, np.intp) for one in places),
    )


def _whole(given: Any, depth: int) -> Whole:
    _check(depth <= _DEEPEST and type(given) is dict, "where lists are whole")
    _check(all(type(key) is str for key in given), "where lists are whole")
    return {key: True if part is True else _whole(part, depth + 1) for key, part in given.items()}


def _bounded(signature: Any) -> Any:
    for count, kind in enumerate(leaf_types(signature)):
        _check(count <= 2 * MAX_LEAVES, "the leaves of a shape")
        yield kind


def _check_signature(signature: Any, depth: int) -> None:
    _check(depth <= _DEEPEST, "how deep a shape is")
    if type(signature) is int:
        _check(signature == LEAF, "a shape")
        return
    _check(type(signature) is tuple and len(signature) == 3, "a shape")
    kind, what, parts = signature
    check: Callable[[Any, Any], bool] | None = _SIGNATURES.get(kind)
    _check(check is not None and check(what, parts), "a shape")
    if kind != "a" and parts is not None:
        for part in parts:
            _check_signature(part, depth + 1)


def _is_dict(what: Any, parts: Any) -> bool:
    keys = type(what) is tuple and all(type(key) is str for key in what)
    return keys and type(parts) is tuple and len(parts) == len(what) == len({*what})


def _is_list(what: Any, parts: Any) -> bool:
    sized = type(what) is int and 0 <= what <= 2 * MAX_LEAVES
    return sized and (parts is None or (type(parts) is tuple and len(parts) == what))


def _is_array(what: Any, parts: Any) -> bool:
    sized = type(parts) is tuple and all(type(n) is int and 0 <= n <= MAX_LEAVES for n in parts)
    return what in _DTYPES and sized and len(parts) <= 32


_SIGNATURES = {"d": _is_dict, "l": _is_list, "t": _is_list, "a": _is_array}


def _widths(given: Any, count: int) -> tuple[int, ...]:
    widths = _list(given)
    _check(all(type(width) is int and width > 0 for width in widths), "shares")
    _check(sum(widths) == TOTAL and len(widths) == count <= MOST_CHOICES, "shares")
    return tuple(widths)


def _list(given: Any) -> list[Any]:
    if type(given) is not list:
        raise TypeError("a list is missing")
    return given


def _check(sound: object, what: str) -> None:
    if not sound:
        raise ValueError(f"{what} has no meaning")
