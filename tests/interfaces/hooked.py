"""Agents whose classes are hooked, and looks at what was recorded of them."""

from __future__ import annotations

from typing import Any

import pytest

from agent_memory import (
    AgentMemorySystem,
    MemoryConfig,
    MemoryType,
    Query,
    install_memory_hooks,
)

FAKE = MemoryConfig(engine="fake", ltm_url="sqlite:///:memory:")


class Walker:
    """A plain agent on a line, which hands out the very dict it changes."""

    def __init__(self, memory: AgentMemorySystem | None, agent_id: str | int = "w") -> None:
        self.memory_system = memory
        self.agent_id = agent_id
        self.inner: dict[str, Any] = {"x": 0, "trail": [0]}
        self.acts = 0

    def act(self, by: int = 1) -> dict[str, Any]:
        self.acts += 1
        self.inner["x"] += by
        self.inner["trail"].append(self.inner["x"])
        return {"action_type": "walk", "action_params": {"by": by}, "reward": 0.5}

    def get_state(self) -> dict[str, Any]:
        return self.inner


def hooked(agent_class: type[Any]) -> type[Any]:
    """A fresh hooked class; the given one stays as it is."""
    return install_memory_hooks(type(agent_class.__name__, (agent_class,), {}))


def acting(memory: AgentMemorySystem, result: object, **attributes: Any) -> Any:
    """A hooked agent "a" whose act() returns ``result``."""
    methods = {"act": lambda self: result, "memory_system": memory, "agent_id": "a"}
    return install_memory_hooks(type("Acting", (), methods | attributes))()


def recorded(
    memory: AgentMemorySystem, agent_id: str = "a", kind: str = "action"
) -> list[dict[str, Any]]:
    query = Query(agent_id=agent_id, memory_type=MemoryType(kind))
    return [dict(hit.entry.contents) for hit in memory.recall(query)]


def steps(memory: AgentMemorySystem, agent_id: str = "a") -> list[int]:
    return [hit.entry.step_number for hit in memory.recall(Query(agent_id=agent_id))]


def reported(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "agent_memory.hooks"]
