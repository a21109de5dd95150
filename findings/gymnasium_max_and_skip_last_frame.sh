#!/usr/bin/env bash
# Guess: when an episode ends within a skip, MaxAndSkipObservation returns the last observation, or
# the maximum of the last two, as its documentation says.
#
# Found: the frames are taken at fixed places of the skip. If the episode ends before them, the
# buffer still holds the frames of the step before, even those of the episode before: the final
# observation of an episode that ended in its first step shows the end of another episode.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv gymnasium==1.4.0 numpy==2.4.6
run_python <<'PY'
import gymnasium as gym
import numpy as np
from gymnasium.wrappers import MaxAndSkipObservation


class Counter(gym.Env):
    observation_space = gym.spaces.Box(0, 1000, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.now, self.end = options["start"], options["end"]
        return np.full(1, self.now, np.float32), {}

    def step(self, action):
        self.now += 1
        return np.full(1, self.now, np.float32), 1.0, self.now == self.end, False, {}


env = MaxAndSkipObservation(Counter(), skip=4)
env.reset(options={"start": 900, "end": 906})
seen = []
ended = False
while not ended:
    observation, _, ended, _, _ = env.step(0)
    seen.append(float(observation[0]))
print("first episode, 900 to 906:", seen)
env.reset(options={"start": 0, "end": 1})
observation, reward, ended, _, _ = env.step(0)
print("second episode, 0 to 1:", float(observation[0]), "reward", reward, "ended", ended)
assert seen == [904, 904]
assert ended
assert observation[0] == 904
print("unchanged: the final observation is a stale frame")
PY
