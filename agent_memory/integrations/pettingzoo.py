"""PettingZoo's environments: wrappers that let each agent remember its episodes, one entry a step.

Needs the extra ``pettingzoo``. See ``docs/pettingzoo.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

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
    scalar,
    seed_text,
)
from agent_memory.integrations.extras import explained, require
from agent_memory.integrations.runs import (
    end_environment_run,
    environment_run,
    is_begun_here,
    record_seed,
)
from agent_memory.system.memory_system import AgentMemorySystem
from agent_memory.values.calls import explains_calls
from agent_memory.values.query import Hit
from agent_memory.values.run import Existing
from agent_memory.values.tried import tried_with

try:
    from pettingzoo import AECEnv, ParallelEnv
    from pettingzoo.utils import BaseParallelWrapper, BaseWrapper
except ImportError as error:
    raise explained(error, "pettingzoo", "pettingzoo") from error

require("pettingzoo", (1, 24), "pettingzoo")

AgentId = Callable[[Any], str | int]


class _Agents:
    """The agents of an environment, each with what it remembers.

    Agents share the environment's steps and episodes, which go on after what any of them has
    stored.
    """

    def __init__(self, memory: AgentMemorySystem, agent_id: AgentId, info: InfoChoice) -> None:
        if not callable(agent_id):
            raise ConfigError(
                "agent_id: a function that gives the id of an agent is needed, for example "
                f'agent_id="walker-{{}}".format, not {agent_id!r}'
            )
        self.memory = memory
        self.clock = Clock()
        self.episode = -1
        self.info = checked_info(info)
        self._agent_id = agent_id
        self._recorders: dict[Any, AgentRecorder] = {}
        self._episodes: dict[Any, Episode] = {}

    def recorder(self, agent: Any) -> AgentRecorder:
        """What stores the memories of an agent."""
        if agent not in self._recorders:
            name = self._agent_id(agent)
            self._recorders[agent] = AgentRecorder(self.memory, name, self.clock, self.info)
        return self._recorders[agent]

    def of(self, agent: Any) -> Episode:
        """The episode of an agent."""
        if agent not in self._episodes:
            self._episodes[agent] = Episode(self.recorder(agent))
        return self._episodes[agent]

    def running(self) -> list[Any]:
        """The agents whose episode goes on."""
        return [agent for agent, episode in self._episodes.items() if episode.is_running]

    def begin_episode(self) -> None:
        """Break off what goes on, and begin the next episode of the environment."""
        self.stop(self.running())
        self.episode = self.clock.begin_episode()

    def begin(self, agent: Any, observation: Any, info: Any, **first: Any) -> None:
        """Let an agent come into the episode."""
        said = chosen_info(info or {}, self.info)
        episode = self.of(agent)
        # Known by now: an agent may remember more episodes than the others.
        self.episode = max(self.episode, self.clock.episodes - 1)
        episode.begin(self.episode, plain(observation), **first, reset_info=said)

    def stop(self, agents: Iterable[Any]) -> None:
        """Break off the episodes of some agents."""
        for agent in agents:
            self.of(agent).stop(self.clock.step)


@explains_calls("__init__", "recall")
class RememberParallelEpisodes(BaseParallelWrapper):
    """A parallel environment whose agents remember their episodes; see ``RememberEpisodes``.

    Each agent has a memory of its own, in which a step is an entry. All agents share the numbers
    of steps and episodes. An agent that comes later begins with the step in which it is first
    seen. One that ends keeps the reward of its last step, and its ``final_observation``; one that
    disappears without an end keeps what it saw last.

    Args:
        env: The environment.
        memory: Where to remember. It is not closed with the environment.
        agent_id: Gives the id of an agent's memories; None: the agent's name.
        run: The run of the memory; None: the one that the memory is bound to.
        parameters: What is recorded of the run, with the seed of its first reset.
        exists: What becomes of a run that is there; see ``AgentMemorySystem.run``.
        info: Which keys of ``infos`` are stored: True for all, False for none, or their names.

    Raises:
        ConfigError: ``env``, ``memory``, ``agent_id`` or ``info`` is none.
        InvalidEntry: An agent's id or the run has no meaning.
        StoreUnavailable: What the agents have stored before cannot be read.
    """

    @tried_with("pettingzoo", "gymnasium")
    def __init__(
        self,
        env: Any,
        memory: AgentMemorySystem,
        *,
        agent_id: AgentId | None = None,
        run: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        exists: Existing | None = None,
        info: InfoChoice = False,
    ) -> None:
        if not isinstance(env, ParallelEnv):
            other = "; use RememberAECEpisodes" if isinstance(env, AECEnv) else ""
            raise ConfigError(
                f"env: a pettingzoo.ParallelEnv is needed, not {type(env).__name__}{other}"
            )
        super().__init__(env)
        self.memory = environment_run(memory, run, env, parameters, exists)
        self._ends_run = is_begun_here(run, parameters, exists)
        self._agents = _Agents(self.memory, agent_id or str, info)

    @tried_with("pettingzoo", "gymnasium")
    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[Any, Any], dict[Any, Any]]:
        """Begin an episode; one that goes on is broken off, and its last observations stored."""
        given = plain(options)
        observations, infos = self.env.reset(seed=seed, options=options)
        record_seed(self.memory, seed)
        agents = self._agents
        _know(agents, (*getattr(self.env, "possible_agents", ()), *self.env.agents))
        agents.begin_episode()
        # The dicts may hold other keys beside the agents.
        for agent in self.env.agents:
            first = {"seed": seed_text(seed), "options": given}
            agents.begin(agent, observations.get(agent), infos.get(agent), **first)
        return observations, infos

    @tried_with("pettingzoo", "gymnasium")
    def step(self, actions: dict[Any, Any]) -> tuple[dict[Any, Any], ...]:
        """Let the environment take a step, and remember it."""
        done, agents = plain(actions), self._agents
        before = agents.running()
        result: tuple[dict[Any, Any], ...] = self.env.step(actions)
        observations, rewards, terminations, truncations, infos = result
        for agent in {**rewards, **terminations}:
            outcome = Outcome(
                rewards.get(agent, 0.0),
                terminations.get(agent, False),
                truncations.get(agent, False),
                infos.get(agent, {}),
            )
            now = observations.get(agent)
            if agent in before:
                agents.of(agent).record(agents.clock.step, done.get(agent), plain(now), outcome)
            else:
                self._come(agent, now, outcome)
        gone = (agent for agent in before if agent not in rewards and agent not in terminations)
        agents.stop(gone)
        agents.clock.step += 1
        return result

    def close(self) -> None:
        """Close the environment; episodes that go on are broken off."""
        self._agents.stop(self._agents.running())
        self.env.close()
        if self._ends_run:
            end_environment_run(self.memory)

    def recall(
        self,
        agent: Any,
        near: object = None,
        *,
        limit: int | None = 10,
        touch: bool = True,
        **conditions: Any,
    ) -> list[Hit]:
        """Find steps of an agent, those with the most similar observations first.

        Args:
            agent: The agent, by its name in the environment.
            near: An observation; see ``RememberEpisodes.recall``.
            limit: At most this many; None for all.
            touch: Whether this counts as a retrieval.
            conditions: Further fields of a ``Query``, such as ``attributes`` or ``order``.

        Raises:
            InvalidEntry: The observation or a condition has no meaning.
            StoreUnavailable: A tier does not answer.
        """
        return self._agents.recorder(agent).recall(near, limit, touch, **conditions)

    def _come(self, agent: Any, observation: Any, outcome: Outcome) -> None:
        """Let an agent come in that was not there when the others acted."""
        agents = self._agents
        earlier = scalar(outcome.reward) or None
        if outcome.ends:
            agents.begin(agent, observation, None)
            agents.of(agent).stop(agents.clock.step, outcome)
        else:
            agents.begin(agent, observation, outcome.info, reward_before=earlier)


@explains_calls("__init__", "recall")
class RememberAECEpisodes(BaseWrapper):
    """An environment of agents that act in turn (AEC), who remember their episodes.

    Each agent has a memory of its own, in which an action is an entry, stored at the agent's next
    turn: its reward is what the agent got from then on until that turn. An agent that has ended
    gets its last reward and its ``final_observation`` with the ``step(None)`` that takes it out of
    the environment, or with the next ``reset`` or ``close``. A turn of any agent is a step.

    Args:
        env: The environment.
        memory: Where to remember. It is not closed with the environment.
        agent_id: Gives the id of an agent's memories; None: the agent's name.
        run: The run of the memory; None: the one that the memory is bound to.
        parameters: What is recorded of the run, with the seed of its first reset.
        exists: What becomes of a run that is there; see ``AgentMemorySystem.run``.
        info: Which keys of ``infos`` are stored: True for all, False for none, or their names.

    Raises:
        ConfigError: ``env``, ``memory``, ``agent_id`` or ``info`` is none.
        InvalidEntry: An agent's id or the run has no meaning.
        StoreUnavailable: What the agents have stored before cannot be read.
    """

    @tried_with("pettingzoo", "gymnasium")
    def __init__(
        self,
        env: Any,
        memory: AgentMemorySystem,
        *,
        agent_id: AgentId | None = None,
        run: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        exists: Existing | None = None,
        info: InfoChoice = False,
    ) -> None:
        if not isinstance(env, AECEnv):
            other = "; use RememberParallelEpisodes" if isinstance(env, ParallelEnv) else ""
            raise ConfigError(
                f"env: a pettingzoo.AECEnv is needed, not {type(env).__name__}{other}"
            )
        super().__init__(env)
        self.memory = environment_run(memory, run, env, parameters, exists)
        self._ends_run = is_begun_here(run, parameters, exists)
        self._agents = _Agents(self.memory, agent_id or str, info)
        self._acted: dict[Any, tuple[int, Any]] = {}
        self._seen: dict[Any, Any] = {}
        self._first: dict[str, Any] = {}

    @tried_with("pettingzoo", "gymnasium")
    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Begin an episode; the last rewards of one that goes on are stored."""
        given = plain(options)
        self._settle()
        self.env.reset(seed=seed, options=options)
        record_seed(self.memory, seed)
        _know(self._agents, (*getattr(self.env, "possible_agents", ()), *self.env.agents))
        self._agents.begin_episode()
        self._first = {"seed": seed_text(seed), "options": given}
        self._seen = {}

    def observe(self, agent: Any) -> Any:
        """What an agent sees."""
        seen = self._seen[agent] = self.env.observe(agent)
        return seen

    @tried_with("pettingzoo", "gymnasium")
    def step(self, action: Any) -> None:
        """Let the agent whose turn it is act, and remember what its action before came to."""
        agent, agents = self.env.agent_selection, self._agents
        outcome, observation = self._outcome(agent), self._observed(agent)
        if agent in self._acted:
            at, done = self._acted.pop(agent)
            agents.of(agent).record(at, done, observation, outcome)
        elif outcome.ends:
            agents.begin(agent, observation, None, **self._first)
            agents.of(agent).stop(agents.clock.step, outcome)
        else:
            earlier = scalar(outcome.reward) or None
            agents.begin(agent, observation, outcome.info, **self._first, reward_before=earlier)
        done = plain(action)
        self.env.step(action)
        self._seen = {}
        if not outcome.ends:
            self._acted[agent] = agents.clock.step, done
        agents.clock.step += 1

    def close(self) -> None:
        """Close the environment; the last rewards of an episode that goes on are stored."""
        self._settle()
        self.env.close()
        if self._ends_run:
            end_environment_run(self.memory)

    def recall(
        self,
        agent: Any,
        near: object = None,
        *,
        limit: int | None = 10,
        touch: bool = True,
        **conditions: Any,
    ) -> list[Hit]:
        """Find actions of an agent; see ``RememberParallelEpisodes.recall``."""
        return self._agents.recorder(agent).recall(near, limit, touch, **conditions)

    def _observed(self, agent: Any) -> Any:
        if agent not in self._seen:
            self._seen[agent] = self.env.observe(agent)
        return plain(self._seen[agent])

    def _outcome(self, agent: Any) -> Outcome:
        env = self.env
        return Outcome(
            env._cumulative_rewards[agent],  # noqa: SLF001  # as its own last() does
            env.terminations[agent],
            env.truncations[agent],
            env.infos[agent],
        )

    def _settle(self) -> None:
        """Store what the actions came to whose agents have not had another turn."""
        acted, self._acted = self._acted, {}
        for agent, (at, done) in acted.items():
            if agent in self.env.agents:
                observation = self._observed(agent)
                self._agents.of(agent).record(at, done, observation, self._outcome(agent))
        self._agents.stop(self._agents.running())


def _know(agents: _Agents, names: Iterable[Any]) -> None:
    """Let the clock go on after what each agent has stored, before an episode is numbered."""
    for name in names:
        agents.recorder(name)
