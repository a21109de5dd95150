"""What holds a memory can be copied, pickled and sent to another process."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import pytest

from agent_memory import (
    AgentMemoryAPI,
    AgentMemorySystem,
    ConfigError,
    MemoryAgent,
    MemoryConfig,
    Query,
    RedisSTMStore,
    with_memory,
)


class Model:
    """A simulation that holds its memory, as Mesa's models do."""

    def __init__(self, memory: AgentMemorySystem) -> None:
        self.memory_system = memory
        self.agents = [with_memory(Ant(self, number)) for number in range(2)]


class Ant:
    def __init__(self, model: Model, number: int) -> None:
        self.model, self.agent_id = model, f"ant-{number}"

    def act(self, step: int) -> str:
        return "forage"


def _live(model: Model, step: int) -> None:
    for agent in model.agents:
        agent.act(step)
    model.memory_system.close()


def embedded(tmp_path: Path) -> MemoryConfig:
    return MemoryConfig(path=tmp_path / "memory", engine="embedded", search=False)


def test_a_model_is_copied_and_its_copies_remember(tmp_path: Path) -> None:
    with AgentMemorySystem(embedded(tmp_path)) as memory:
        model = Model(memory)
        copied: Model = copy.deepcopy(model)
        assert copied.memory_system is memory
        pickled: Model = pickle.loads(pickle.dumps(model))  # noqa: S301
        for step, one in enumerate((model, copied, pickled)):
            for agent in one.agents:
                agent.act(step)
        pickled.memory_system.close()
        for agent_id in ("ant-0", "ant-1"):
            hits = memory.recall(Query(agent_id=agent_id))
            assert [hit.entry.step_number for hit in hits] == [0, 1, 2]


def test_a_model_is_sent_to_a_worker_and_remembers_there(tmp_path: Path) -> None:
    with AgentMemorySystem(embedded(tmp_path)) as memory:
        model = Model(memory)
        worker = multiprocessing.get_context("spawn").Process(target=_live, args=(model, 7))
        worker.start()
        worker.join()
        assert worker.exitcode == 0
        hits = memory.recall(Query(agent_id="ant-1"))
        assert [hit.entry.step_number for hit in hits] == [7]


def test_agents_stores_runs_and_the_api_are_pickled(tmp_path: Path) -> None:
    def again(value: Any) -> Any:
        return pickle.loads(pickle.dumps(value))  # noqa: S301

    config = embedded(tmp_path)
    with AgentMemorySystem(config) as memory:
        night = memory.run("night")
        assert again(night).config.run_id == "night"
        agent = night.get_memory_agent("ant")
        assert again(agent).store_state({"food": 1}, 0)
        assert len(night.recall(Query(agent_id="ant"))) == 1
        assert again(agent.stm_store).count() == 1
        alone = MemoryAgent("ant", config)
        assert again(alone).store_state({"food": 1}, 0)
        assert again(RedisSTMStore("ant", config)).count() == 1
        api = AgentMemoryAPI(config)
        assert again(api).memory_system is api.memory_system
        api.memory_system.close()


@pytest.mark.parametrize("config", [{"engine": "fake"}, {"ltm_url": "sqlite:///:memory:"}])
def test_a_memory_of_one_process_alone_is_not_pickled(
    config: dict[str, Any], tmp_path: Path
) -> None:
    with AgentMemorySystem(MemoryConfig(path=tmp_path, search=False, **config)) as memory:
        for value in (memory, memory.get_memory_agent("a"), memory.get_memory_agent("a").stm_store):
            with pytest.raises(ConfigError, match="in this process alone"):
                pickle.dumps(value)
        assert copy.deepcopy(memory) is copy.copy(memory) is memory
