#!/usr/bin/env bash
# Guess: an as-of join means the same in pandas, Polars and DuckDB. Of several rows with the matching
# time, all take the one that was logged last; of two rows at the same distance, "nearest" takes the
# same one everywhere.
#
# Found: pandas and Polars take the last of equal times, DuckDB the one that was stored first: an
# agent that changed twice in one step is joined with its old state, and sorting the table backwards
# changes the answer. Of two rows at the same distance, pandas takes the earlier and Polars the
# later. Polars documents both choices, pandas the one among equal times; a search of DuckDB's
# documentation for ties found nothing.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv duckdb==2.0.1 pandas==3.1.1 polars==2.1.0 numpy==2.4.6
run_python <<'PY'
import duckdb
import pandas as pd
import polars as pl

asked = {"step": [10, 20]}
logged = {"step": [5, 10, 10, 20, 20], "mood": ["calm", "old", "new", "old", "new"]}


def in_duckdb(rows):
    values = ", ".join(f"({step}, '{mood}')" for step, mood in rows)
    query = f"""
        WITH asked(step) AS (VALUES (10), (20)), logged(step, mood) AS (VALUES {values})
        SELECT mood FROM asked ASOF JOIN logged ON asked.step >= logged.step
        ORDER BY asked.step
    """
    return [mood for (mood,) in duckdb.sql(query).fetchall()]


rows = list(zip(logged["step"], logged["mood"], strict=True))
last = {
    "pandas": pd.merge_asof(pd.DataFrame(asked), pd.DataFrame(logged), on="step").mood.tolist(),
    "Polars": pl.DataFrame(asked).join_asof(pl.DataFrame(logged), on="step")["mood"].to_list(),
    "DuckDB": in_duckdb(rows),
    "DuckDB, rows backwards": in_duckdb(rows[::-1]),
}
for engine, moods in last.items():
    print(f"{engine:23} moods as of steps 10 and 20: {moods}")

middle, around = {"step": [25]}, {"step": [20, 30], "mood": ["before", "after"]}
nearest = {
    "pandas": pd.merge_asof(
        pd.DataFrame(middle), pd.DataFrame(around), on="step", direction="nearest"
    ).mood[0],
    "Polars": pl.DataFrame(middle).join_asof(
        pl.DataFrame(around), on="step", strategy="nearest"
    )["mood"][0],
}
print("nearest to step 25, of steps 20 and 30:", nearest)
assert last["pandas"] == last["Polars"] == ["new", "new"]
assert last["DuckDB"] == ["old", "old"]
assert last["DuckDB, rows backwards"] == ["new", "new"]
assert nearest == {"pandas": "before", "Polars": "after"}
print("unchanged: three as-of joins settle ties in three ways")
PY
