#!/usr/bin/env bash
# Guess: a Hugging Face dataset in NumPy format returns the stored doubles, and the same ones
# whether a row or a slice is asked for.
#
# Found: a row is a float64, a slice of the same column is a float32: the two differ for nearly
# every value, times beyond 2^24 move to the next even number, and which of them an analysis sees
# depends on how it loops. The file holds doubles. Asking for the dtype mends it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv datasets==5.2.0 numpy==2.4.6 pyarrow==26.0.1 pandas==3.1.1
export HF_HOME=$folder/cache HF_HUB_OFFLINE=1
run_python <<'PY'
import numpy as np
from datasets import Dataset

stored = {"time": [16777217.0, 16777219.0], "reward": [0.1, 0.2]}
dataset = Dataset.from_dict(stored)
view = dataset.with_format("numpy")
row, part = view[0], view[:1]
print("Arrow type:", dataset.data.schema.field("time").type)
for name in stored:
    print(f"{name:6} row {row[name].dtype} {float(row[name])!r}, ", end="")
    print(f"slice {part[name].dtype} {float(part[name][0])!r}")
asked = dataset.with_format("numpy", dtype=np.float64)[:1]
assert str(dataset.data.schema.field("time").type) == "double"
assert dataset["time"][:] == stored["time"]
assert row["time"].dtype == np.float64
assert part["time"].dtype == np.float32
assert row["time"] == 16777217
assert part["time"][0] == 16777216
assert part["reward"][0] != row["reward"]
assert asked["time"][0] == 16777217
print("unchanged: slices are rounded to single precision, rows are not")
PY
