#!/usr/bin/env bash
# Guess: an index of int8 vectors under squared Euclidean distance is a coarser version of the one
# of floats: nearly the same neighbours.
#
# Found: vectors are scaled to unit length before they become int8, whatever the metric. A vector
# and ten times that vector have the distance 0, a near one of another direction is far: the
# nearest neighbour of a vector is the most remote of the set, and distances are in units of their
# own. With float16 the order is right.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv usearch==2.26.6 numpy==2.4.6
run_python <<'PY'
import numpy as np
from usearch.index import Index

query = np.array([0.1, -0.1, 0.4, 0.02], np.float32)
stored = {1: query * 10, 2: np.array([0.1, 0.1, 0.1, 0.1], np.float32)}
exact = {key: float(((vector - query) ** 2).sum()) for key, vector in stored.items()}
print("exact  ", exact)
nearest = {}
for dtype in ("f32", "f16", "i8"):
    index = Index(ndim=4, metric="l2sq", dtype=dtype)
    for key, vector in stored.items():
        index.add(key, vector)
    matches = index.search(query, 2)
    nearest[dtype] = int(matches.keys[0])
    print(f"{dtype:7}", dict(zip(matches.keys.tolist(), matches.distances.tolist(), strict=True)))
    if dtype == "i8":
        assert matches.distances[0] == 0
assert exact[2] < exact[1]
assert nearest == {"f32": 2, "f16": 2, "i8": 1}
print("unchanged: int8 indexes forget how long a vector is")
PY
