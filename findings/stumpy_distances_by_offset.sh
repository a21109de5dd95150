#!/usr/bin/env bash
# Guess: stumpy's normalised distance does not depend on an offset that all values share, since it
# takes the mean away; a stretch of a series is at distance 0 from itself.
#
# Found: with times in seconds since 1970 as values, a stretch is not the nearest to itself in its
# own series: mass multiplies by FFT before it takes the means away, and the difference is lost in
# the products. The same values less their offset give 0. The distance that is not normalised is
# right with and without the offset. The docs speak of NaN and infinity, not of offsets.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv stumpy==1.14.1 numba==0.68.1 scipy==1.17.1 numpy==2.4.6
run_python <<'PY'
import numpy as np
import stumpy

spread = np.random.default_rng(0).normal(size=40)


def own(values, **options):
    distances = stumpy.mass(values[5:12], values, **options)
    print(f"to itself {distances[5]:9.6f}, nearest is {distances.argmin()} (itself: 5) {options}")
    return distances[5], int(distances.argmin())


distance, nearest = own(spread)
assert distance < 1e-6 and nearest == 5
distance, nearest = own(1.7e9 + spread)
assert distance > 1 and nearest != 5
distance, nearest = own(1.7e9 + spread, normalize=False)
assert distance < 1e-6 and nearest == 5
print("unchanged: an offset decides what is near")
PY
