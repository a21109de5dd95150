"""Episodes of one environment are remembered as they were, whatever its spaces."""

from __future__ import annotations

import logging
import pickle
import threading
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import Autoreset, TimeLimit

from agent_memory import AgentMemorySystem, ConfigError, InvalidEntry, Order, Query, RunConflict
from agent_memory.integrations.episodes import plain
from agent_memory.integrations.gymnasium import RememberEpisodes, RememberVectorEpisodes
from agent_memory.values.contents import pack
from tests.integrations.environments import SPACES, Account, remembered, steps_of
from tests.memories import Opener


class Odd(Account):
    """Its ``info`` holds what cannot be stored."""

    def step(self, action: Any) -> Any:
        *result, info = super().step(action)
        return *result, info | {"lock": threading.Lock()}


def live(env: Any, steps: int, *, seed: int | None = None) -> None:
    """Act at random for some steps, and reset after each end."""
    env.action_space.seed(5)
    env.reset(seed=seed)
    for _ in range(steps):
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()


def contents(memory: AgentMemorySystem, agent_id: str, **query: Any) -> list[Any]:
    asked = Query(agent_id=agent_id, order=Order.STEP, **query)
    return [hit.entry.contents for hit in memory.recall(asked, touch=False)]


@pytest.mark.parametrize("space", SPACES)
def test_each_step_is_remembered_as_it_was_in_every_space(
    memory: AgentMemorySystem, space: str
) -> None:
    account = Account(space, actions=space)
    env = RememberEpisodes(account, memory, agent_id="a")
    live(env, 8, seed=1)
    env.close()
    assert remembered(memory, "a") == list(steps_of(account))
    assert len(remembered(memory, "a")) == 8
    assert len(contents(memory, "a")) == 8 + 1  # what was seen last of the broken-off episode
    seen = account.episodes[0][1]["observation"]
    best = env.recall(seen, limit=1)[0]
    assert best.score == 1.0
    found = best.entry.contents["observation"]
    assert pack({"seen": found}) == pack({"seen": plain(seen)})


@pytest.mark.parametrize("counted", ["wall", "steps"])
def test_episodes_go_on_where_the_memory_has_them_and_no_step_is_lost(
    open_memory: Opener, counted: str
) -> None:
    """The same life is lived twice, as after a restart: under one clock or the other it is two."""
    expected: list[bytes] = []
    config: dict[str, Any] = {"clock": counted, "stm_config": {"memory_limit": 5}}
    memory = open_memory(**config)
    for _ in range(2):
        account = Account()
        env = RememberEpisodes(account, memory, agent_id="a")
        live(env, 7, seed=1)
        env.close()
        memory.maintain()
        expected += steps_of(account)
        assert remembered(memory, "a") == expected
        memory = open_memory(**config)
    entries = [hit.entry for hit in memory.recall(Query(agent_id="a", order=Order.STEP))]
    # Two episodes of three steps, and one step and what was seen last of the third; twice.
    assert [entry.step_number for entry in entries] == [*range(16)]
    assert [entry.contents["episode"] for entry in entries] == [
        *(0, 0, 0, 1, 1, 1, 2, 2),
        *(3, 3, 3, 4, 4, 4, 5, 5),
    ]


def test_an_observation_of_128_numbers_is_recalled_by_what_it_is(
    memory: AgentMemorySystem,
) -> None:
    class Wide(gym.Env):
        observation_space = gym.spaces.Box(-1, 1, (128,), np.float32)
        action_space = gym.spaces.Discrete(2)

        def reset(self, *, seed: Any = None, options: Any = None) -> Any:
            super().reset(seed=seed)
            return self.np_random.random(128, np.float32), {}

        def step(self, action: Any) -> Any:
            return self.np_random.random(128, np.float32), 0.0, False, False, {}

    env = RememberEpisodes(Wide(), memory, agent_id="a")
    observation, _ = env.reset(seed=3)
    seen = []
    for _ in range(5):
        seen.append(observation)
        observation, *_ = env.step(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for step, one in enumerate(seen):
            assert env.recall(one, limit=1)[0].entry.step_number == step
        assert env.recall(seen[2].tolist(), limit=1)[0].score == pytest.approx(1.0, abs=1e-6)
    assert [hit.entry.step_number for hit in env.recall(limit=2, order="newest")] == [4, 3]


def test_seeds_options_and_infos_are_kept(memory: AgentMemorySystem) -> None:
    env = RememberEpisodes(Account(), memory, agent_id="a", info=["even", "place"])
    env.reset()
    drawn = str(env.unwrapped.np_random_seed)
    env.step(0)
    env.reset(seed=2**100, options={"map": "hills", "size": 3})
    env.step(0)
    env.step(0)
    env.reset()
    env.step(0)
    first, cut, second, then, _, last = contents(memory, "a")
    assert int(drawn) > 2**53
    assert first["seed"] == drawn
    assert "action" not in cut
    assert second["seed"] == str(2**100)
    assert second["options"] == {"map": "hills", "size": 3}
    assert second["reset_info"] == {"place": 3}
    assert second["info"] == {}
    assert then["info"]["even"].tolist() == [0, 1]
    assert "seed" not in last
    every = RememberEpisodes(Account(), memory, agent_id="b", info=True)
    live(every, 2, seed=1)
    assert contents(memory, "b")[0]["info"] == {"odd": "odd"}


def test_rewards_of_any_type_of_number_are_floats(memory: AgentMemorySystem) -> None:
    given = iter([0, 0.5, np.float32(0.25), np.int64(2), np.array(3), np.array([1.0, 2.0]), True])
    env = gym.wrappers.TransformReward(Account(length=9), lambda _: next(given))
    remembering = RememberEpisodes(env, memory, agent_id="a")
    live(remembering, 7)
    *plain, both, truth = [one["reward"] for one in contents(memory, "a")]
    assert plain == [0.0, 0.5, 0.25, 2.0, 3.0]
    assert {type(one) for one in (*plain, truth)} == {float}
    assert both.tolist() == [1.0, 2.0]


def test_the_user_gets_what_the_environment_gives(memory: AgentMemorySystem) -> None:
    env = gym.make("CartPole-v1", max_episode_steps=7)
    remembering = RememberEpisodes(gym.make("CartPole-v1", max_episode_steps=7), memory, agent_id=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells of every wrapper
        check_env(RememberEpisodes(Account(), memory, agent_id=2), skip_render_check=True)
    assert remembering.agent_id == "1"
    for one, other in zip(env.reset(seed=3), remembering.reset(seed=3), strict=True):
        assert np.array_equal(one, other)
    for _ in range(7):
        for one, other in zip(env.step(1), remembering.step(1), strict=True):
            assert np.array_equal(one, other)
    assert gym.make(remembering.spec).spec == env.spec
    assert remembering.spec.to_json() == env.spec.to_json()
    assert TimeLimit(remembering, 3).spec is not None
    assert contents(memory, "1")[-1]["truncated"] is True or contents(memory, "1")[-1]["terminated"]


def test_an_environment_that_resets_itself_begins_an_episode_by_a_step(
    memory: AgentMemorySystem,
) -> None:
    account = Account()
    env = RememberEpisodes(Autoreset(account), memory, agent_id="a")
    env.action_space.seed(5)
    env.reset(seed=1)
    for _ in range(12):
        env.step(env.action_space.sample())
    assert remembered(memory, "a") == list(steps_of(account))
    assert len(remembered(memory, "a")) == 9


def test_steps_that_no_reset_began_are_not_remembered(memory: AgentMemorySystem) -> None:
    account = Account()
    env = RememberEpisodes(account, memory, agent_id="a")
    env.reset(seed=1)
    for _ in range(5):
        env.step(1)
    assert len(contents(memory, "a")) == 3
    env.reset()
    env.reset()
    assert len(contents(memory, "a")) == 3


def test_what_cannot_be_stored_is_left_out_and_said_once(
    memory: AgentMemorySystem, caplog: pytest.LogCaptureFixture
) -> None:
    env = RememberEpisodes(Odd(), memory, agent_id="a", info=True)
    with caplog.at_level(logging.ERROR, "agent_memory.integrations"):
        live(env, 6, seed=1)
    assert [one["info"].keys() for one in contents(memory, "a")][:2] == [{"odd"}, {"even"}]
    assert len(caplog.records) == 1
    assert "contents.info.lock" in caplog.text


def test_what_cannot_be_stored_is_an_error_where_the_memory_says_so() -> None:
    with AgentMemorySystem({"engine": "fake", "on_store_error": "raise"}) as memory:
        env = RememberEpisodes(Odd(), memory, agent_id="a", info=True)
        env.reset(seed=1)
        with pytest.raises(InvalidEntry, match=r"contents\.info\.lock"):
            env.step(0)


def test_runs_are_apart_and_other_memories_of_the_agent_stay(memory: AgentMemorySystem) -> None:
    memory.store_agent_action("a", {"action_type": "think"}, 41)
    env = RememberEpisodes(Account(), memory, agent_id="a")
    live(env, 2, seed=1)
    other = RememberEpisodes(Account(), memory, agent_id="a", run="other")
    live(other, 2, seed=1)
    assert [hit.entry.step_number for hit in memory.recall(Query(agent_id="a"))] == [41, 42, 43]
    assert [hit.entry.step_number for hit in other.recall(order="step")] == [0, 1]
    assert [hit.entry.run_id for hit in other.recall(limit=1)] == ["other"]


def test_bad_arguments_are_refused_by_name(memory: AgentMemorySystem) -> None:
    env = Account()
    vector = gym.vector.SyncVectorEnv([Account])
    for wrong, given, message in (
        (RememberEpisodes, (vector, memory), "env: .* use RememberVectorEpisodes"),
        (RememberEpisodes, (None, memory), "env: a gymnasium.Env is needed, not NoneType"),
        (RememberVectorEpisodes, (env, memory), "env: .* use RememberEpisodes"),
        (RememberEpisodes, (env, None), "memory: an AgentMemorySystem is needed, not NoneType"),
        (RememberEpisodes, (env, {"engine": "fake"}), "memory: .* not dict"),
    ):
        with pytest.raises(ConfigError, match=message):
            wrong(*given, agent_id="a")
    for info in ("even", 3, [1], None):
        with pytest.raises(ConfigError, match="info: True, False or a list of keys"):
            RememberEpisodes(env, memory, agent_id="a", info=info)  # type: ignore[arg-type]
    with pytest.raises(InvalidEntry, match="agent_id"):
        RememberEpisodes(env, memory, agent_id="")
    with pytest.raises(InvalidEntry, match="run_id"):
        RememberEpisodes(env, memory, agent_id="a", run="")
    with pytest.raises(TypeError, match="agent_id"):
        RememberEpisodes(env, memory)  # type: ignore[call-arg]
    with pytest.raises(InvalidEntry):
        RememberEpisodes(env, memory, agent_id="a").recall(threading.Lock())


def test_an_environment_is_sent_to_a_worker_with_its_memory(open_memory: Opener) -> None:
    memory = open_memory()
    env = RememberEpisodes(gym.make("CartPole-v1"), memory, agent_id="a")
    try:
        pickled = pickle.dumps(env)
    except ConfigError:
        pytest.skip("this memory is in one process alone")
    live(env, 5, seed=1)
    sent = pickle.loads(pickled)  # noqa: S301 - made here
    with sent.memory:
        sent.reset(seed=2)
        sent.step(1)
        assert len(sent.recall(limit=None)) >= 6


def test_a_run_is_recorded_with_the_environment_and_its_first_seed(
    memory: AgentMemorySystem,
) -> None:
    for seed in (2**80, 5):  # whoever comes later changes nothing
        env = RememberEpisodes(
            gym.make("CartPole-v1", sutton_barto_reward=True), memory,
            agent_id="pole", run="training", parameters={"rate": 0.5},
        )  # fmt: skip
        assert memory.runs()[0].status == "running"
        env.reset(seed=seed)
        env.close()
        assert memory.runs()[0].status == "finished"
    (found,) = memory.runs()
    assert found.parameters == {
        "environment": "CartPole-v1", "kwargs": {"sutton_barto_reward": True}, "rate": 0.5,
    }  # fmt: skip
    assert (found.run_id, found.seed) == ("training", 2**80)
    plain_env = RememberEpisodes(Account(), memory, agent_id="a")
    plain_env.reset(seed=1)
    assert [run.run_id for run in memory.runs()] == ["training"]
    with pytest.raises(RunConflict):
        RememberEpisodes(Account(), memory, agent_id="a", run="training", exists="refuse")
