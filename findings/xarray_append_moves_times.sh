#!/usr/bin/env bash
# Guess: appending to a Zarr store along time keeps the appended times; if they do not fit the
# store's encoding, xarray re-encodes or refuses.
#
# Found: the first write chose "days since". Appended times with hours do not fit whole days, so
# xarray announces "hours since" in a warning, writes hours, and leaves the unit of the store at
# days: 6 o'clock on 2 January is read back as 31 January. A float appended to an integer variable
# is rounded likewise, with a warning about missing values only.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv xarray==2026.9.0 zarr==3.1.6 numpy==2.4.6 pandas==3.1.1
run_python <<'PY'
import warnings

import numpy as np
import xarray as xr

warnings.simplefilter("ignore")


def part(times, wealth):
    return xr.Dataset(
        {"wealth": ("time", wealth)}, coords={"time": np.array(times, "datetime64[ns]")}
    )


part(["2030-01-01", "2030-01-02"], [1, 2]).to_zarr("run.zarr")
late = part(["2030-01-02T06:00", "2030-01-02T12:00"], [3.5, 4.6])
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    late.to_zarr("run.zarr", append_dim="time")
for warning in caught:
    if "serial" in str(warning.message).lower():
        print("warning:", str(warning.message)[:150])
run = xr.open_zarr("run.zarr")
appended = np.datetime_as_string(run.time.values[2:], unit="m").tolist()
print("appended:", np.datetime_as_string(late.time.values, unit="m").tolist(), [3.5, 4.6])
print("read:    ", appended, run.wealth.values[2:].tolist())
assert appended == ["2030-01-31T00:00", "2030-02-06T00:00"]
assert run.wealth.values.tolist() == [1, 2, 4, 5]
print("unchanged: appended times move by weeks, appended floats become integers")
PY
