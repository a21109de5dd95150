#!/usr/bin/env bash
# Guess: PriorityStore hands out items of equal priority in the order they were put in, as
# PriorityResource serves requests of equal priority and as Store serves everything.
#
# Found: the store is a bare heap whose items carry no serial number, so ties come out in the order
# of the heap: of five equal items the third is served second. Waiting times of customers in the
# same class are then wrong, while averages over all of them look right.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv simpy==4.1.2
run_python <<'PY'
import simpy


def served_by_store(env, served):
    store = simpy.PriorityStore(env)
    for number in range(5):
        yield store.put(simpy.PriorityItem(priority=1, item=number))
    for _ in range(5):
        entry = yield store.get()
        served.append(entry.item)


def customer(env, desk, number, served):
    with desk.request(priority=1) as request:
        yield request
        yield env.timeout(1)
        served.append(number)


by_store, by_resource = [], []
env = simpy.Environment()
env.process(served_by_store(env, by_store))
env.run()
env = simpy.Environment()
desk = simpy.PriorityResource(env)
for number in range(5):
    env.process(customer(env, desk, number, by_resource))
env.run()
print("PriorityResource:", by_resource)
print("PriorityStore:   ", by_store)
assert by_resource == [0, 1, 2, 3, 4]
assert by_store == [0, 2, 4, 1, 3]
print("unchanged: PriorityStore is not first come, first served among equals")
PY
