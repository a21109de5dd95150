#!/usr/bin/env bash
# Guess: safetensors stores the array that it is given. Its PyTorch side refuses tensors that are
# not contiguous, so its NumPy side refuses or copies them.
#
# Found: the NumPy side writes the memory behind a view in its raw order under the view's shape.
# The transpose of a matrix is loaded scrambled, a column or every second value is loaded as the
# first values of its parent. Shape, dtype and header are right, nothing warns.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv safetensors==0.8.0 numpy==2.4.6
run_python <<'PY'
import numpy as np
from safetensors.numpy import load, load_file, save, save_file

matrix = np.arange(6.0).reshape(3, 2)
views = {
    "transpose": matrix.T,
    "column": matrix[:, 0],
    "Fortran order": np.asfortranarray(matrix),
    "every second": np.arange(8.0)[::2],
    "contiguous": matrix,
}
expected = {
    "transpose": [[0, 1, 2], [3, 4, 5]],
    "column": [0, 1, 2],
    "Fortran order": [[0, 2], [4, 1], [3, 5]],
    "every second": [0, 1, 2, 3],
    "contiguous": matrix.tolist(),
}
for name, view in views.items():
    save_file({"x": view}, "x.safetensors")
    from_file = load_file("x.safetensors")["x"]
    from_bytes = load(save({"x": view}))["x"]
    print(f"{name:13} saved {view.tolist()} loaded {from_file.tolist()}")
    assert from_file.shape == view.shape
    assert from_file.tolist() == from_bytes.tolist() == expected[name]
print("unchanged: views are stored as the memory they look at")
PY
