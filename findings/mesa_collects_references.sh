#!/usr/bin/env bash
# Guess: a row of Mesa's DataCollector holds what an attribute was at that step, for agents as for
# the model.
#
# Found: values of model reporters are deep-copied, those of agent reporters and of table rows are
# kept as they are. A list, dict or array that an agent changes in place reads the same in every
# row: the last state, once for each step. The docs show both kinds of reporters side by side and
# name no difference.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv mesa==3.3.1 numpy==2.4.6 pandas==3.1.1
run_python <<'PY'
import mesa


class Ant(mesa.Agent):
    def __init__(self, model):
        super().__init__(model)
        self.carried = []

    def step(self):
        self.carried.append(self.model.steps)


class Hill(mesa.Model):
    def __init__(self):
        super().__init__(seed=1)
        self.stock = []
        self.datacollector = mesa.DataCollector(
            model_reporters={"stock": "stock"},
            agent_reporters={"carried": "carried"},
            tables={"visits": ["stock"]},
        )
        Ant(self)

    def step(self):
        self.stock.append(self.steps)
        self.agents.do("step")
        self.datacollector.collect(self)
        self.datacollector.add_table_row("visits", {"stock": self.stock})


hill = Hill()
for _ in range(3):
    hill.step()
collected = hill.datacollector
model = collected.get_model_vars_dataframe()["stock"].tolist()
agents = collected.get_agent_vars_dataframe()["carried"].tolist()
table = collected.get_table_dataframe("visits")["stock"].tolist()
print("model reporter:", model)
print("agent reporter:", agents)
print("table:         ", table)
assert model == [[1], [1, 2], [1, 2, 3]]
assert agents == table == [[1, 2, 3]] * 3
print("unchanged: rows of agents and tables follow what is changed later")
PY
