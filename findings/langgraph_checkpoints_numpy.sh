#!/usr/bin/env bash
# Guess: a checkpoint of an agent's state holds NumPy arrays as they are, or the serializer refuses
# those that it cannot write, as it refuses NumPy scalars.
#
# Found: plain arrays are kept, the others are changed in silence. A masked array comes back
# without its mask, so hidden readings count again; the fields of a structured array come back as
# raw bytes; an array of objects comes back as None. Resuming an agent from its checkpoint goes on
# with these.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv langgraph-checkpoint==4.3.2 numpy==2.4.6
run_python <<'PY'
import numpy as np
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

serializer = JsonPlusSerializer()


def resumed(value):
    copy = serializer.loads_typed(serializer.dumps_typed({"state": value}))["state"]
    print(f"{value!r}\n    -> {copy!r}")
    return copy


plain = resumed(np.array([[0.5, 1.5]], np.float32))
masked = resumed(np.ma.array([20.0, -999.0], mask=[False, True]))
fields = resumed(np.array([(1, 0.5)], dtype=[("agent", "i4"), ("wealth", "f8")]))
objects = resumed(np.array(["fox", 3], dtype=object))
try:
    serializer.dumps_typed(np.float32(0.5))
except TypeError as error:
    print("np.float32(0.5):", error)
    refused = True
else:
    refused = False
assert refused
assert plain.dtype == np.float32
assert plain.tolist() == [[0.5, 1.5]]
assert not np.ma.isMaskedArray(masked)
assert masked.tolist() == [20.0, -999.0]
assert fields.dtype.names is None
assert objects is None
print("unchanged: masks, field names and arrays of objects are lost in checkpoints")
PY
