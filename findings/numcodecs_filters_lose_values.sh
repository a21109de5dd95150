#!/usr/bin/env bash
# Guess: a numcodecs filter refuses a value outside what it was made for, or clips it to the nearest
# that it holds.
#
# Found: FixedScaleOffset wraps around: with a scale of 10 in uint8, 25.6 comes back as 0.0 and 30.0
# as 4.4, next to 25.5, which is right. Categorize turns an unknown label into an empty text.
# BitRound rounds a large finite float32 to infinity. Delta on floats loses every value after a
# large one, for good. All silently; a chunk so written is valid and reads back without complaint.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv numcodecs==0.16.6 numpy==2.4.6
run_python <<'PY'
import numcodecs
import numpy as np


def back(codec, values):
    found = codec.decode(codec.encode(values)).view(values.dtype).tolist()
    print(f"{codec.codec_id}: {values.tolist()} comes back as {found}")
    return found


tenths = numcodecs.FixedScaleOffset(offset=0, scale=10, dtype="f8", astype="u1")
assert back(tenths, np.array([1.0, 25.5, 25.6, 30.0])) == [1.0, 25.5, 0.0, 4.4]

labels = numcodecs.Categorize(["ant", "bee"], "<U3")
assert back(labels, np.array(["ant", "fly"])) == ["ant", ""]

largest = np.array([3.4e38], dtype="f4")
assert back(numcodecs.BitRound(keepbits=3), largest) == [np.inf]

floats = np.array([1e8, 1.0, 2.0, 3.0], dtype="f4")
assert back(numcodecs.Delta("f4"), floats) == [1e8, 0.0, 1.0, 2.0]
print("unchanged: filters lose what they do not hold")
PY
