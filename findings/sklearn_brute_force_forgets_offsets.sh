#!/usr/bin/env bash
# Guess: scikit-learn's NearestNeighbors finds the same neighbours whichever algorithm it picks, and
# brute force is the exact one that the trees are compared with.
#
# Found: brute force expands (x - y)^2 to x^2 - 2xy + y^2. For doubles around 1.7e9, as times in
# seconds are, the difference is lost in the squares: of 200 points asked for themselves, 4 in a
# hundred find themselves, all at distance 0.0. The trees find all. The default takes brute force
# from 16 columns on, so that a column more changes a right answer to a random one. The note on
# euclidean_distances says "not the most precise"; NearestNeighbors says nothing.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6
run_python <<'PY'
import numpy as np
from sklearn.neighbors import NearestNeighbors

rng = np.random.default_rng(0)


def share_that_finds_itself(algorithm, columns):
    times = 1.7e9 + rng.uniform(0, 100, (200, columns))
    index = NearestNeighbors(n_neighbors=1, algorithm=algorithm).fit(times)
    _, found = index.kneighbors(times)
    share = float(np.mean(found[:, 0] == np.arange(200)))
    print(f"{algorithm:10} {columns:3} columns: {share:.3f} of the points find themselves")
    return share


assert share_that_finds_itself("kd_tree", 2) == 1
assert share_that_finds_itself("ball_tree", 2) == 1
assert share_that_finds_itself("brute", 2) < 0.1
assert share_that_finds_itself("auto", 15) == 1
assert share_that_finds_itself("auto", 16) < 0.1
print("unchanged: brute force loses what a common offset leaves apart")
PY
