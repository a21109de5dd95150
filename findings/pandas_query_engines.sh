#!/usr/bin/env bash
# Guess: DataFrame.query finds the rows that the same expression finds as a mask; that numexpr is
# installed changes how fast, not which.
#
# Found: pandas picks numexpr once it can be imported, and numexpr computes small integers in wider
# types. With uint8 columns, u - v < 0 finds rows with it and none without it or as a mask;
# u - v > 150 is the other way round. The same script selects other rows on a machine where some
# package brought numexpr along. The docstring of eval tells of the engines' speed, not
# of their types.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv pandas==3.1.1 numexpr==2.14.2 numpy==2.4.6
cat >query.py <<'PY'
import numpy as np
import pandas as pd

frame = pd.DataFrame(
    {"u": np.array([1, 2, 200], np.uint8), "v": np.array([2, 100, 100], np.uint8)}
)
print(
    frame.query("u - v < 0").index.tolist(),
    frame.query("u - v > 150").index.tolist(),
    frame.query("u + v > 255").index.tolist(),
    "masks:",
    frame[frame.u - frame.v < 0].index.tolist(),
    frame[frame.u - frame.v > 150].index.tolist(),
    frame[frame.u.astype(int) + frame.v > 255].index.tolist(),
)
PY
with=$("$folder/venv/bin/python" -I query.py)
"$folder/venv/bin/python" -m pip uninstall -qq -y --disable-pip-version-check numexpr
without=$("$folder/venv/bin/python" -I query.py)
echo "u - v < 0, u - v > 150, u + v > 255"
echo "with numexpr:    $with"
echo "without numexpr: $without"
[ "$with" = "[0, 1] [] [2] masks: [] [0, 1] [2]" ]
[ "$without" = "[] [0, 1] [] masks: [] [0, 1] [2]" ]
echo "unchanged: the rows of a query depend on whether numexpr is installed"
