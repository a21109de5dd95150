#!/usr/bin/env bash
# Guess: polars widens sums, as it does for Int8 and Int16 and as pandas and PyArrow do for Int32,
# or it fails on overflow.
#
# Found: sums of Int32 and UInt32 wrap in silence, also per group. Counts are UInt32 (pl.len()), so
# the sum of two large counts can be a small number, 0 in the extreme, and their difference is
# 4294967295 instead of -1.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv polars==2.1.0 pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6
run_python <<'PY'
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

values = [2**31 - 1, 1]
sums = {
    "polars Int8": pl.Series([127, 1], dtype=pl.Int8).sum(),
    "polars Int16": pl.Series([32767, 1], dtype=pl.Int16).sum(),
    "polars Int32": pl.Series(values, dtype=pl.Int32).sum(),
    "polars UInt32": pl.Series([2**32 - 1, 1], dtype=pl.UInt32).sum(),
    "polars Int32, by group": pl.DataFrame(
        {"group": [1, 1], "x": pl.Series(values, dtype=pl.Int32)}
    )
    .group_by("group")
    .agg(pl.col("x").sum())["x"][0],
    "pandas int32": int(pd.Series(values, dtype="int32").sum()),
    "pyarrow int32": pc.sum(pa.array(values, pa.int32())).as_py(),
}
for name, total in sums.items():
    print(f"{name:23} {total}")
counts = pl.DataFrame({"herd": [1, 1, 2]}).group_by("herd", maintain_order=True).len()
losses = counts.select(pl.col("len") - 2)["len"].to_list()
print("herd counts", counts["len"].to_list(), "minus 2:", losses)
assert sums == {
    "polars Int8": 128,
    "polars Int16": 32768,
    "polars Int32": -(2**31),
    "polars UInt32": 0,
    "polars Int32, by group": -(2**31),
    "pandas int32": 2**31,
    "pyarrow int32": 2**31,
}
assert losses == [0, 2**32 - 1]
print("unchanged: 32-bit sums and counts wrap around")
PY
