#!/usr/bin/env bash
# Guess: the sum of a column of integers that is fetched from DuckDB is an integer, whichever way it
# is fetched.
#
# Found: a sum is a HUGEINT. fetchall and Arrow give it exactly; df and fetchnumpy give a float64,
# so that sums above 2^53 lose their last digits and a count that was summed is 3.0. max, min and
# count of the same column stay integers.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv duckdb==2.0.1 pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6
run_python <<'PY'
import duckdb
import pandas as pd

steps = pd.DataFrame({"reward": [2**53, 1]})
total = duckdb.sql("SELECT sum(reward) AS total, max(reward) AS most, count(*) AS rows FROM steps")
rows = total.fetchall()
print("fetchall:", rows)
assert rows == [(2**53 + 1, 2**53, 2)]

frame = total.df()
print("df:", frame.dtypes.astype(str).to_dict(), int(frame["total"][0]))
assert frame.dtypes.astype(str).to_dict() == {"total": "float64", "most": "int64", "rows": "int64"}
assert int(frame["total"][0]) == 2**53

assert str(total.fetchnumpy()["total"].dtype) == "float64"
table = total.to_arrow_table()
print("Arrow:", table.schema.field("total").type, table["total"].to_pylist())
assert int(table["total"][0].as_py()) == 2**53 + 1
print("unchanged: sums of integers are floats in frames")
PY
