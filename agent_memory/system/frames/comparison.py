"""Two runs side by side in one frame. Needs pandas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

_ENTRY = ["agent_id", "step_number", "memory_type"]
_KEYS = [*_ENTRY, "occurrence"]
_SIDES = {"left_only": "a", "right_only": "b", "both": "both"}


def compared(one: pd.DataFrame, other: pd.DataFrame, *, only_differing: bool) -> pd.DataFrame:
    """What two frames of ``to_pandas`` hold of the same agents, steps and types.

    Args:
        one: The entries of a run.
        other: The entries of another.
        only_differing: Leave out rows in which all contents are the same.
    """
    paths = sorted(
        {name for frame in (one, other) for name in frame if name.startswith("contents.")}
    )
    both = pd.merge(
        _side(one, "a", paths), _side(other, "b", paths), how="outer", on=_KEYS, indicator="in"
    )
    both["in"] = both["in"].astype(object).map(_SIDES)
    differs = (both["in"] != "both").to_numpy(dtype=bool)
    columns: dict[str, Any] = {}
    for path in paths:
        a, b = both[f"a.{path}"], both[f"b.{path}"]
        differs = differs | _differing(a, b)
        columns |= {f"a.{path}": a, f"b.{path}": b}
        if _is_number(a) and _is_number(b):
            columns[f"difference.{path}"] = b - a
    head = {"in": both["in"], "differs": differs}
    frame = pd.DataFrame({name: both[name] for name in _KEYS} | head | columns)
    return frame[frame["differs"]].reset_index(drop=True) if only_differing else frame


def _side(frame: pd.DataFrame, side: str, paths: list[str]) -> pd.DataFrame:
    """The keys and contents of a frame, under names of their side."""
    found = pd.DataFrame({name: frame[name].astype(object) for name in ("agent_id", "memory_type")})
    found["step_number"] = frame["step_number"].astype("int64")
    found["occurrence"] = found.groupby(_ENTRY).cumcount()
    for path in paths:
        found[f"{side}.{path}"] = frame.get(path, pd.NA)
    return found


def _is_number(column: Any) -> bool:
    return is_numeric_dtype(column.dtype) and not is_bool_dtype(column.dtype)


def _differing(a: Any, b: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Where two columns hold other values; two missing ones are the same."""
    missing = a.isna().to_numpy(dtype=bool), b.isna().to_numpy(dtype=bool)
    if _is_number(a) and _is_number(b):
        unequal = (a != b).fillna(True).to_numpy(dtype=bool)
    else:
        pairs = zip(a.astype(object), b.astype(object), strict=True)
        unequal = np.array([not _is_same(*pair) for pair in pairs], dtype=bool)
    found: np.ndarray[Any, np.dtype[np.bool_]] = unequal & ~(missing[0] & missing[1])
    return found


def _is_same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return bool(np.array_equal(a, b))
    return a is b or bool(a is not pd.NA and b is not pd.NA and a == b)
