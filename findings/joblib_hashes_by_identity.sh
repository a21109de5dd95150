#!/usr/bin/env bash
# Guess: joblib.hash, by which joblib.Memory knows its arguments again, depends on what the values
# are: equal contents give equal hashes.
#
# Found: it also depends on which objects they are. A list that holds one tuple twice and one that
# holds two equal tuples hash differently, and so do a strided view of an array and its copy. A
# cached step of a simulation is computed again, and comparing hashes to see whether two worlds are
# equal says no.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv joblib==1.6.0 numpy==2.4.6
run_python <<'PY'
import tempfile

import joblib
import numpy as np

home = (3, 4)
shared = {"ant": [home, home]}
apart = {"ant": [home, tuple([3, 4])]}
print("equal:", shared == apart, "- hashes equal:", joblib.hash(shared) == joblib.hash(apart))
assert shared == apart and joblib.hash(shared) != joblib.hash(apart)

grid = np.arange(8.0)
view = grid[::2]
print("view and copy:", joblib.hash(view) == joblib.hash(view.copy()))
assert joblib.hash(view) != joblib.hash(view.copy())

calls = []
memory = joblib.Memory(tempfile.mkdtemp(dir="."), verbose=0)


@memory.cache
def outcome(state):
    calls.append(state)
    return len(state)


outcome(shared)
outcome(shared)
outcome(apart)
print("calls for one state:", len(calls))
assert len(calls) == 2
print("unchanged: equal contents hash differently")
PY
