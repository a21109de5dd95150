#!/usr/bin/env bash
# Guess: a cache behaves like a dict on disk: equal keys find the same entry, and a float comes back
# as it went in.
#
# Found: 1. tuples are keyed by their pickle, and pickle writes a string that occurs twice as one
# object shorter than two equal strings. The key (name, name) stored from one variable is not found
# with a pair of strings that were read from a file: the entry is computed again or stored twice.
# 2. a bare NaN goes into an SQLite column, which knows no NaN, and comes back as None; inside a
# list it survives.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv diskcache==5.6.3
run_python <<'PY'
import math

import diskcache

cache = diskcache.Cache("cache")
name = "agent-" + "7"
same = "-".join(["agent", "7"])
pair, equal_pair = (name, name), (name, same)
cache[pair] = "their trust"
print("keys equal:", pair == equal_pair, "found:", cache.get(equal_pair))
cache[equal_pair] = "stored again"
print("entries under equal keys:", len(cache))
cache["reward"] = math.nan
cache["rewards"] = [math.nan]
cache["limit"] = math.inf
print("NaN ->", cache["reward"], " [NaN] ->", cache["rewards"], " inf ->", cache["limit"])
assert pair == equal_pair
assert hash(pair) == hash(equal_pair)
assert list(cache)[:2] == [pair, equal_pair]
assert cache[pair] == "their trust"
assert cache["reward"] is None
assert math.isnan(cache["rewards"][0])
assert cache["limit"] == math.inf
print("unchanged: equal keys miss each other, and NaN turns into None")
PY
