"""Arrow's types and arrays of what columns hold. Needs pyarrow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import accumulate, chain
from typing import Any

import numpy as np
import pyarrow as pa

from agent_memory.system.frames.json_text import to_json
from agent_memory.system.frames.kinds import (
    NOTHING,
    Form,
    Kind,
    fields_of_dict,
    items_of,
)
from agent_memory.values.plain import python_scalar

METADATA = b"agent_memory"
"""The key of a field's metadata: JSON of the names of Python's types, and how they are written."""

_INT64 = 2**63
_NUMPY = {
    **{f"numpy.{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32)},
    "numpy.uint64": "uint64",
    "numpy.float16": "float32",  # which many readers lack
    "numpy.float32": "float32",
}
_PLAIN = {
    Form.NOTHING: pa.null(),
    Form.BOOL: pa.bool_(),
    Form.TEXT: pa.string(),
    Form.BYTES: pa.binary(),
    Form.DATE: pa.date32(),
    Form.TIME: pa.time64("us"),
    Form.WORD: pa.string(),
    Form.JSON: pa.string(),
}


def field_of(name: str, kind: Kind) -> Any:
    """The field of a column: its Arrow type, and in its metadata what its values were."""
    metadata: dict[str, Any] = {"types": sorted(kind.types)}
    type_ = arrow_type(kind)
    if kind.form is Form.WORD or (kind.form is Form.INT and pa.types.is_string(type_)):
        metadata["as"] = "text"
    if kind.form is Form.JSON or (kind.form is Form.STRUCT and not kind.fields):
        metadata["as"] = "json"
    return pa.field(name, type_, metadata={METADATA: json.dumps(metadata)})


def arrow_type(kind: Kind) -> Any:
    """The Arrow type of a kind."""
    if kind.form in _PLAIN:
        return _PLAIN[kind.form]
    if kind.form in (Form.INT, Form.FLOAT):
        return _number_type(kind)
    if kind.form is Form.TIMESTAMP:
        return pa.timestamp(*kind.detail.split(",", 1))
    if kind.form is Form.DURATION:
        return pa.duration(kind.detail)
    if kind.form is Form.LIST:
        return pa.list_(field_of("item", kind.item or NOTHING))
    if not kind.fields:  # Parquet takes no struct without fields
        return pa.string()
    return pa.struct([field_of(name, part) for name, part in kind.fields.items()])


def _number_type(kind: Kind) -> Any:
    [name] = kind.types if len(kind.types) == 1 else [""]
    if name in _NUMPY:
        return pa.type_for_alias(_NUMPY[name])
    if kind.form is Form.FLOAT:
        return pa.float64()
    return pa.int64() if -_INT64 <= kind.least <= kind.most < _INT64 else pa.string()


def array_of(kind: Kind, values: Sequence[Any]) -> Any:
    """The Arrow array of a column's values; None is null."""
    type_ = arrow_type(kind)
    if kind.form is Form.LIST:
        return _lists(kind, type_, values)
    if kind.form is Form.STRUCT and kind.fields:
        return _structs(kind, type_, values)
    if kind.form in (Form.JSON, Form.STRUCT):
        return pa.array([None if value is None else to_json(value) for value in values], type_)
    if kind.form is Form.WORD or (kind.form is Form.INT and pa.types.is_string(type_)):
        return pa.array([None if value is None else str(value) for value in values], type_)
    if _of_numpy(kind):
        values = [
            python_scalar(value) if isinstance(value, np.generic) else value for value in values
        ]
    # NaN is a number here, and not what is missing.
    return pa.array(values, type_, from_pandas=False)


_AS_THEY_ARE = {Form.NOTHING, Form.BOOL, Form.FLOAT, Form.TEXT, Form.BYTES}


def _of_numpy(kind: Kind) -> bool:
    return any(name.startswith("numpy.") for name in kind.types)


def _python_value(value: Any) -> Any:
    return python_scalar(value) if isinstance(value, np.generic) else value


def _lists(kind: Kind, type_: Any, values: Sequence[Any]) -> Any:
    item = kind.item or NOTHING
    if kind.types <= {"list", "tuple"} and item.form in _AS_THEY_ARE and not _of_numpy(item):
        return pa.array(values, type_, from_pandas=False)
    lists = [items_of(value) for value in values]
    lengths = [0 if value is None else len(value) for value in lists]
    items = [*chain.from_iterable(value for value in lists if value is not None)]
    offsets = pa.array([*accumulate(lengths, initial=0)], pa.int32())
    inner = array_of(item, items)
    return pa.ListArray.from_arrays(offsets, inner, type=type_, mask=_mask(lists))


def _structs(kind: Kind, type_: Any, values: Sequence[Any]) -> Any:
    named = [fields_of_dict(value) for value in values]
    fields = kind.fields or {}
    columns = [
        array_of(part, [None if each is None else each.get(name) for each in named])
        for name, part in fields.items()
    ]
    return pa.StructArray.from_arrays(columns, fields=list(type_), mask=_mask(named))


def _mask(values: Sequence[Any]) -> Any:
    return pa.array([value is None for value in values], pa.bool_())
