"""Arrow tables as data frames of pandas and polars, and as relations of DuckDB."""

from __future__ import annotations

from typing import Any

import pyarrow as pa


def to_pandas(table: Any) -> Any:
    """A table as a pandas data frame in which ints stay ints beside missing values."""
    import pandas as pd  # noqa: PLC0415  # takes 0.5 s, which other frames need not pay

    nullable = {
        pa.bool_(): pd.BooleanDtype(),
        **{pa.type_for_alias(f"int{bits}"): getattr(pd, f"Int{bits}Dtype")() for bits in _BITS},
        **{pa.type_for_alias(f"uint{bits}"): getattr(pd, f"UInt{bits}Dtype")() for bits in _BITS},
    }

    def dtype_of(type_: Any) -> Any:
        # pandas would make arrays of floats of nested ints where one is missing.
        return pd.ArrowDtype(type_) if pa.types.is_nested(type_) else nullable.get(type_)

    return table.to_pandas(types_mapper=dtype_of)


_BITS = (8, 16, 32, 64)


def to_polars(table: Any) -> Any:
    """A table as a polars data frame."""
    import polars as pl  # noqa: PLC0415  # an extra of its own

    return pl.from_arrow(table)


def to_duckdb(table: Any, connection: Any) -> Any:
    """A table as a relation of DuckDB.

    Args:
        table: The table.
        connection: The connection; None: one in memory, of its own.
    """
    import duckdb  # noqa: PLC0415  # an extra of its own

    return (connection or duckdb.connect()).from_arrow(table)
