"""Gymnasium's environments: wrappers that remember episodes, one entry a step.

Needs the extra ``gymnasium``. See ``docs/gymnasium.md``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agent_memory.errors import ConfigError
from agent_memory.integrations.episodes import (
    AgentRecorder,
    Clock,
    Episode,
    InfoChoice,
    Outcome,
    checked_info,
    chosen_info,
    plain,
    seed_text,
)
from agent_memory.integrations.extras import explained, require
from agent_memory.integrations.runs import end_environment_run, environment_run, is_begun_here
from agent_memory.integrations.vectors import final_observation, info_of, member
from agent_memory.system.memory_system import AgentMemorySystem
from agent_memory.values.calls import explains_calls
from agent_memory.values.query import Hit
from agent_memory.values.run import Existing
from agent_memory.values.tried import tried_with

try:
    import gymnasium as gym
    from gymnasium.vector import (
        AsyncVectorEnv,
        AutoresetMode,
        SyncVectorEnv,
        VectorEnv,
        VectorWrapper,
    )
except ImportError as error:
    raise explained(error, "gymnasium", "gymnasium") from error

# The first whose vector environments say how they reset.
require("gymnasium", (1, 1), "gymnasium")

_logger = logging.getLogger("agent_memory.integrations")


@explains_calls("__init__", "recall", "to_minari")
class RememberEpisodes(gym.Wrapper):
    """An environment whose episodes an agent remembers; to its user it is the same environment.

    A step is an entry: ``observation`` (what was seen), ``action``, ``reward``, ``terminated`` and
    ``truncated``, with ``episode`` and ``episode_step``. The last entry of an episode has
    ``final_observation``, the first one ``seed`` (as text) and ``options`` if there were any.

    Args:
        env: The environment.
        memory: Where to remember. It is not closed with the environment.
        agent_id: Whose memories they are. Its steps and episodes go on after those that it has.
        run: The run of the memory, which is recorded with the environment's ``spec`` and the seed
            of the first reset; None: the one that the memory is bound to.
        parameters: What else is recorded of the run.
        exists: What becomes of a run that is there; see ``AgentMemorySystem.run``.
        info: Which keys of ``info`` are stored: True for all, False for none, or their names.

    Raises:
        ConfigError: ``env``, ``memory`` or ``info`` is none.
        InvalidEntry: The agent id or run has no meaning.
        RunConflict: The run is there, and ``exists`` refuses it.
        StoreUnavailable: What the agent has stored before cannot be read.
    """

    @tried_with("gymnasium")
    def __init__(
        self,
        env: Any,
        memory: AgentMemorySystem,
        *,
        agent_id: str | int,
        run: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        exists: Existing | None = None,
        info: InfoChoice = False,
    ) -> None:
        if not isinstance(env, gym.Env):
            other = "; use RememberVectorEpisodes" if isinstance(env, VectorEnv) else ""
            raise ConfigError(f"env: a gymnasium.Env is needed, not {type(env).__name__}{other}")
        super().__init__(env)
        self.memory = environment_run(memory, run, env, parameters, exists)
        self._ends_run = is_begun_here(run, parameters, exists)
        self._clock = Clock()
        self._recorder = AgentRecorder(self.memory, agent_id, self._clock, checked_info(info))
        self._episode = Episode(self._recorder)
        self._is_seeded = False
        self._resets_itself = _resets_itself(env)

    @property
    def agent_id(self) -> str:
        """Whose memories they are."""
        return self._recorder.agent_id

    @property
    def spec(self) -> Any:
        """What makes the environment, without the memory, which no file could name."""
        return self.env.spec

    @tried_with("gymnasium")
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; one that goes on is broken off, and its last observation stored."""
        given = plain(options)
        observation, info = self.env.reset(seed=seed, options=options)
        self._episode.stop(self._clock.step)
        if seed is None and not self._is_seeded:
            seed = getattr(self.env, "np_random_seed", None)
        self._is_seeded = True
        self._recorder.note_seed(seed_text(seed))
        self._begin(observation, info, seed=seed_text(seed), options=given)
        return observation, info

    @tried_with("gymnasium")
    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Let the environment take a step, and remember it."""
        done = plain(action)
        observation, reward, terminated, truncated, info = self.env.step(action)
        if self._episode.is_running:
            outcome = Outcome(reward, terminated, truncated, info)
            self._episode.record(self._clock.step, done, plain(observation), outcome)
            self._clock.step += 1
        elif self._resets_itself:
            self._begin(observation, info)
        return observation, reward, terminated, truncated, info

    def close(self) -> None:
        """Close the environment; an episode that goes on is broken off."""
        self._episode.stop(self._clock.step)
        self.env.close()
        if self._ends_run:
            end_environment_run(self.memory)

    def recall(
        self, near: object = None, *, limit: int | None = 10, touch: bool = True, **conditions: Any
    ) -> list[Hit]:
        """Find steps of this agent, those with the most similar observations first.

        Args:
            near: An observation, whatever its space is, or a part of one that is a dict.
            limit: At most this many; None for all.
            touch: Whether this counts as a retrieval.
            conditions: Further fields of a ``Query``, such as ``attributes`` or ``order``.

        Raises:
            InvalidEntry: The observation or a condition has no meaning.
            StoreUnavailable: A tier does not answer.
        """
        return self._recorder.recall(near, limit, touch, **conditions)

    def to_minari(self, dataset_id: str, **settings: Any) -> Any:
        """Make a Minari dataset of this agent's episodes; see ``minari.to_minari``."""
        from agent_memory.integrations.minari import to_minari  # noqa: PLC0415  # another extra

        settings = {
            **_spaces(self.observation_space, self.action_space),
            "env": self.spec,
        } | settings
        return to_minari(self.memory, dataset_id, agent_id=self.agent_id, **settings)

    def _begin(self, observation: Any, info: Mapping[str, Any], **first: Any) -> None:
        said = chosen_info(info, self._recorder.info)
        number = self._clock.begin_episode()
        self._episode.begin(number, plain(observation), **first, reset_info=said)


@explains_calls("__init__", "recall")
class RememberVectorEpisodes(VectorWrapper):
    """A vector environment whose episodes one agent remembers; see ``RememberEpisodes``.

    A step of the vector is an entry for each environment that took one, all under the same step
    number, with ``environment``, its place in the vector. An environment that is being reset
    takes no step. Episodes are numbered in the order in which they begin.

    Args:
        env: The vector environment, with any autoreset mode.
        memory: Where to remember. It is not closed with the environment.
        agent_id: Whose memories they are. Its steps and episodes go on after those that it has.
        run: The run of the memory, which is recorded with the environment's ``spec`` and the seed
            of the first reset; None: the one that the memory is bound to.
        parameters: What else is recorded of the run.
        exists: What becomes of a run that is there; see ``AgentMemorySystem.run``.
        info: Which keys of ``info`` are stored: True for all, False for none, or their names.

    Raises:
        ConfigError: ``env``, ``memory`` or ``info`` is none, or the mode is not known.
        InvalidEntry: The agent id or run has no meaning.
        RunConflict: The run is there, and ``exists`` refuses it.
        StoreUnavailable: What the agent has stored before cannot be read.
    """

    @tried_with("gymnasium")
    def __init__(
        self,
        env: Any,
        memory: AgentMemorySystem,
        *,
        agent_id: str | int,
        run: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        exists: Existing | None = None,
        info: InfoChoice = False,
    ) -> None:
        if not isinstance(env, VectorEnv):
            other = "; use RememberEpisodes" if isinstance(env, gym.Env) else ""
            raise ConfigError(
                f"env: a gymnasium.vector.VectorEnv is needed, not {type(env).__name__}{other}"
            )
        super().__init__(env)
        self.memory = environment_run(memory, run, env, parameters, exists)
        self._ends_run = is_begun_here(run, parameters, exists)
        self._mode = _autoreset_mode(env)
        self._clock = Clock()
        self._recorder = AgentRecorder(self.memory, agent_id, self._clock, checked_info(info))
        self._episodes = [Episode(self._recorder, place) for place in range(env.num_envs)]
        self._is_seeded = False

    @property
    def agent_id(self) -> str:
        """Whose memories they are."""
        return self._recorder.agent_id

    @tried_with("gymnasium")
    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        """Begin episodes, in those environments alone that ``options["reset_mask"]`` names."""
        given = {} if options is None else {**plain(options)}
        # The environment takes it out of the options.
        mask = given.pop("reset_mask", None)
        observations, infos = self.env.reset(seed=seed, options=options)
        seeds, seen = self._seeds(seed), plain(observations)
        self._recorder.note_seed(seed_text(seeds[0]))
        for place, episode in enumerate(self._episodes):
            if mask is None or mask[place]:
                episode.stop(self._clock.step)
                first = {"seed": seed_text(seeds[place]), "options": given}
                self._begin(place, seen, info_of(infos, place), **first)
        return observations, infos

    @tried_with("gymnasium")
    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, Any]:
        """Let the environments take a step, and remember it."""
        done = plain(actions)
        result = self.env.step(actions)
        observations, rewards, terminated, truncated, infos = result
        seen = plain(observations)
        with self._recorder.together():
            for place, episode in enumerate(self._episodes):
                ended = bool(terminated[place]) or bool(truncated[place])
                needs_info = self._recorder.info is not False or ended
                info = info_of(infos, place) if needs_info else {}
                if episode.is_running:
                    action = member(self.single_action_space, done, place)
                    outcome = Outcome(rewards[place], terminated[place], truncated[place], info)
                    self._record(place, action, seen, outcome)
                elif self._mode is AutoresetMode.NEXT_STEP:
                    self._begin(place, seen, info)
        self._clock.step += 1
        return observations, rewards, terminated, truncated, infos

    def close(self, **kwargs: Any) -> None:
        """Close the environments; episodes that go on are broken off."""
        for episode in self._episodes:
            episode.stop(self._clock.step)
        self.env.close(**kwargs)
        if self._ends_run:
            end_environment_run(self.memory)

    def recall(
        self, near: object = None, *, limit: int | None = 10, touch: bool = True, **conditions: Any
    ) -> list[Hit]:
        """Find steps of all environments, those with the most similar observations first.

        Args:
            near: An observation of one environment; see ``RememberEpisodes.recall``.
            limit: At most this many; None for all.
            touch: Whether this counts as a retrieval.
            conditions: Further fields of a ``Query``, such as ``attributes`` or ``order``.

        Raises:
            InvalidEntry: The observation or a condition has no meaning.
            StoreUnavailable: A tier does not answer.
        """
        return self._recorder.recall(near, limit, touch, **conditions)

    def to_minari(self, dataset_id: str, **settings: Any) -> Any:
        """Make a Minari dataset of this agent's episodes; see ``minari.to_minari``."""
        from agent_memory.integrations.minari import to_minari  # noqa: PLC0415  # another extra

        known = _spaces(self.single_observation_space, self.single_action_space)
        return to_minari(self.memory, dataset_id, agent_id=self.agent_id, **known | settings)

    def _record(self, place: int, action: Any, seen: Any, outcome: Outcome) -> None:
        episode = self._episodes[place]
        now = member(self.single_observation_space, seen, place)
        if not (outcome.ends and self._mode is AutoresetMode.SAME_STEP):
            episode.record(self._clock.step, action, now, outcome)
            return
        # What was returned belongs to the next episode already.
        last, said, info = final_observation(outcome.info, place)
        ended = Outcome(outcome.reward, outcome.terminated, outcome.truncated, said)
        episode.record(self._clock.step, action, plain(last), ended)
        self._begin(place, seen, info)

    def _begin(self, place: int, seen: Any, info: Mapping[str, Any], **first: Any) -> None:
        said = chosen_info(info, self._recorder.info)
        observation = member(self.single_observation_space, seen, place)
        number = self._clock.begin_episode()
        self._episodes[place].begin(number, observation, **first, reset_info=said)

    def _seeds(self, seed: Any) -> Sequence[object]:
        """The seed of each environment, as far as it is known."""
        places = range(self.num_envs)
        is_first, self._is_seeded = not self._is_seeded, True
        if seed is None and is_first:
            seed = getattr(self.env, "np_random_seed", None)
        elif seed is not None and _has_generators(self.env):
            # A number is that of the first; the others count on from it.
            return [seed + place for place in places] if np.ndim(seed) == 0 else list(seed)
        return [seed for _ in places] if seed is None or np.ndim(seed) == 0 else list(seed)


def _spaces(observation_space: Any, action_space: Any) -> dict[str, Any]:
    return {"observation_space": observation_space, "action_space": action_space}


def _resets_itself(env: Any) -> bool:
    """Whether one of the wrappers below resets the environment with the step after the last."""
    while isinstance(env, gym.Wrapper):
        if isinstance(env, gym.wrappers.Autoreset):
            return True
        env = env.env
    return False


def _has_generators(env: Any) -> bool:
    """Whether each environment of a vector has a random generator of its own."""
    return isinstance(env.unwrapped, SyncVectorEnv | AsyncVectorEnv)


def _autoreset_mode(env: Any) -> Any:
    found = env.metadata.get("autoreset_mode")
    if found is None:
        _logger.warning(
            "%s does not say in its metadata how it resets; AutoresetMode.NEXT_STEP is assumed", env
        )
        return AutoresetMode.NEXT_STEP
    try:
        return AutoresetMode(found)
    except ValueError as error:
        modes = ", ".join(str(mode) for mode in AutoresetMode)
        raise ConfigError(
            f'env.metadata["autoreset_mode"]: one of {modes} is needed, not {found!r}'
        ) from error
