#!/usr/bin/env bash
# Guess: storing integers in a narrower HDF5 dataset wraps like NumPy's astype, or is refused;
# dataset.astype(t)[:] is a cheaper dataset[:].astype(t).
#
# Found: arrays are clipped: 300 becomes 255 and -5 becomes 0 in uint8, both on writing and through
# Dataset.astype, which therefore disagrees with NumPy's astype on the same values. The same numbers
# in a list are refused with an OverflowError. A NaN becomes the smallest integer, infinity the
# largest. The docstring of astype does not mention it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv h5py==3.16.0 numpy==2.4.6
run_python <<'PY'
import h5py
import numpy as np

values = np.array([300, -5, 256, 7])
floats = np.array([np.nan, np.inf, 2.7])
with h5py.File("log.h5", "w") as file:
    narrow = file.create_dataset("narrow", (4,), np.uint8)
    narrow[:] = values
    written = narrow[:].tolist()
    try:
        narrow[:] = values.tolist()
    except OverflowError as error:
        refusal = str(error)
    wide = file.create_dataset("wide", data=values)
    on_the_fly = wide.astype(np.uint8)[:].tolist()
    afterwards = wide[:].astype(np.uint8).tolist()
    integers = file.create_dataset("floats", data=floats).astype(np.int64)[:].tolist()
print("array written to uint8:     ", written)
print("list written to uint8:      ", refusal)
print("wide.astype(uint8)[:]       ", on_the_fly)
print("wide[:].astype(uint8)       ", afterwards)
print(f"{floats} as int64: {integers}")
assert written == on_the_fly == [255, 0, 255, 7]
assert afterwards == [44, 251, 0, 7]
assert "out of bounds" in refusal
assert integers[1:] == [2**63 - 1, 2]
print("unchanged: h5py clips where NumPy wraps")
PY
