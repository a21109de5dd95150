#!/usr/bin/env bash
# Guess: each row of batch_run holds the model's and the agents' values of the same step, as the
# data collector recorded them.
#
# Found (Mesa 3.3.1): the agents' values are looked up by step number, the model's by position in
# its list. In a model that collects at the end of each step and not before the first one, every
# row pairs the agents of step n with the model of step n + 1: the reported total of the agents'
# wealth is never the sum of the wealth beside it. The collector's own data frames are right.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv mesa==3.3.1 numpy==2.4.6 pandas==3.1.1
run_python <<'PY'
import mesa


class Worker(mesa.Agent):
    wealth = 0

    def step(self):
        self.wealth += 1


class Economy(mesa.Model):
    def __init__(self, seed=None):
        super().__init__(seed=seed)
        Worker(self)
        self.datacollector = mesa.DataCollector(
            model_reporters={"total": lambda model: sum(model.agents.get("wealth"))},
            agent_reporters={"wealth": "wealth"},
        )

    def step(self):
        self.agents.do("step")
        self.datacollector.collect(self)


rows = mesa.batch_run(
    Economy, {}, iterations=1, max_steps=4, data_collection_period=1, display_progress=False
)
seen = [(row["Step"], row["total"], row.get("wealth")) for row in rows]
print("batch_run: step, total of the model, wealth of its one agent")
print(seen)
model = Economy(seed=1)
for _ in range(4):
    model.step()
frame = model.datacollector.get_agent_vars_dataframe()
print("collector: wealth by step", frame["wealth"].tolist(), "from step", frame.index[0][0])
assert frame["wealth"].tolist() == [1, 2, 3, 4]
assert seen == [(0, 1, None), (1, 2, 1), (2, 3, 2), (3, 4, 3), (4, 5, 4)]
print("unchanged: the model's values are one step ahead of the agents' in the same row")
PY
