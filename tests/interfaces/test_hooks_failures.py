"""Hooks on classes: whatever fails, the agent acts as before."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from agent_memory import AgentMemorySystem, MemoryConfig
from tests import engines
from tests.interfaces.hooked import FAKE, Walker, acting, hooked, recorded, reported


def test_error_of_act_goes_through_unchanged_and_is_recorded(
    memory: AgentMemorySystem,
) -> None:
    error = RuntimeError("fell")

    class Falling(Walker):
        def act(self, by: int = 1) -> dict[str, Any]:
            raise error

    agent = hooked(Falling)(memory)
    with pytest.raises(RuntimeError) as raised:
        agent.act()
    assert raised.value is error
    agent.get_state()
    (action,) = recorded(memory, "w")
    assert action["exception"] == {"type": "RuntimeError", "message": "fell"}
    assert action["state_after"] == {"x": 0, "trail": [0]}
    assert len(recorded(memory, "w", "state")) == 1


def test_what_cannot_be_stored_is_left_out_and_logged_once_per_class_and_place(
    memory: AgentMemorySystem, caplog: pytest.LogCaptureFixture
) -> None:
    result = {"action": "lock", "params": {"held": [1, threading.Lock()]}}
    first, second = acting(memory, result), acting(memory, result)
    for agent in (first, first, second):
        assert agent.act() is result
    assert [action["action_params"] for action in recorded(memory)] == [{"held": [1]}] * 3
    place = "contents.action_params.held[1]: object of type _thread.lock cannot be stored"
    assert len(reported(caplog)) == 2
    assert all(line.startswith(f"Acting: left out {place}") for line in reported(caplog))


def test_state_before_that_cannot_be_stored_is_logged_by_its_path(
    memory: AgentMemorySystem, caplog: pytest.LogCaptureFixture
) -> None:
    agent = acting(memory, "rest", get_state=lambda self: {"lock": threading.Lock()})
    assert agent.act() == "rest"
    assert "contents.state_before.lock" in reported(caplog)[0]


@pytest.mark.parametrize("step", [-1, 2**60])
def test_step_that_cannot_be_stored_is_logged(
    memory: AgentMemorySystem, caplog: pytest.LogCaptureFixture, step: int
) -> None:
    assert acting(memory, "rest", step_number=step).act() == "rest"
    assert "step_number" in reported(caplog)[0]


def test_failing_get_state_leaves_the_state_none_and_is_logged_once(
    memory: AgentMemorySystem, caplog: pytest.LogCaptureFixture
) -> None:
    def get_state(self: Any) -> dict[str, Any]:
        if self.dead:
            raise AttributeError("no cell")
        return {"alive": True}

    def act(self: Any) -> str:
        self.dead = True
        return "die"

    agent = acting(memory, None, get_state=get_state, act=act, dead=False)
    assert agent.act() == "die"
    assert agent.act() == "die"
    first, second = recorded(memory)
    assert (first["state_before"], first["state_after"]) == ({"alive": True}, None)
    assert (second["state_before"], second["state_after"]) == (None, None)
    assert len(reported(caplog)) == 1
    with pytest.raises(AttributeError, match="no cell"):
        agent.get_state()


@pytest.mark.parametrize("on_store_error", ["log", "raise"])
def test_memory_that_cannot_be_opened_lets_agents_act(
    caplog: pytest.LogCaptureFixture, on_store_error: Any
) -> None:
    agent = hooked(Walker)(None)
    agent.memory_config = {
        "redis_url": "redis://127.0.0.1:1",  # nobody listens there
        "ltm_url": "sqlite:///:memory:",
        "on_store_error": on_store_error,
    }
    for _ in range(3):
        assert agent.act()["action_type"] == "walk"
    assert agent.acts == 3
    (error,) = (r for r in caplog.records if r.levelno >= logging.ERROR)
    assert "127.0.0.1:1" in error.getMessage()
    agent.memory_config = FAKE
    with AgentMemorySystem.get_instance(FAKE) as system:
        agent.act()
        assert len(recorded(system, "w")) == 1


@pytest.mark.parametrize("on_store_error", ["log", "raise"])
def test_memory_that_goes_away_lets_agents_act(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, on_store_error: Any
) -> None:
    password = quote(engines.PASSWORD, safe="")
    with engines.tcp_server(tmp_path) as port:
        config = MemoryConfig(
            redis_url=f"redis://:{password}@127.0.0.1:{port}",
            ltm_url="sqlite:///:memory:",
            on_store_error=on_store_error,
        )
        system = AgentMemorySystem(config)
        agent = hooked(Walker)(system)
        agent.act()
        assert len(recorded(system, "w")) == 1
    for _ in range(2):
        assert agent.act()["action_type"] == "walk"
    assert agent.acts == 3
    assert system.outages.failures == 2
    assert sum(record.levelno >= logging.ERROR for record in caplog.records) == 1
    system.close()


def test_read_only_memory_lets_agents_act(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with AgentMemorySystem.open(tmp_path), AgentMemorySystem.open(tmp_path, read_only=True) as view:
        agent = hooked(Walker)(view)
        assert agent.act() == agent.act()
        assert agent.acts == 2
    assert "read-only" in reported(caplog)[0]
