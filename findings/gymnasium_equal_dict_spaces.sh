#!/usr/bin/env bash
# Guess: two spaces that compare equal flatten the same observation to the same vector.
#
# Found: Dict({"speed": ..., "gear": ...}) sorts its keys, Dict(speed=..., gear=...) keeps them as
# written. The two compare equal, and their flat vectors hold the fields in another order. Vectors
# that were stored under one spelling are unflattened into the wrong fields under the other, and a
# check that the spaces are equal passes.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv gymnasium==1.4.0 numpy==2.4.6
run_python <<'PY'
import numpy as np
from gymnasium.spaces import Box, Dict, flatten, unflatten


def field():
    return Box(-100, 100, (1,), np.float32)


by_mapping = Dict({"speed": field(), "gear": field()})
by_keywords = Dict(speed=field(), gear=field())
observation = {"speed": np.array([88], np.float32), "gear": np.array([3], np.float32)}
stored = flatten(by_keywords, observation)
loaded = unflatten(by_mapping, stored)
print("equal:", by_mapping == by_keywords)
print("by mapping:", list(by_mapping), flatten(by_mapping, observation).tolist())
print("by keywords:", list(by_keywords), stored.tolist())
print("stored by keywords, loaded by mapping:", {k: v.tolist() for k, v in loaded.items()})
assert by_mapping == by_keywords
assert stored.tolist() == [88, 3]
assert flatten(by_mapping, observation).tolist() == [3, 88]
assert loaded["speed"].tolist() == [3]
assert loaded["gear"].tolist() == [88]
print("unchanged: equal Dict spaces flatten in different orders")
PY
