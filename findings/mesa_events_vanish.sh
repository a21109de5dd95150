#!/usr/bin/env bash
# Guess: a scheduled event runs at its time, or scheduling it fails.
#
# Found: the simulator holds the function of an event by weak reference only. A nested function, a
# functools.partial or a bound method of an object that nobody else keeps is accepted, then
# collected as garbage, and the event is skipped in silence once its time comes: the simulation
# runs through, the run's clock is right and the effects of those events are missing.
set -euo pipefail
NEEDS=3.12
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv mesa==3.5.1 networkx==3.6.1 numpy==2.4.6
run_python <<'PY'
import functools
import gc

import mesa


class Farm(mesa.Model):
    def __init__(self):
        super().__init__(rng=1)
        self.log = []

    def harvest(self):
        self.log.append("method of the model")


class Weather:
    def __init__(self, log):
        self.log = log

    def rain(self):
        self.log.append("method of a helper")


def plan(model):
    def sow():
        model.log.append("nested function")

    market = functools.partial(model.log.append, "partial")
    weather = Weather(model.log)
    for time, event in enumerate((sow, market, weather.rain, model.harvest), start=1):
        model.schedule_event(event, at=time)


model = Farm()
plan(model)
gc.collect()
model.run_until(10)
print("scheduled: 4 events, ran:", model.log, "clock:", model.time)
assert model.time == 10
assert model.log == ["method of the model"]
print("unchanged: three of four scheduled events are skipped without a word")
PY
