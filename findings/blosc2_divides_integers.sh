#!/usr/bin/env bash
# Guess: lazy expressions of Blosc2 arrays follow NumPy: / of integers is true division, as the
# float64 dtype of the result promises, and % has the sign of the divisor.
#
# Found: between two integer arrays the quotient is cut towards zero and then stored as float64:
# -7 / 3 is -2.0. Dividing by the Python number 3 gives -2.33, so does blosc2.evaluate on NumPy
# arrays. -7 % 3 is -1 in place of 2, while // rounds down as in NumPy, so that a == b * (a // b)
# + a % b no longer holds. The docstrings of divide and remainder name NumPy's functions as their
# models.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv blosc2==4.14.1 numpy==2.4.6 numexpr==2.14.2
run_python <<'PY'
import blosc2
import numpy as np

rewards, steps = np.array([-7, -1, 7]), np.array([3, 3, 3])
a, b = blosc2.asarray(rewards), blosc2.asarray(steps)
quotient = a / b
print("NumPy  a / b ", (rewards / steps).tolist())
print("Blosc2 a / b ", quotient[:].tolist(), quotient[:].dtype)
print("Blosc2 a / 3 ", (a / 3)[:].tolist())
print("Blosc2 evaluate on NumPy arrays", blosc2.evaluate("rewards / steps").tolist())
print("NumPy  a % b ", (rewards % steps).tolist(), " Blosc2", (a % b)[:].tolist())
print("NumPy  a // b", (rewards // steps).tolist(), " Blosc2", (a // b)[:].tolist())
assert quotient[:].dtype == np.float64
assert quotient[:].tolist() == [-2.0, 0.0, 2.0]
assert blosc2.divide(a, b)[:].tolist() == [-2.0, 0.0, 2.0]
assert np.allclose((a / 3)[:], rewards / steps)
assert np.allclose(blosc2.evaluate("rewards / steps"), rewards / steps)
assert (a % b)[:].tolist() == [-1, -1, 1]
assert (a // b)[:].tolist() == (rewards // steps).tolist() == [-3, -1, 2]
print("unchanged: quotients of integer arrays are cut, remainders have the wrong sign")
PY
