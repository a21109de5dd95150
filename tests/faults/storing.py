"""A program that stores and consolidates until it is killed; tests run it in a process.

Usage: storing.py FOLDER ACKNOWLEDGED FIRST_STEP LAST_STEP KILL_AT

Each step that was acknowledged is written to the file ACKNOWLEDGED before the next begins. The
process kills itself at the KILL_AT-th point of its moves into long-term memory: a point is where
it is about to begin, or has just ended, an exchange with an engine. 0 lets it live.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent_memory import AgentMemorySystem, MemoryConfig, Tier
from agent_memory.connections.redis import RedisChannel
from agent_memory.repositories.base import MemoryRepository
from agent_memory.repositories.redis import RedisRepository
from agent_memory.repositories.sql import LtmRepository

LIMITS = {
    "stm_config": {"memory_limit": 4},
    "im_config": {"memory_limit": 6},
    "ltm_config": {"batch_size": 3},
    "cleanup_interval": 3,
}
AGENTS = ("ant", "bee")


def contents_of(step: int) -> dict[str, Any]:
    """What every agent remembers of a step."""
    return {"step": step, "payload": str(step) * 50}


class Points:
    """Counts the points of moves into long-term memory, and crashes at one of them."""

    def __init__(self, kill_at: int) -> None:
        self._left = kill_at
        self._moving = False

    def passed(self) -> None:
        self._left -= self._moving
        if self._left == 0 and self._moving:
            os.kill(os.getpid(), signal.SIGKILL)

    def during(self, move: Callable[..., Any]) -> Callable[..., Any]:
        def watched(source: MemoryRepository, *args: Any) -> Any:
            self._moving = source.tier is Tier.IM
            try:
                return move(source, *args)
            finally:
                self._moving = False

        return watched

    def around(self, exchange: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            self.passed()
            result = exchange(*args, **kwargs)
            self.passed()
            return result

        return watched


def main(folder: str, acknowledged: str, first: str, last: str, kill_at: str) -> None:
    config = MemoryConfig(path=Path(folder), engine="embedded", **LIMITS)
    with AgentMemorySystem(config) as system, Path(acknowledged).open("a") as log:
        points = Points(int(kill_at))
        for owner, name in ((RedisChannel, "_exchange_once"), (LtmRepository, "take_over")):
            setattr(owner, name, points.around(getattr(owner, name)))
        RedisRepository.move_to = points.during(RedisRepository.move_to)  # type: ignore[method-assign]
        for step in range(int(first), int(last)):
            for agent in AGENTS:
                if system.store_agent_state(agent, contents_of(step), step):
                    log.write(f"{agent} {step}\n")
                    log.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
