#!/usr/bin/env bash
# Guess: river's StandardScaler learns the same from rows in one frame as from the same rows one by
# one, but for the last digits.
#
# Found: learn_many merges means and variances in a form that cancels. For times around 1.7e9 the
# variance of two batches is 0.0 where row by row it is right, and a column without variance is
# not scaled: transform_one gives 0.0 for every value, so that the column is gone. No
# warning.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv river==0.26.1 pandas==3.1.1 numpy==2.4.6 scipy==1.17.1
run_python <<'PY'
import pandas as pd
from river import preprocessing

times = [1.7e9, 1.7e9 + 1, 1.7e9 + 2]
by_row, by_frame = preprocessing.StandardScaler(), preprocessing.StandardScaler()
for _ in range(2):
    for time in times:
        by_row.learn_one({"time": time})
    by_frame.learn_many(pd.DataFrame({"time": times}))
for name, scaler in (("learn_one", by_row), ("learn_many", by_frame)):
    scaled = scaler.transform_one({"time": 1.7e9 + 2})["time"]
    print(f"{name:10} mean {scaler.means['time']}, variance {scaler.vars['time']:.4f}, scaled {scaled}")
assert by_row.means["time"] == by_frame.means["time"] == 1.7e9 + 1
assert abs(by_row.vars["time"] - 2 / 3) < 1e-6
assert by_frame.vars["time"] == 0
print("unchanged: frames of offset values have no variance")
PY
