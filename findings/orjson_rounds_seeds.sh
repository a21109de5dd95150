#!/usr/bin/env bash
# Guess: orjson reads an integer as an integer, or refuses one that is too large for it, as it does
# when writing.
#
# Found: above 64 bits it returns a float, rounded. The seeds that NumPy and Gymnasium draw have
# 128 bits and the standard library writes them exactly: read back by orjson, a log's seed is a
# float that int() turns into another seed, and the run cannot be replayed. The standard library
# and msgspec read the same text exactly.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv orjson==3.13.0 msgspec==0.23.0 numpy==2.4.6
run_python <<'PY'
import json

import msgspec
import numpy as np
import orjson

seed = np.random.SeedSequence(entropy=2**127 + 12345).entropy
text = json.dumps({"seed": seed})
read = {
    "json": json.loads(text)["seed"],
    "msgspec": msgspec.json.decode(text)["seed"],
    "orjson": orjson.loads(text)["seed"],
}
for library, value in read.items():
    print(f"{library:8} {value!r}")
try:
    orjson.dumps(seed)
except TypeError as error:
    refusal = str(error)
print("orjson, writing it:", refusal)
replayed = int(read["orjson"])
first = [np.random.default_rng(value).random() for value in (seed, replayed)]
print("first random number with the seed and with the one read:", first)
assert read["json"] == read["msgspec"] == seed
assert isinstance(read["orjson"], float)
assert replayed != seed
assert first[0] != first[1]
assert "64-bit" in refusal
print("unchanged: orjson reads large integers as rounded floats")
PY
