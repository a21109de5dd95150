"""Record batches to files of one format: Parquet, JSON by line, CSV. Needs pyarrow."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq


class Writer(Protocol):
    """An open file that takes record batches."""

    def write_batch(self, batch: Any) -> None:
        """Write the rows of a batch."""

    def close(self) -> None:
        """Write what is held back, and close."""


def parquet_writer(path: Path, schema: Any) -> Writer:
    """Open a Parquet file."""
    return pq.ParquetWriter(path, schema, compression="zstd")  # type: ignore[no-any-return]


class JsonLines:
    """A file with a JSON object for each row; what is null is left out."""

    def __init__(self, path: Path, schema: Any) -> None:
        del schema  # each row names its columns
        self._file = path.open("w", encoding="utf-8")

    def write_batch(self, batch: Any) -> None:
        """Write the rows of a batch."""
        for row in batch.to_pylist():
            values = {name: _json_value(value) for name, value in row.items() if value is not None}
            self._file.write(json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n")

    def close(self) -> None:
        """Write what is held back, and close."""
        self._file.close()


class Csv:
    """A CSV file with a line of names; lists and structs are JSON, bytes base64."""

    def __init__(self, path: Path, schema: Any) -> None:
        fields = [pa.field(field.name, _csv_type(field.type)) for field in schema]
        self._schema = pa.schema(fields)
        self._writer = pa_csv.CSVWriter(path, self._schema)

    def write_batch(self, batch: Any) -> None:
        """Write the rows of a batch."""
        arrays = [
            column if column.type == field.type else _as_text(column)
            for column, field in zip(batch.columns, self._schema, strict=True)
        ]
        self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        """Write what is held back, and close."""
        self._writer.close()


WRITERS: Mapping[str, Callable[[Path, Any], Writer]] = {
    "parquet": parquet_writer,
    "jsonl": JsonLines,
    "csv": Csv,
}
"""By format, how its files are opened."""


def _csv_type(type_: Any) -> Any:
    plain = pa.types.is_integer(type_) or pa.types.is_boolean(type_) or pa.types.is_string(type_)
    return type_ if plain else pa.string()


def _as_text(column: Any) -> Any:
    return pa.array([_text(value) for value in column.to_pylist()], pa.string())


def _text(value: Any) -> str | None:
    if value is None:
        return None
    plain = _json_value(value)
    if isinstance(value, float):
        return repr(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _json_value(value: Any) -> Any:
    """A value as JSON has it, to be read by people: dates as text, bytes as base64."""
    if isinstance(value, dict):
        return {name: _json_value(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_json_value(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
