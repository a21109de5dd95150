#!/usr/bin/env bash
# Guess: Awkward Array reads an integer of JSON that is too large for int64 as what it is, as a
# float, or with an error.
#
# Found: from 2^63 up to 2^64 it wraps to a negative number, one of more digits becomes a float, and
# neither is told. Ids and seeds of 64 bits, which half of the time have the upper bit set, come
# back as other numbers. from_iter refuses them, and an array of NumPy's uint64 keeps them, so that
# to_json followed by from_json does not return what was written.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv awkward==2.14.0 awkward-cpp==57 numpy==2.4.6
run_python <<'PY'
import awkward as ak
import numpy as np

seed = 12345678901234567890
written = ak.to_json(ak.Array(np.array([seed], dtype=np.uint64)))
read = ak.from_json(written).tolist()
print(f"written {written}, read {read}")
assert written == f"[{seed}]" and read == [seed - 2**64]

records = ak.from_json(f'[{{"agent": "a", "seed": {seed}}}]').tolist()
print("in a record:", records)
assert records == [{"agent": "a", "seed": seed - 2**64}]

longer = ak.from_json(f"[{seed}0]").tolist()
print("one digit more:", longer)
assert isinstance(longer[0], float) and int(longer[0]) != seed * 10

try:
    print("from_iter:", ak.from_iter([seed]).tolist())
except Exception as error:
    print(f"from_iter: {type(error).__name__}")
print("unchanged: large integers of JSON become negative")
PY
