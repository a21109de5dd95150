"""Episodes that are remembered become a dataset that Minari loads, with the same values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import pytest
from gymnasium import spaces

from agent_memory import AgentMemorySystem, ConfigError, InvalidEntry, Query
from agent_memory.integrations.gymnasium import RememberEpisodes, RememberVectorEpisodes
from agent_memory.integrations.minari import to_minari
from agent_memory.values.contents import pack
from tests.integrations.environments import SPACES, Account

KEPT = [name for name in SPACES if not {*name.split()} & {"sequence", "graph", "one", "odd"}]


@pytest.fixture(autouse=True)
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    return tmp_path / "datasets"


def live(env: Any, steps: int, **reset: Any) -> None:
    env.action_space.seed(5)
    env.reset(**reset)
    for _ in range(steps):
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()


def column(space: Any, values: list[Any]) -> Any:
    """Values one after the other, made in another way than the package makes them."""
    if isinstance(space, spaces.Dict):
        return {key: column(space[key], [one[key] for one in values]) for key in space}
    if isinstance(space, spaces.Tuple):
        return [column(part, [one[at] for one in values]) for at, part in enumerate(space)]
    if isinstance(space, spaces.Text):
        return values
    return np.stack([np.asarray(one, space.dtype) for one in values])


def same(space: Any, loaded: Any, values: list[Any]) -> bool:
    if isinstance(space, spaces.Text):
        return list(loaded) == values
    ordered = {"it": column(space, values)}
    return pack({"it": _as_lists(loaded, ordered["it"])}) == pack(ordered)


def _as_lists(loaded: Any, like: Any) -> Any:
    if isinstance(like, dict):
        return {key: _as_lists(loaded[key], like[key]) for key in like}
    if isinstance(like, list) and like and not isinstance(like[0], str):
        return [_as_lists(one, other) for one, other in zip(loaded, like, strict=True)]
    return list(loaded) if isinstance(like, list) else loaded


@pytest.mark.parametrize("space", KEPT)
def test_each_episode_is_loaded_as_it_was(memory: AgentMemorySystem, space: str) -> None:
    account = Account(space, actions=space)
    env = RememberEpisodes(account, memory, agent_id="a")
    live(env, 8, seed=1)
    env.close()
    made = env.to_minari("account/mine-v0", author="nobody", description="made up")
    loaded = minari.load_dataset("account/mine-v0")
    assert loaded.total_episodes == made.total_episodes == 3
    assert loaded.total_steps == 8
    assert loaded.observation_space == account.observation_space
    for episode, happened in zip(loaded.iterate_episodes(), account.episodes, strict=True):
        seen = [*(step["observation"] for step in happened), happened[-1]["next"]]
        assert same(account.observation_space, episode.observations, seen)
        assert same(account.action_space, episode.actions, [one["action"] for one in happened])
        assert episode.rewards.tolist() == [step["reward"] for step in happened]
    ends = [(one.terminations.tolist(), one.truncations.tolist()) for one in made]
    assert ends == [
        ([False, False, True], [False, False, False]),
        ([False, False, False], [False, False, True]),
        ([False, False], [False, True]),  # broken off
    ]


def test_seeds_of_any_size_options_and_infos_are_loaded(memory: AgentMemorySystem) -> None:
    env = RememberEpisodes(Account(), memory, agent_id="a", info=["place", "odd"])
    live(env, 3)
    drawn = env.unwrapped.np_random_seed
    live(env, 3, seed=7, options={"size": 3})
    loaded = env.to_minari("account/mine-v0")
    reported = list(loaded.storage.get_episode_metadata([0, 1]))
    assert drawn > 2**64
    assert [one["seed"] for one in reported] == [drawn, 7]
    assert reported[1]["options"]["size"] == 3
    # "place" is said by resets alone and "odd" by some steps: Minari takes neither.
    assert not any(one.infos for one in loaded)


def test_infos_that_every_step_says_are_loaded(memory: AgentMemorySystem) -> None:
    class Informed(Account):
        def reset(self, **given: Any) -> Any:
            observation, _ = super().reset(**given)
            return observation, {"x": 0.5}

        def step(self, action: Any) -> Any:
            *result, _ = super().step(action)
            return *result, {"x": result[1], "y": 1}

    env = RememberEpisodes(Informed(), memory, agent_id="a", info=True)
    live(env, 3)
    (episode,) = env.to_minari("account/mine-v0")
    assert {name: said.tolist() for name, said in episode.infos.items()} == {
        "x": [0.5, 0.0, 1.0, 2.0]
    }


def test_an_environment_is_recovered_and_vectors_and_agents_are_gathered(
    memory: AgentMemorySystem,
) -> None:
    env = RememberEpisodes(gym.make("CartPole-v1"), memory, agent_id="a")
    live(env, 50, seed=1)
    env.close()
    assert env.to_minari("cartpole/one-v0").recover_environment().spec.id == "CartPole-v1"
    vector = gym.make_vec("CartPole-v1", num_envs=3, vectorization_mode="sync")
    vectors = RememberVectorEpisodes(vector, memory, agent_id="v")
    vectors.reset(seed=1)
    for _ in range(40):
        vectors.step(vectors.action_space.sample())
    vectors.close()
    steps = sum(
        "action" in hit.entry.contents
        for agent in ("a", "v")
        for hit in memory.recall(Query(agent_id=agent))
    )
    both = to_minari(memory, "cartpole/both-v0", agent_id=["a", "v"], env="CartPole-v1")
    assert both.total_steps == steps
    assert all(len(one.observations) == len(one.rewards) + 1 for one in both)


def test_of_an_episode_that_nobody_ended_the_last_step_is_left_out(
    memory: AgentMemorySystem,
) -> None:
    env = RememberEpisodes(Account(length=9), memory, agent_id="a")
    live(env, 4)
    (episode,) = env.to_minari("account/mine-v0")
    assert episode.rewards.tolist() == [0.0, 1.0, 2.0]
    assert len(episode.observations) == 4


def test_episodes_with_gaps_are_refused_or_left_out_and_leave_nothing(
    memory: AgentMemorySystem, datasets: Path
) -> None:
    env = RememberEpisodes(Account(), memory, agent_id="a")
    live(env, 9, seed=1)
    memory.forget(query=Query(agent_id="a", steps=(4, 4)))
    with pytest.raises(InvalidEntry, match="episode 1 of agent 'a': step 1 is not stored"):
        env.to_minari("account/mine-v0")
    assert not (datasets / "account" / "mine-v0").exists()
    assert env.to_minari("account/mine-v0", skip_incomplete=True).total_episodes == 2


def test_what_minari_cannot_store_is_refused_before_anything_is_written(
    memory: AgentMemorySystem, datasets: Path
) -> None:
    for space in sorted({*SPACES} - {*KEPT}):
        env = RememberEpisodes(Account(space), memory, agent_id=space)
        live(env, 3)
        with pytest.raises(ConfigError, match=r"observation_space.*Minari cannot store a space of"):
            env.to_minari("account/mine-v0")
    env = RememberEpisodes(Account(), memory, agent_id="a")
    with pytest.raises(ConfigError, match="no episode of 'a'"):
        env.to_minari("account/mine-v0")
    live(env, 3)
    with pytest.raises(ConfigError, match="observation_space: it is needed"):
        to_minari(memory, "account/mine-v0", agent_id="a")
    with pytest.raises(InvalidEntry, match="episode 0 of agent 'a' does not fit the spaces"):
        env.to_minari("account/mine-v0", observation_space=SPACES["dict"])
    for name in ("", "no version", "../out-v0", "a/b/c/d/e"):
        with pytest.raises(ConfigError, match="dataset_id"):
            env.to_minari(name)
    assert [*datasets.rglob("*.hdf5")] == []
    env.to_minari("account/mine-v0")
    with pytest.raises(ConfigError, match="is there already"):
        env.to_minari("account/mine-v0")
    assert len([*datasets.rglob("*.hdf5")]) == 1
