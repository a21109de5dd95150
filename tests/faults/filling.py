"""What fills a disk, and notes what was acknowledged meanwhile."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path

from agent_memory import AgentMemorySystem, MemoryConfig, MemoryStoreError, Order, Query

AGENTS = [f"ant {number}" for number in range(6)]


def config_in(folder: Path) -> MemoryConfig:
    return MemoryConfig(path=folder / "memory", engine="embedded", search=False)


def stored(system: AgentMemorySystem) -> dict[tuple[str, int], tuple[float, bool]]:
    """Importance and pin of each entry, by agent and step."""
    found = {}
    for agent in AGENTS:
        for hit in system.recall(Query(agent_id=agent, order=Order.STEP), touch=False):
            entry = hit.entry
            assert (agent, entry.step_number) not in found
            found[agent, entry.step_number] = entry.importance_score, entry.pinned
    return found


class Acknowledged:
    """Stores and changes entries until nothing is taken any more; notes what was acknowledged."""

    def __init__(self, system: AgentMemorySystem, size: int = 4_000) -> None:
        self._system = system
        self._size = size
        self.entries: dict[tuple[str, int], tuple[float | None, bool]] = {}
        self.errors: list[MemoryStoreError] = []

    def work(self, agent: str) -> None:
        failed, step = 0, 0
        while failed < 3:
            step += 1
            state = {"step": step, "fill": os.urandom(self._size)}
            if not self._system.store_agent_state(agent, state, step):
                failed += 1
                continue
            self.entries[agent, step] = None, False
            try:
                if step % 3 == 0:
                    self._change(agent, step)
            except MemoryStoreError as error:
                # It may have been changed or not: no change was acknowledged.
                self.errors.append(error)

    def _change(self, agent: str, step: int) -> None:
        newest = Query(agent_id=agent, order=Order.NEWEST, limit=1)
        (hit,) = self._system.recall(newest, touch=False)
        if hit.entry.step_number == step:
            self._system.set_importance(agent, hit.entry.memory_id, 0.75)
            self.entries[agent, step] = 0.75, False
            self._system.pin(agent, hit.entry.memory_id)
            self.entries[agent, step] = 0.75, True

    def of_threads(self) -> None:
        threads = [threading.Thread(target=self.work, args=(agent,)) for agent in AGENTS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def check(
    acknowledged: Mapping[tuple[str, int], tuple[float | None, bool]],
    found: Mapping[tuple[str, int], tuple[float, bool]],
) -> None:
    """See that everything is there that was acknowledged, as it was changed."""
    for key, (importance, pinned) in acknowledged.items():
        assert key in found, f"{key} was acknowledged, and is gone"
        assert importance in (None, found[key][0]), f"the importance of {key} is gone"
        assert not pinned or found[key][1], f"the pin of {key} is gone"
