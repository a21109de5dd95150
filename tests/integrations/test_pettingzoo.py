"""Agents of PettingZoo's environments remember what each of them lived through."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
import pytest
from gymnasium import spaces
from pettingzoo import ParallelEnv
from pettingzoo.test import api_test, parallel_api_test
from pettingzoo.test.example_envs import generated_agents_env_v0, generated_agents_parallel_v0
from pettingzoo.utils.conversions import parallel_to_aec

from agent_memory import AgentMemorySystem, ConfigError, Order, Query
from agent_memory.integrations.pettingzoo import RememberAECEpisodes, RememberParallelEpisodes
from tests.memories import Opener

END = 5


class Herd(ParallelEnv):
    """Three agents are there at first; one dies, one is cut off, and one comes later.

    The dicts and arrays that it gives out are the same ones all the time.
    """

    metadata: ClassVar = {"name": "herd_v0", "is_parallelizable": True}

    def __init__(self, *, more: bool = False) -> None:
        # Whether dicts say more than of agents.
        self.more: dict[str, Any] = {"common": {}} if more else {}
        self.possible_agents = ["ant_0", "bee_0", "cow_0", "dog_0"]
        self.agents: list[str] = []
        self.render_mode = None
        self._rewards: dict[str, float] = {}
        self._seen = {agent: np.zeros(2, np.float32) for agent in self.possible_agents}
        self._space = spaces.Box(-99, 99, (2,), np.float32), spaces.Discrete(3)

    def observation_space(self, agent: str) -> Any:
        return self._space[0]

    def action_space(self, agent: str) -> Any:
        return self._space[1]

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self.time, self.agents = 0, self.possible_agents[:3]
        infos = {agent: {"size": at} for at, agent in enumerate(self.agents)}
        return self._look(), infos | self.more

    def step(self, actions: dict[str, int]) -> Any:
        self.time += 1
        if self.time == 2:
            self.agents = [*self.agents, "dog_0"]
        self._rewards.clear()
        for at, agent in enumerate(self.agents):
            self._rewards[agent] = float(self.time + at + actions.get(agent, 0))
        dead = {agent: agent == "ant_0" and self.time == 3 for agent in self.agents}
        cut = {
            agent: self.time == END or (agent, self.time) == ("bee_0", 4) for agent in self.agents
        }
        infos: dict[str, Any] = {agent: {} for agent in self.agents}
        seen = self._look()
        self.agents = [agent for agent in self.agents if not dead[agent] and not cut[agent]]
        return seen, self._rewards, dead, cut, infos

    def _look(self) -> dict[str, Any]:
        for agent in self.agents:
            self._seen[agent][:] = self.time, self.possible_agents.index(agent)
        return {agent: self._seen[agent] for agent in self.agents} | self.more


def steps(memory: AgentMemorySystem, agent_id: str, episode: int) -> list[Any]:
    """What an agent remembers of an episode: seen, done, got, whether it ended, seen then."""
    query = Query(agent_id=agent_id, order=Order.STEP, attributes={"episode": episode})
    entries = [hit.entry.contents for hit in memory.recall(query, touch=False)]
    assert [one["episode_step"] for one in entries] == [*range(len(entries))]
    return [
        (
            one["observation"].tolist(), one.get("action"), one.get("reward"),
            (one.get("terminated"), one.get("truncated")),
            None if "final_observation" not in one else one["final_observation"].tolist(),
        )
        for one in entries
    ]  # fmt: skip


def test_agents_that_act_at_once_come_and_go(open_memory: Opener) -> None:
    memory = open_memory()
    env = RememberParallelEpisodes(Herd(more=True), memory, info=True)
    for time in range(2):
        env.reset(seed=7, options={"size": 1})
        while env.agents:
            env.step(dict.fromkeys(env.agents, 1))
        env.close()
        env = RememberParallelEpisodes(Herd(more=True), memory, info=True)
        here, dead, cut = (False, False), (True, False), (False, True)
        assert steps(memory, "ant_0", time) == [
            ([0.0, 0.0], 1, 2.0, here, None),
            ([1.0, 0.0], 1, 3.0, here, None),
            ([2.0, 0.0], 1, 4.0, dead, [3.0, 0.0]),
        ]
        assert steps(memory, "bee_0", time)[-1] == ([3.0, 1.0], 1, 5.0, cut, [4.0, 1.0])
        assert len(steps(memory, "cow_0", time)) == END
        assert steps(memory, "dog_0", time) == [
            ([2.0, 3.0], 1, 7.0, here, None),
            ([3.0, 3.0], 1, 7.0, here, None),
            ([4.0, 3.0], 1, 7.0, cut, [5.0, 3.0]),
        ]
    assert "common" not in memory.agents
    entries = [hit.entry for hit in memory.recall(Query(agent_id="dog_0", order=Order.STEP))]
    assert [entry.step_number for entry in entries] == [2, 3, 4, 7, 8, 9]
    assert entries[0].contents["reward_before"] == 5.0
    first = memory.recall(Query(agent_id="bee_0", limit=1))[0].entry.contents
    assert (first["seed"], first["options"]) == ("7", {"size": 1})
    assert first["reset_info"] == {"size": 1}
    best = env.recall("cow_0", np.array([3, 2], np.float32), limit=1)[0]
    assert best.score == 1.0
    assert best.entry.contents["episode_step"] == 3


def test_an_agent_that_disappears_keeps_what_it_saw_last(memory: AgentMemorySystem) -> None:
    class Lost(Herd):
        def step(self, actions: Any) -> Any:
            result = super().step(actions)
            if self.time == 2:
                self.agents.remove("ant_0")
                for said in result:
                    said.pop("ant_0")
            return result

    env = RememberParallelEpisodes(Lost(), memory, agent_id="herd/{}".format)
    env.reset()
    while env.agents:
        env.step(dict.fromkeys(env.agents, 0))
    assert steps(memory, "herd/ant_0", 0) == [
        ([0.0, 0.0], 0, 1.0, (False, False), None),
        ([1.0, 0.0], None, None, (None, None), None),
    ]


@pytest.mark.parametrize("leaves", ["by its turns", "by reset", "by close"])
def test_agents_in_turn_get_their_last_reward(memory: AgentMemorySystem, leaves: str) -> None:
    env = RememberAECEpisodes(parallel_to_aec(Herd()), memory, info=True)
    env.reset(seed=7)
    expected: dict[str, list[Any]] = {}
    acted: dict[str, Any] = {}
    for agent in env.agent_iter():
        seen, reward, *ends, _ = env.last()
        if agent in acted:
            before, action = acted.pop(agent)
            final = seen.tolist() if any(ends) else None
            expected.setdefault(agent, []).append((before, action, reward, tuple(ends), final))
        action = None if any(ends) else int(env.agents.index(agent)) % 3
        if any(ends) and leaves != "by its turns":
            break
        if action is not None:
            acted[agent] = seen.tolist(), action
        env.step(action)
    if leaves == "by reset":
        env.reset()
    if leaves == "by close":
        env.close()
    assert expected["ant_0"][-1][3] == (True, False)
    for agent, happened in expected.items():
        reported = steps(memory, agent, 0)
        assert [one for one in reported if one[1] is not None][: len(happened)] == happened, agent
    seen, action, reward, ends, final = steps(memory, "ant_0", 0)[-1]
    assert (action is not None, ends) == (True, (True, False))
    assert final == [3.0, 0.0]
    assert memory.recall(Query(agent_id="cow_0", limit=1))[0].entry.contents["seed"] == "7"


def test_the_apis_are_kept_and_generated_agents_are_remembered(memory: AgentMemorySystem) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tests tell what the example environments leave out
        made = generated_agents_parallel_v0.parallel_env(max_cycles=8)
        parallel_api_test(RememberParallelEpisodes(made, memory), num_cycles=10)
        parallel_api_test(RememberParallelEpisodes(Herd(), memory), num_cycles=10)
        turns = generated_agents_env_v0.raw_env(max_cycles=8)
        api_test(RememberAECEpisodes(turns, memory, agent_id="turn {}".format), num_cycles=10)
    assert len(memory.agents) > 15
    for agent in memory.agents:
        entries = [hit.entry.contents for hit in memory.recall(Query(agent_id=agent))]
        where = [(one["episode"], one["episode_step"]) for one in entries]
        assert len(where) == len(set(where)), agent


def test_bad_arguments_are_refused_by_name(memory: AgentMemorySystem) -> None:
    herd, turns = Herd(), parallel_to_aec(Herd())
    for wrong, given, message in (
        (RememberParallelEpisodes, (turns, memory), "env: .* use RememberAECEpisodes"),
        (RememberAECEpisodes, (herd, memory), "env: .* use RememberParallelEpisodes"),
        (RememberParallelEpisodes, (None, memory), "env: a pettingzoo.ParallelEnv is needed"),
        (RememberAECEpisodes, (turns, None), "memory: an AgentMemorySystem is needed"),
    ):
        with pytest.raises(ConfigError, match=message):
            wrong(*given)
    with pytest.raises(ConfigError, match=r"agent_id: a function .* not 'herd'"):
        RememberParallelEpisodes(herd, memory, agent_id="herd")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="info: True, False or a list of keys"):
        RememberAECEpisodes(turns, memory, info=3)  # type: ignore[arg-type]
