#!/usr/bin/env bash
# Guess: the largest value of a window that holds infinity is infinity, as in cummax, in max and in
# the windows of Polars.
#
# Found: rolling, expanding and ewm take infinity for a missing value. The running maximum of
# [1, inf, 2] is [1, 1, 2] by expanding().max() and [1, inf, inf] by cummax(); a rolling mean with
# min_periods=1 leaves an unbounded cost out and looks finite, though count() counts it. Not in
# the docstrings; pandas' issue 57549 is open.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv pandas==3.1.1 polars==2.1.0 numpy==2.4.6
run_python <<'PY'
import math

import numpy as np
import pandas as pd
import polars as pl

costs = [1.0, np.inf, 2.0]
series = pd.Series(costs)
results = {
    "expanding().max()": series.expanding().max().tolist(),
    "cummax()": series.cummax().tolist(),
    "rolling(2, min_periods=1).mean()": series.rolling(2, min_periods=1).mean().tolist(),
    "rolling(2, min_periods=1).count()": series.rolling(2, min_periods=1).count().tolist(),
    "rolling(2).max()": series.rolling(2).max().tolist(),
    "ewm(alpha=0.5).mean()": series.ewm(alpha=0.5).mean().tolist(),
    "Polars rolling_max(2)": pl.Series(costs).rolling_max(2).to_list(),
}
for name, values in results.items():
    print(f"{name:34} {values}")
assert results["expanding().max()"] == [1.0, 1.0, 2.0]
assert results["cummax()"] == [1.0, math.inf, math.inf]
assert results["rolling(2, min_periods=1).mean()"] == [1.0, 1.0, 2.0]
assert results["rolling(2, min_periods=1).count()"] == [1.0, 2.0, 2.0]
assert all(map(math.isnan, results["rolling(2).max()"]))
assert np.isfinite(results["ewm(alpha=0.5).mean()"]).all()
assert results["Polars rolling_max(2)"] == [None, math.inf, math.inf]
print("unchanged: pandas' windows leave infinities out")
PY
