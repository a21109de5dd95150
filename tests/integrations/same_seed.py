"""A model run by a process of its own, and all that is remembered of it in a file.

python -m tests.integrations.same_seed FILE SEED
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import mesa
from mesa.discrete_space import CellAgent, OrthogonalMooreGrid

from agent_memory import AgentMemorySystem
from agent_memory.integrations.mesa import MemoryCollector

STEPS = 12


class Ant(CellAgent):
    """Walks at random, has young, dies, and remembers."""

    def __init__(self, model: Any, energy: float) -> None:
        super().__init__(model)
        self.energy, self.seen = energy, {"names": {"a", "b"}}
        self.cell = model.grid.all_cells.select_random_cell()

    def step(self) -> None:
        """Go on; who remembers such a state moves on."""
        similar = self.model.memory.recall(self, near=self, limit=1)
        if similar:
            self.cell = self.cell.neighborhood.select_random_cell()
        self.energy += float(self.model.rng.normal())
        if self.energy < 0:
            self.remove()
        elif self.energy > 3:
            self.energy -= 2
            Ant(self.model, 1.0)


class Nest(mesa.Model):
    """Ants on a grid."""

    def __init__(self, memory: AgentMemorySystem, seed: int) -> None:
        super().__init__(rng=seed)
        self.grid = OrthogonalMooreGrid((6, 6), random=self.random)
        for energy in range(4):
            Ant(self, energy)
        self.memory = MemoryCollector(self, memory, parameters={"ants": 4})

    def step(self) -> None:
        """Let all ants step, in any order."""
        self.agents.shuffle_do("step")
        self.memory.collect()


def main() -> None:
    """Run a model, and write down what is remembered."""
    file, seed = Path(sys.argv[1]), int(sys.argv[2])
    limits = {"stm_config": {"memory_limit": 4}, "im_config": {"memory_limit": 3}}
    config = {"engine": "fake", "path": file.with_suffix(""), "clock": "steps", **limits}
    with AgentMemorySystem(config) as memory:
        model = Nest(memory, seed)
        for _ in range(STEPS):
            model.step()
        memory.maintain()
        run = model.memory.memory
        assert {tier.count(run.config.run_id) > 0 for tier in (run.stm, run.im, run.ltm)} == {True}
        run.export(file)


if __name__ == "__main__":
    main()
