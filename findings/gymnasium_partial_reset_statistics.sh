#!/usr/bin/env bash
# Guess: with autoreset disabled, resetting one of several environments by `reset_mask` leaves the
# running episodes of the others alone, also in the wrapper that counts returns and lengths.
#
# Found: the environments go on, but RecordEpisodeStatistics starts counting anew for all of them.
# An episode of six steps with a reward of one each is reported with a return of 2 and a length
# of 2, because its neighbour was reset after every second step.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv gymnasium==1.4.0 numpy==2.4.6
run_python <<'PY'
import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics


class Walk(gym.Env):
    observation_space = gym.spaces.Box(0, 9, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, steps):
        self.steps = steps

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.time += 1
        return np.full(1, self.time, np.float32), 1.0, self.time == self.steps, False, {}


def reported(mode):
    envs = RecordEpisodeStatistics(
        SyncVectorEnv([lambda: Walk(2), lambda: Walk(6)], autoreset_mode=mode)
    )
    envs.reset(seed=0)
    while True:
        observations, _, ended, _, infos = envs.step(np.zeros(2, np.int64))
        if ended[1]:
            return float(infos["episode"]["r"][1]), int(infos["episode"]["l"][1])
        if mode is AutoresetMode.DISABLED and ended.any():
            envs.reset(options={"reset_mask": ended.copy()})


same_step, disabled = reported(AutoresetMode.SAME_STEP), reported(AutoresetMode.DISABLED)
print("episode of 6 steps, reset by the vector itself: return, length =", same_step)
print("episode of 6 steps, its neighbour reset by mask: return, length =", disabled)
assert same_step == (6.0, 6)
assert disabled == (2.0, 2)
print("unchanged: a reset of one environment restarts the statistics of all")
PY
