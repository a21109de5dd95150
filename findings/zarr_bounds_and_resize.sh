#!/usr/bin/env bash
# Guess: a Zarr array follows NumPy and HDF5: writing four values over the end of an array is an
# error, and what a resize cuts off is gone.
#
# Found: a slice that reaches past the end takes the values that fit and drops the rest without a
# word, so a log that outgrows its array loses its tail. Shrinking keeps the cut values inside the
# last chunk, and growing again brings the old steps of a truncated run back as if they had been
# written; HDF5 gives fill values there.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv zarr==3.1.6 h5py==3.16.0 numpy==2.4.6
run_python <<'PY'
import h5py
import numpy as np
import zarr

log = zarr.create_array(store="log.zarr", shape=(4,), chunks=(2,), dtype="f8")
log[2:6] = np.array([1.0, 2.0, 3.0, 4.0])
print("zarr, four values into [2:6] of four:", log[:].tolist())
assert log[:].tolist() == [0, 0, 1, 2]
assert log.shape == (4,)

steps = zarr.create_array(store="steps.zarr", shape=(6,), chunks=(4,), dtype="i4")
steps[:] = np.arange(1, 7)
steps.resize((2,))
steps.resize((6,))
with h5py.File("steps.h5", "w") as file:
    same = file.create_dataset("steps", (6,), maxshape=(None,), chunks=(4,), dtype="i4")
    same[:] = np.arange(1, 7)
    same.resize((2,))
    same.resize((6,))
    by_hdf5 = same[:].tolist()
    try:
        same[4:8] = np.arange(4)
    except (TypeError, ValueError) as error:
        print("h5py, four values into [4:8] of six:", type(error).__name__)
        refused = True
    else:
        refused = False
print("1..6, cut to 2, grown to 6: zarr", steps[:].tolist(), "hdf5", by_hdf5)
assert refused
assert steps[:].tolist() == [1, 2, 3, 4, 0, 0]
assert by_hdf5 == [1, 2, 0, 0, 0, 0]
print("unchanged: writes past the end are cut, and cut values return")
PY
