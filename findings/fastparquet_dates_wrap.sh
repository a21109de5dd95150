#!/usr/bin/env bash
# Guess: fastparquet reads every date that a Parquet file can hold, now that pandas keeps times in
# coarser units than nanoseconds; at worst it refuses one.
#
# Found: dates become nanoseconds and wrap around silently: the year 2500 of a long simulation comes
# back in 1915, rows sort in another order, and a filter on the date loses them. Timestamps of the
# same days in microseconds come back right, and PyArrow reads both. The docstrings name no limit
# for dates.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv fastparquet==2026.9.0 pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6
run_python <<'PY'
import datetime

import fastparquet
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

days = [datetime.date(year, 1, 1) for year in (1500, 2025, 2262, 2263, 2500)]
moments = [datetime.datetime(day.year, 1, 1) for day in days]
pq.write_table(
    pa.table({"day": days, "moment": pa.array(moments, pa.timestamp("us"))}), "run.parquet"
)
file = fastparquet.ParquetFile("run.parquet")
read = {"fastparquet": file.to_pandas(), "pyarrow": pd.read_parquet("run.parquet")}
years = {engine: [day.year for day in frame.day] for engine, frame in read.items()}
for engine, found in years.items():
    print(f"{engine:12} {found}")
late = file.to_pandas(filters=[("day", ">", pd.Timestamp("2400-01-01"))])
print("fastparquet, days after 2400:", len(late), "row(s)")
assert years["pyarrow"] == [1500, 2025, 2262, 2263, 2500]
assert years["fastparquet"] == [2084, 2025, 2262, 1678, 1915]
assert [moment.year for moment in read["fastparquet"].moment] == years["pyarrow"]
assert late.empty
print("unchanged: dates outside 1677-2262 turn into other dates")
PY
