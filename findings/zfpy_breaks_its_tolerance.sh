#!/usr/bin/env bash
# Guess: with tolerance=1e-3 every value comes back within 1e-3; a NaN comes back as NaN or is
# refused; a huge value costs space.
#
# Found: a NaN comes back as an ordinary number near -2, and a single huge value, such as the 1e30
# that stands for "none" in many files, turns its neighbours in the block of four into 0.
# Neither raises. Without a tolerance, in the reversible mode, all of it is exact.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv zfpy==1.0.1 numpy==2.4.6
run_python <<'PY'
import numpy as np
import zfpy

wave = np.sin(np.linspace(0, 3, 64))
diverged, marked = wave.copy(), wave.copy()
diverged[10] = np.nan
marked[10] = 1e30


def decoded(values, **mode):
    return zfpy.decompress_numpy(zfpy.compress_numpy(values, **mode))


for name, values in (("plain", wave), ("NaN", diverged), ("1e30", marked)):
    lossy = decoded(values, tolerance=1e-3)
    print(f"{name:5} at 8..11: {values[8:12].tolist()}\n   -> {lossy[8:12].tolist()}")
    assert np.array_equal(decoded(values), values, equal_nan=True)
assert np.abs(decoded(wave, tolerance=1e-3) - wave).max() <= 1e-3
assert -2.1 < decoded(diverged, tolerance=1e-3)[10] < -1.9
assert decoded(marked, tolerance=1e-3)[[8, 9, 11]].tolist() == [0, 0, 0]
assert (wave[[8, 9, 11]] > 0.3).all()
print("unchanged: NaN becomes a number, and neighbours of a huge value become 0")
PY
