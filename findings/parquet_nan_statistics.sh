#!/usr/bin/env bash
# Guess: whether a Parquet file carries statistics changes the speed of a filter, not its result.
#
# Found: writers leave NaN out of a column's minimum and maximum, as the format asks, and readers
# skip row groups by them. On the same four rows, once with and once without statistics:
# DuckDB finds no row for isnan(x) and a maximum of 3.0 with them, the NaN row and a maximum of NaN
# without. PyArrow loses the NaN row of `not x <= 5`, which its own filter on the table in memory
# keeps. Polars gives the same answer both times. Diverged runs, which one looks for by just such
# queries, are the rows that go missing.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv pyarrow==26.0.1 duckdb==2.0.1 polars==2.1.0
run_python <<'PY'
import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

table = pa.table({"run": [1, 2, 3, 4], "x": [1.0, float("nan"), 3.0, 2.0]})
pq.write_table(table, "with.parquet")
pq.write_table(table, "without.parquet", write_statistics=False)
kept = ~(pc.field("x") <= 5)


def answers(path):
    def query(sql):
        return [row[0] for row in duckdb.sql(sql).fetchall()]

    return {
        "duckdb isnan(x)": query(f"select run from '{path}' where isnan(x)"),
        "duckdb max(x)": str(query(f"select max(x) from '{path}'")[0]),
        "pyarrow not x <= 5": ds.dataset(path).to_table(filter=kept)["run"].to_pylist(),
        "polars x > 5": pl.scan_parquet(path).filter(pl.col("x") > 5).collect()["run"].to_list(),
    }


with_statistics, without = answers("with.parquet"), answers("without.parquet")
in_memory = table.filter(kept)["run"].to_pylist()
for question in without:
    print(f"{question:20} with {with_statistics[question]!s:5} without {without[question]}")
print("pyarrow in memory   ", in_memory)
assert with_statistics == {
    "duckdb isnan(x)": [],
    "duckdb max(x)": "3.0",
    "pyarrow not x <= 5": [],
    "polars x > 5": [2],
}
assert without == {
    "duckdb isnan(x)": [2],
    "duckdb max(x)": "nan",
    "pyarrow not x <= 5": [2],
    "polars x > 5": [2],
}
assert in_memory == [2]
print("unchanged: statistics in the file decide whether NaN rows are found")
PY
