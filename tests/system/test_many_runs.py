"""Many runs cost what many agents of one run cost: requests and statements are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from agent_memory import AgentMemorySystem, MemoryConfig, Query
from agent_memory.connections.redis.channel import RedisChannel
from tests import engines

MANY = 30
SMALL = {"memory_limit": 2}
WAYS: dict[str, dict[str, Any]] = {
    "oldest": {},
    "least important": {"demote_first": "least_important"},
    "by steps": {"stm_config": SMALL | {"max_age_steps": 2}},
    "dropped": {"stm_config": SMALL | {"max_age_steps": 1}, "on_expiry": "drop"},
    "bounded": {"redis_max_bytes": 4_096},
}


class Counted:
    """Counts the requests and statements of one memory."""

    def __init__(self, memory: AgentMemorySystem, sent: list[RedisChannel]) -> None:
        self._memory = memory
        self._sent = sent
        self._statements = 0
        event.listen(memory.sql_engine, "before_cursor_execute", self._count)

    def _count(self, *_: object) -> None:
        self._statements += 1

    def of(self, work: Callable[[], object]) -> int:
        """How many requests and statements some work needs."""
        self._sent.clear()
        self._statements = 0
        work()
        return len(self._sent) + self._statements


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[RedisChannel]:
    """The channel of each request that is sent."""
    requests: list[RedisChannel] = []
    exchange = RedisChannel._exchange_once

    def counted(channel: RedisChannel, commands: Any) -> list[Any]:
        requests.append(channel)
        return exchange(channel, commands)

    monkeypatch.setattr(RedisChannel, "_exchange_once", counted)
    return requests


def _costs(
    folder: Path, sent: list[RedisChannel], runs: int, agents: int, settings: dict[str, Any]
) -> Counter[str]:
    """What each kind of upkeep of a memory needs."""
    config = MemoryConfig(
        engine="fake",
        ltm_url=f"sqlite:///{folder}/{runs}.db",
        **{"stm_config": SMALL, "im_config": {"memory_limit": 1}, **settings},
    )
    memory = AgentMemorySystem(config, upkeep=False)
    counted = Counted(memory, sent)
    for number in range(runs):
        run = memory.run(f"run-{number}")
        for agent in range(agents):
            for step in range(5):
                run.store_agent_state(f"ant-{agent}", {"food": step}, step)
    costs = Counter(
        {
            "maintain": counted.of(memory.maintain),
            "maintain again": counted.of(memory.maintain),
            "statistics": counted.of(memory.statistics),
            "status": counted.of(lambda: memory.status),
            "check": counted.of(memory.check),
            "backup": counted.of(lambda: memory.backup(folder / f"{runs}.backup")),
            "list": counted.of(lambda: [*memory.models.StmEntry.all_pks()]),
            "versions": counted.of(memory.stm.encodings.versions),
        }
    )
    for number in range(runs):
        for agent in range(agents):
            memory.run(f"run-{number}").recall(Query(agent_id=f"ant-{agent}", limit=1))
    costs["close"] = counted.of(memory.close)
    return costs


@pytest.mark.parametrize("way", engines.parameters([*WAYS], ["oldest", "bounded"]))
def test_upkeep_of_many_runs_costs_what_that_of_many_agents_costs(
    tmp_path: Path, sent: list[RedisChannel], way: str
) -> None:
    of_agents = _costs(tmp_path, sent, 1, MANY, WAYS[way])
    of_runs = _costs(tmp_path, sent, MANY, 1, WAYS[way])
    dear = {name: (of_runs[name], of_agents[name]) for name in of_runs
            if of_runs[name] > 1.5 * of_agents[name]}  # fmt: skip
    assert not dear
    assert of_runs["maintain"] < 4 * MANY


def test_many_runs_move_as_many_entries_as_many_agents(tmp_path: Path) -> None:
    config = MemoryConfig(
        engine="fake",
        ltm_url=f"sqlite:///{tmp_path}/moved.db",
        stm_config={"memory_limit": 2},
        im_config={"memory_limit": 1},
    )
    with AgentMemorySystem(config, upkeep=False) as memory:
        for number in range(7):
            run = memory.run(f"run-{number}")
            for agent in range(number):
                for step in range(5):
                    run.store_agent_state(f"ant-{agent}", {"food": step}, step)
        moves = memory.maintain()
        assert (moves.stm_to_im, moves.im_to_ltm) == (21 * 3, 21 * 2)
        for number in range(7):
            for agent in range(number):
                found = memory.run(f"run-{number}").recall(Query(agent_id=f"ant-{agent}"))
                assert sorted(hit.entry.step_number for hit in found) == [0, 1, 2, 3, 4]
        assert memory.stm.upkeep.entries_by_run() == {f"run-{n}": 2 * n for n in range(1, 7)}
        assert memory.ltm.upkeep.entries_by_run() == {f"run-{n}": 2 * n for n in range(1, 7)}
