#!/usr/bin/env bash
# Guess: a TorchRL replay buffer that is given a row of other types or keys than its first either
# keeps it whole or refuses it, and does the same in memory as memory-mapped.
#
# Found: the first row decides. After a reward of 0, a reward of 0.9 is stored as 0; after a uint8,
# 300 is 44. A row that lacks a key is taken, and what is read there later was never stored by
# anyone. A key that is new is kept by LazyTensorStorage and dropped by LazyMemmapStorage. All of it
# by add and without a word, where extend refuses the same types with an error.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv torchrl==0.14.1 tensordict==0.14.3 torch==2.14.1 numpy==2.4.6
run_python <<'PY'
import logging

logging.disable(logging.CRITICAL)
import torch
from tensordict import TensorDict
from torchrl.data import LazyMemmapStorage, LazyTensorStorage, TensorDictReplayBuffer


def added(storage, *rows):
    buffer = TensorDictReplayBuffer(storage=storage(4))
    for row in rows:
        buffer.add(TensorDict(row))
    return buffer[:]


for storage in (LazyTensorStorage, LazyMemmapStorage):
    name = storage.__name__
    rewards = added(storage, {"reward": 0}, {"reward": 0.9})["reward"].tolist()
    print(f"{name}: rewards 0 and 0.9 become {rewards}")
    assert rewards == [0, 0]

    byte = torch.tensor(1, dtype=torch.uint8)
    counts = added(storage, {"count": byte}, {"count": torch.tensor(300)})["count"].tolist()
    print(f"{name}: counts 1 and 300 become {counts}")
    assert counts == [1, 44]

    rows = added(storage, {"x": 1.0}, {})
    print(f"{name}: a row without x is the second of {len(rows)}")
    assert len(rows) == 2

    rows = added(storage, {"x": 1.0}, {"x": 2.0, "y": 3.0})
    print(f"{name}: a key that is new is {'kept' if 'y' in rows.keys() else 'dropped'}")
    assert ("y" in rows.keys()) == (storage is LazyTensorStorage)

    buffer = TensorDictReplayBuffer(storage=storage(4))
    buffer.extend(TensorDict({"reward": torch.tensor([0, 1])}, [2]))
    try:
        buffer.extend(TensorDict({"reward": torch.tensor([0.9, 0.9])}, [2]))
    except RuntimeError as error:
        print(f"{name}: extend refuses floats: {str(error)[:40]}...")
    else:
        raise SystemExit("extend took them")
print("unchanged: add makes rows what the first one was")
PY
