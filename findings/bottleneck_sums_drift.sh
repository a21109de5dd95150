#!/usr/bin/env bash
# Guess: Bottleneck computes what NumPy computes, faster: a moving sum depends on the values in its
# window alone, nanmean and nansum agree with NumPy's up to the last digits.
#
# Found: 1. a moving sum is kept up by adding and subtracting: one large value leaves it wrong for
# the rest of the series. 2. float32 is added up in float32, one value after the other: the mean of
# ten million times 0.1 is 0.109, and a sum of ones stops at 2**24. The docstrings warn of
# infinities in windows and of int32 sums, not of these two.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv bottleneck==1.6.0 numpy==2.4.6
run_python <<'PY'
import bottleneck as bn
import numpy as np

series = np.ones(1000)
series[10] = 1e17
moving = bn.move_sum, bn.move_mean, bn.move_max
after_large = {f.__name__: float(f(series, 2)[-1]) for f in moving}
exact = float(np.lib.stride_tricks.sliding_window_view(series, 2)[-1].sum())
print("ones, 989 values after 1e17:", after_large, "NumPy's sum:", exact)
rewards = np.full(10_000_000, 0.1, np.float32)
means = float(bn.nanmean(rewards)), float(np.nanmean(rewards))
print("mean of 0.1 in float32, Bottleneck and NumPy:", means)
steps = np.ones(2**24 + 1000, np.float32)
totals = float(bn.nansum(steps)), float(np.nansum(steps))
print(f"sum of {steps.size} ones in float32, Bottleneck and NumPy:", totals)
assert after_large == {"move_sum": 0.0, "move_mean": 0.0, "move_max": 1.0}
assert exact == 2.0
assert abs(means[0] - 0.1) > 0.008
assert abs(means[1] - 0.1) < 1e-6
assert totals == (2**24, 2**24 + 1000)
print("unchanged: moving sums remember what left the window, sums of float32 drift")
PY
