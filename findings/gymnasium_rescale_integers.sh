#!/usr/bin/env bash
# Guess: RescaleObservation maps uint8 observations from 0..255 to floats in 0..1, as RescaleAction
# and image pipelines do.
#
# Found: the new space keeps the dtype uint8, so that every scaled value is cut to an integer.
# Everything below 255 becomes 0 (255 itself as well, once 32-bit rounding leaves it just under 1),
# and the space Box(0, 1, uint8) agrees: an agent learns from, and a log stores, nothing but zeros.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv gymnasium==1.4.0 numpy==2.4.6
run_python <<'PY'
import gymnasium as gym
import numpy as np
from gymnasium.wrappers import RescaleObservation


class Camera(gym.Env):
    action_space = gym.spaces.Discrete(2)

    def __init__(self, dtype):
        self.observation_space = gym.spaces.Box(0, 255, (4,), dtype)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.array([0, 127, 254, 255], self.observation_space.dtype), {}


observed = {}
for dtype in (np.float32, np.uint8):
    env = RescaleObservation(Camera(dtype), np.float32(0), np.float32(1))
    observed[dtype], _ = env.reset(seed=0)
    print(np.dtype(dtype).name, env.observation_space, observed[dtype].tolist())
    assert env.observation_space.contains(observed[dtype])
assert np.allclose(observed[np.float32], [0, 127 / 255, 254 / 255, 1])
assert observed[np.uint8].dtype == np.uint8
assert observed[np.uint8][:3].tolist() == [0, 0, 0]
print("unchanged: integer observations are rescaled to integers")
PY
