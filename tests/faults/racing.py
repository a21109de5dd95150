"""One of several programs that work on the same agents at once; each runs it in its own process.

Usage: racing.py CONFIG WORKER OPERATIONS KIND LOG RESULT START, where CONFIG is JSON. It begins
when the file START is there, and writes how many entries it has moved to RESULT.
"""

from __future__ import annotations

import json
import random
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent_memory import AgentMemorySystem, MemoryConfig, Order, Query
from agent_memory.entry import EntryKey
from agent_memory.errors import EntryConflict, EntryNotFound
from agent_memory.testing.acknowledged import Acknowledgements
from tests.faults.scenarios import LIMITS, contents_of

AGENTS = ("ant", "bee", "cat")
STEPS_OF_EACH = 1_000_000
_WEIGHTS = {
    "moves": {"store": 10, "maintain": 3, "recall": 2},
    "everything": {
        "store": 10, "maintain": 2, "recall": 3, "change": 6, "forget": 2,
        "forget_guest": 1,
    },
}  # fmt: skip


class Racer:
    """Does one thing after the other, and notes what was acknowledged."""

    def __init__(self, system: AgentMemorySystem, worker: int, log: Acknowledgements) -> None:
        self._system = system
        self._log = log
        self._step = worker * STEPS_OF_EACH
        self._guest = f"guest {worker}"
        self._chance = random.Random(worker)

    def race(self, operations: int, kind: str) -> None:
        weights = _WEIGHTS[kind]
        for what in self._chance.choices([*weights], [*weights.values()], k=operations):
            getattr(self, what)()

    def store(self, agent: str = "") -> None:
        agent = agent or self._chance.choice(AGENTS)
        self._step += 1
        self._log.storing(agent, self._step)
        assert self._system.store_agent_state(agent, contents_of(agent, self._step), self._step)
        self._log.stored(agent, self._step)

    def maintain(self) -> None:
        self._system.maintain()

    def recall(self) -> list[Any]:
        order = self._chance.choice([Order.NEWEST, Order.OLDEST, Order.STEP])
        agent = self._chance.choice(AGENTS)
        entries = [hit.entry for hit in self._system.recall(Query(agent_id=agent, order=order))]
        assert len({entry.memory_id for entry in entries}) == len(entries)
        for entry in entries:
            assert entry.contents == contents_of(agent, entry.step_number)
        return entries

    def change(self) -> None:
        if entries := self.recall():
            entry = self._chance.choice(entries)
            place = entry.agent_id, entry.step_number
            self._log.changing(*place)
            if self._changed(entry.key):
                self._log.changed(*place)

    def _changed(self, key: EntryKey) -> bool:
        """Change an entry wherever it is; False if it was forgotten."""
        system = self._system
        for _ in range(100):
            for tier in (system.stm, system.im, system.ltm):
                found = tier.get_many([key])
                if found:
                    break
            else:
                return False
            try:
                tier.replace(replace(found[0], importance_score=self._chance.random()))
            except EntryConflict:
                continue  # another was faster
            except EntryNotFound:
                continue  # it moved on
            return True
        raise AssertionError("others change it all the time")

    def forget(self) -> None:
        if entries := self.recall():
            entry = self._chance.choice(entries)
            place = [(entry.agent_id, entry.step_number)]
            self._log.forgetting(place)
            self._system.forget(entry.agent_id, memory_id=entry.memory_id)
            self._log.forgot(place)

    def forget_guest(self) -> None:
        first = self._step + 1
        for _ in range(6):
            self.store(self._guest)
        places = [(self._guest, step) for step in range(first, self._step + 1)]
        self._log.forgetting(places)
        assert self._system.forget(self._guest).verified
        self._log.forgot(places)


def main(config: str, worker: str, operations: str, kind: str, *files: str) -> None:
    log, result, start = map(Path, files)
    where = {name: value for name, value in json.loads(config).items() if value is not None}
    # What a store has to say is to be heard, and not taken for an outage.
    whole = MemoryConfig(**LIMITS, **where, on_store_error="raise")
    with AgentMemorySystem(whole) as system:
        result.with_suffix(".ready").touch()
        while not start.exists():
            time.sleep(0.001)
        Racer(system, int(worker), Acknowledgements(log)).race(int(operations), kind)
    result.write_text(json.dumps([system.moves.stm_to_im, system.moves.im_to_ltm]))


if __name__ == "__main__":
    main(*sys.argv[1:])
