#!/usr/bin/env bash
# Guess: netCDF4-python and xarray show the same values of one file; what is missing in one is
# missing in the other.
#
# Found: the netCDF4 library masks every value outside `valid_range`, and every value equal to the
# type's default fill value even though the file declares none: the 255 of a uint8 variable that
# was written on purpose. xarray, which reads through the same library, shows them all. A mean over
# the same variable differs.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv netCDF4==1.7.5.1.post1 xarray==2026.9.0 numpy==2.4.6
run_python <<'PY'
import netCDF4
import numpy as np
import xarray as xr

with netCDF4.Dataset("run.nc", "w") as file:
    file.createDimension("agent", 4)
    energy = file.createVariable("energy", "f8", ("agent",))
    energy.valid_range = np.array([0.0, 1.0])
    energy[:] = [0.5, 1.5, -1.0, 1.0]
    health = file.createVariable("health", "u1", ("agent",))
    health[:] = [1, 254, 255, 255]

with netCDF4.Dataset("run.nc") as file:
    by_netcdf4 = {name: file[name][:].tolist() for name in ("energy", "health")}
    declared = {name: file[name].ncattrs() for name in ("energy", "health")}
    mean = float(file["health"][:].mean())
with xr.open_dataset("run.nc", engine="netcdf4") as dataset:
    by_xarray = {name: dataset[name].values.tolist() for name in ("energy", "health")}
    xarray_mean = float(dataset["health"].mean())
print("attributes:", declared)
print("netCDF4:   ", by_netcdf4, "mean health", mean)
print("xarray:    ", by_xarray, "mean health", xarray_mean)
assert declared["health"] == []
assert by_netcdf4 == {"energy": [0.5, None, None, 1.0], "health": [1, 254, None, None]}
assert by_xarray == {"energy": [0.5, 1.5, -1.0, 1.0], "health": [1, 254, 255, 255]}
assert mean != xarray_mean
print("unchanged: one reader hides values that the other shows")
PY
