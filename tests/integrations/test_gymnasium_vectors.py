"""Vector environments are remembered as each of their environments was, in every autoreset mode."""

from __future__ import annotations

import logging
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics

from agent_memory import AgentMemorySystem, ConfigError, InvalidEntry, Query
from agent_memory.integrations.gymnasium import RememberVectorEpisodes
from agent_memory.integrations.vectors import info_of
from tests.engines import parameters
from tests.integrations.environments import SPACES, Account, remembered, steps_of

LENGTHS = (2, 3, 5)


def accounts(space: str = "box", actions: str = "discrete") -> list[Any]:
    return [lambda length=length: Account(space, length, actions) for length in LENGTHS]


def live(env: Any, steps: int, *, seed: Any = 1) -> None:
    """Act at random for some steps, and reset what has ended where nothing else does."""
    env.action_space.seed(5)
    env.reset(seed=seed)
    for _ in range(steps):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        ended = terminated | truncated
        if env.metadata["autoreset_mode"] is AutoresetMode.DISABLED and ended.any():
            env.reset(options={"reset_mask": ended})


def contents(memory: AgentMemorySystem, agent_id: str) -> list[Any]:
    hits = memory.recall(Query(agent_id=agent_id, order="step"), touch=False)  # type: ignore[arg-type]
    return [hit.entry.contents for hit in hits]


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("space", ["box", "dict", "tuple", "graph", "dict of odd ones", "discrete"])
def test_each_step_of_each_environment_is_remembered_as_it_was(
    memory: AgentMemorySystem, space: str, mode: AutoresetMode
) -> None:
    # Actions are gathered as observations are, where Gymnasium itself can take them apart.
    actions = space if space in ("box", "dict", "tuple") else "discrete"
    vector = SyncVectorEnv(accounts(space, actions), autoreset_mode=mode)
    env = RememberVectorEpisodes(vector, memory, agent_id="v")
    live(env, 13)
    env.close()
    for place, one in enumerate(vector.envs):
        expected = list(steps_of(one.unwrapped))
        assert remembered(memory, "v", place) == expected
        assert len(expected) > LENGTHS[place] * 2
    entries = contents(memory, "v")
    where = [(one["episode"], one["episode_step"]) for one in entries]
    assert len(where) == len(set(where))


def test_every_space_is_taken_apart(memory: AgentMemorySystem) -> None:
    for space in SPACES:
        mode = AutoresetMode.SAME_STEP
        vector = SyncVectorEnv(accounts(space), autoreset_mode=mode)
        env = RememberVectorEpisodes(vector, memory, agent_id=space)
        live(env, 6)
        env.close()
        for place, one in enumerate(vector.envs):
            assert remembered(memory, space, place) == list(steps_of(one.unwrapped)), space


@pytest.mark.parametrize(
    "mode",
    parameters([AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP], [AutoresetMode.SAME_STEP]),
)
def test_environments_in_processes_are_remembered_like_those_in_this_one(
    memory: AgentMemorySystem, mode: AutoresetMode
) -> None:
    for vector in (SyncVectorEnv, AsyncVectorEnv):
        made = vector(accounts("dict"), autoreset_mode=mode)
        env = RememberVectorEpisodes(made, memory, agent_id=vector.__name__, info=True)
        live(env, 9)
        env.close()
    for place in range(len(LENGTHS)):
        one, other = (
            remembered(memory, name, place) for name in ("SyncVectorEnv", "AsyncVectorEnv")
        )
        assert one == other  # fmt: skip
    assert [one["seed"] for one in contents(memory, "AsyncVectorEnv")[:3]] == ["1", "2", "3"]


def test_a_vector_without_environments_of_its_own_is_remembered(memory: AgentMemorySystem) -> None:
    made = gym.make_vec("CartPole-v1", num_envs=3, vectorization_mode="vector_entry_point")
    env = RememberVectorEpisodes(made, memory, agent_id="v")
    live(env, 80, seed=4)
    entries = contents(memory, "v")
    assert [one.get("seed") for one in entries[:4]] == ["4", "4", "4", None]
    resets = sum("final_observation" in one for one in entries)
    assert resets > 3
    assert 3 * 80 - resets <= len(entries) <= 3 * 80 - resets + 3
    by_episode: dict[int, list[int]] = {}
    for one in entries:
        by_episode.setdefault(one["episode"], []).append(one["episode_step"])
    assert all(steps == [*range(len(steps))] for steps in by_episode.values())


def test_episodes_and_steps_go_on_after_a_restart(memory: AgentMemorySystem) -> None:
    for _ in range(3):
        mode = AutoresetMode.DISABLED
        vector = SyncVectorEnv(accounts(), autoreset_mode=mode)
        env = RememberVectorEpisodes(vector, memory, agent_id="v")
        live(env, 4)
        # The last of all episodes begins, and another environment goes on alone.
        env.reset(options={"reset_mask": np.array([True, False, False])})
        env.close()
    entries = contents(memory, "v")
    where = [(one["environment"], one["episode"], one["episode_step"]) for one in entries]
    assert len(where) == len(set(where))
    by_episode: dict[int, set[int]] = {}
    for environment, episode, _ in where:
        by_episode.setdefault(episode, set()).add(environment)
    assert {len(environments) for environments in by_episode.values()} == {1}
    steps = [hit.entry.step_number for hit in memory.recall(Query(agent_id="v"))]
    assert max(steps) == 14


def test_infos_are_those_of_each_environment(memory: AgentMemorySystem) -> None:
    for wrap in (lambda env: env, DictInfoToList):
        vector = wrap(SyncVectorEnv(accounts(), autoreset_mode=AutoresetMode.SAME_STEP))
        env = RememberVectorEpisodes(vector, memory, agent_id=wrap.__name__, info=True)
        env.action_space.seed(5)
        env.reset(seed=1)
        for _ in range(4):
            env.step(env.action_space.sample())
        first, *_ = entries = contents(memory, wrap.__name__)
        assert first["reset_info"] == {"place": 2, "number": 1}
        of_first = [one["info"] for one in entries if one["environment"] == 0]
        assert of_first[0] == {"odd": "odd"}
        assert of_first[1]["even"].tolist() == [0, 1]
        assert [{*one} for one in of_first] == [{"odd"}, {"even"}] * 2
        begun = [one for one in entries if one["episode_step"] == 0 and one["environment"] == 0]
        assert [one["reset_info"]["number"] for one in begun] == [1, 2]


def test_what_a_mask_does_not_name_is_no_info() -> None:
    infos = {
        "seen": np.array([0, 4]),
        "_seen": np.array([False, True]),
        "deep": {"a": np.array([1.5, 0.0]), "_a": np.array([True, False])},
        "_deep": np.array([True, False]),
        "_own": np.array([1, 2]),
        "for all": "text",
        "several": 3,
    }
    assert info_of(infos, 0) == {"deep": {"a": 1.5}, "_own": 1, "for all": "t", "several": 3}
    assert info_of(infos, 1)["seen"] == 4
    assert info_of([{"a": 1}, {"b": 2}], 1) == {"b": 2}


def test_statistics_of_another_wrapper_are_remembered(memory: AgentMemorySystem) -> None:
    vector = RecordEpisodeStatistics(SyncVectorEnv(accounts()))
    env = RememberVectorEpisodes(vector, memory, agent_id="v", info=["episode"])
    live(env, 3)
    ended = [one for one in contents(memory, "v") if "final_observation" in one]
    assert [(one["environment"], int(one["info"]["episode"]["l"])) for one in ended] == [
        (0, 2),
        (1, 3),
    ]


def test_a_vector_that_breaks_its_promise_is_told(
    memory: AgentMemorySystem, caplog: pytest.LogCaptureFixture
) -> None:
    class Silent(gym.vector.VectorWrapper):
        def step(self, actions: Any) -> Any:
            *result, _ = self.env.step(actions)
            return *result, {}

    silent = Silent(SyncVectorEnv(accounts(), autoreset_mode=AutoresetMode.SAME_STEP))
    env = RememberVectorEpisodes(silent, memory, agent_id="v")
    env.reset(seed=1)
    env.step(env.action_space.sample())
    with pytest.raises(InvalidEntry, match="final_obs"):
        env.step(env.action_space.sample())

    vector = SyncVectorEnv(accounts())
    del vector.metadata["autoreset_mode"]
    with caplog.at_level(logging.WARNING, "agent_memory.integrations"):
        RememberVectorEpisodes(vector, memory, agent_id="w")
    assert "NEXT_STEP is assumed" in caplog.text
    vector.metadata["autoreset_mode"] = "sometimes"
    with pytest.raises(ConfigError, match=r"autoreset_mode.*not 'sometimes'"):
        RememberVectorEpisodes(vector, memory, agent_id="w")
    vector.metadata["autoreset_mode"] = "SameStep"
    assert RememberVectorEpisodes(vector, memory, agent_id="w")._mode is AutoresetMode.SAME_STEP
