#!/usr/bin/env bash
# Guess: a vector environment gathers the infos of its environments into arrays without changing
# them: 1 and 0.5 become a float array, True and 2 an array of numbers or of objects.
#
# Found: the type of the first environment's value decides for all. After a 1, the others' 0.5 and
# 2.75 become 0 and 2; after a True, 2 and 0.0 become True and False. Nothing warns. Which value is
# cut depends on the order of the environments, so runs differ once the environments are reordered.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv gymnasium==1.4.0 numpy==2.4.6
run_python <<'PY'
import gymnasium as gym
import numpy as np


class Forager(gym.Env):
    observation_space = gym.spaces.Discrete(2)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, energy):
        self.energy = energy

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {"energy": self.energy}


def gathered(*values):
    makers = [lambda value=value: Forager(value) for value in values]
    _, infos = gym.vector.SyncVectorEnv(makers).reset(seed=0)
    print(f"{values} -> {infos['energy'].tolist()}, all present: {infos['_energy'].all()}")
    return infos["energy"].tolist()


assert gathered(1, 0.5, 2.75) == [1, 0, 2]
assert gathered(0.5, 1, 2.75) == [0.5, 1, 2.75]
assert gathered(True, 2, 0.0) == [True, True, False]
assert gathered(np.array([1, 2]), np.array([0.5, 0.5])) == [[1, 2], [0, 0]]
print("unchanged: the first environment's type cuts the others' values")
PY
