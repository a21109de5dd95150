"""A Minari dataset of the episodes that agents remember.

Needs the extra ``minari``. See ``docs/gymnasium.md``.
"""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agent_memory.errors import ConfigError, InvalidEntry
from agent_memory.integrations.extras import explained, require
from agent_memory.integrations.runs import run_of
from agent_memory.system.memory_system import AgentMemorySystem
from agent_memory.values.calls import explains_call
from agent_memory.values.entry import MemoryEntry
from agent_memory.values.query import Order, Query
from agent_memory.values.tried import tried_with

try:
    import gymnasium as gym
    import minari
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_dataset import parse_dataset_id
    from minari.storage.datasets_root_dir import get_dataset_path
except ImportError as error:
    raise explained(error, "minari", "minari") from error

# The first that can store images as they are; those before it turn them into JPEGs.
require("minari", (0, 5, 4), "minari")

_logger = logging.getLogger("agent_memory.integrations")

_AT_ONCE = 5_000
"""How many steps are read at once."""


@explains_call
@tried_with("minari", "gymnasium")
def to_minari(
    memory: AgentMemorySystem,
    dataset_id: str,
    *,
    agent_id: str | int | Iterable[str | int],
    run: str | None = None,
    env: Any = None,
    observation_space: Any = None,
    action_space: Any = None,
    skip_incomplete: bool = False,
    **settings: Any,
) -> Any:
    """Make a Minari dataset of the episodes of one or several agents.

    Episodes come in the order in which they ended, those of one agent after the other's. One
    that was broken off is truncated at its last step. Images are stored as they are.

    Args:
        memory: The memory.
        dataset_id: The dataset, as Minari names it: ``"cartpole/mine-v0"``.
        agent_id: Whose episodes; one id or several.
        run: The run of the memory; None: the one that the memory is bound to.
        env: What the environment can be made of again: an id, a spec or an environment.
        observation_space: The space of observations; None: that of ``env``.
        action_space: The space of actions; None: that of ``env``.
        skip_incomplete: Leave out episodes of which steps were forgotten, in place of refusing.
        settings: Further arguments of ``minari.create_dataset_from_buffers``, such as ``author``.

    Returns:
        The ``MinariDataset``, which ``minari.load_dataset(dataset_id)`` loads from then on.

    Raises:
        ConfigError: The dataset is there already, a space is missing or one that Minari cannot
            store, or there is no episode.
        InvalidEntry: Steps of an episode are missing, or do not fit the spaces.
        StoreUnavailable: A tier does not answer.
    """
    bound = run_of(memory, run)
    ids = [agent_id] if isinstance(agent_id, str | int) else list(agent_id)
    spaces = _Spaces.of(env, observation_space, action_space)
    arguments = {"env": env, "jpeg_encoding": False, **settings} | spaces.as_settings()
    buffers = _buffers(bound, ids, spaces, skip_incomplete)
    with _new_dataset(dataset_id), _without_advice():
        # The first is read before anything is written: there may be none.
        first = next(buffers, None)
        if first is None:
            raise ConfigError(f"no episode of {', '.join(map(repr, ids))} is stored in the run")
        try:
            return minari.create_dataset_from_buffers(
                dataset_id, _chain(first, buffers), **arguments
            )
        except ImportError as missing:  # Minari imports what a format needs when it writes it
            raise explained(missing, "minari", "minari") from missing


@dataclass(frozen=True)
class _Spaces:
    observation: Any
    action: Any

    @classmethod
    def of(cls, env: Any, observation_space: Any, action_space: Any) -> _Spaces:
        """The spaces that are given, or else those of the environment."""
        if env is not None and (observation_space is None or action_space is None):
            made = env if isinstance(env, gym.Env) else gym.make(env)
            observation_space = observation_space or made.observation_space
            action_space = action_space or made.action_space
            if made is not env:
                made.close()
        spaces = cls(observation_space, action_space)
        for name, space in spaces.as_settings().items():
            _check_space(name, space)
        return spaces

    def as_settings(self) -> dict[str, Any]:
        """The spaces as Minari's arguments."""
        return {"observation_space": self.observation, "action_space": self.action}


def _check_space(name: str, space: Any) -> None:
    """See that Minari can store a space: it would notice with half a dataset on the disk."""
    kept = (
        *(gym.spaces.Box, gym.spaces.Discrete, gym.spaces.MultiDiscrete),
        *(gym.spaces.MultiBinary, gym.spaces.Text),
    )
    if isinstance(space, gym.spaces.Dict):
        for key, part in space.spaces.items():
            _check_space(f"{name}[{key!r}]", part)
    elif isinstance(space, gym.spaces.Tuple):
        for place, part in enumerate(space.spaces):
            _check_space(f"{name}[{place}]", part)
    elif space is None:
        raise ConfigError(f"{name}: it is needed, or an env that has one")
    elif not isinstance(space, kept):
        raise ConfigError(
            f"{name}: Minari cannot store a space of {type(space).__name__}, but only Box, "
            "Discrete, MultiDiscrete, MultiBinary, Text, and Dict and Tuple of these"
        )


@dataclass
class _Recorded:
    """An episode as far as it was read."""

    agent_id: str
    number: int
    steps: list[MemoryEntry] = field(default_factory=list)
    last: Any = None
    is_over: bool = False

    def add(self, entry: MemoryEntry) -> None:
        """Take the next entry."""
        contents = entry.contents
        if "action" not in contents:
            self.last, self.is_over = contents["observation"], True
            return
        self.steps.append(entry)
        if "final_observation" in contents:
            self.last, self.is_over = contents["final_observation"], True

    def gap(self) -> str | None:
        """What is missing of it, in words."""
        places = [entry.contents["episode_step"] for entry in self.steps]
        missing = sorted(set(range(max(places, default=-1) + 1)).difference(places))
        if not missing:
            return None
        return f"step {missing[0]}" + (f" and {len(missing) - 1} more" if missing[1:] else "")


def _buffers(
    memory: AgentMemorySystem, ids: Sequence[str | int], spaces: _Spaces, skip_incomplete: bool
) -> Iterator[EpisodeBuffer]:
    for agent_id in ids:
        for episode in _episodes(memory, agent_id):
            gap = episode.gap()
            if gap is None:
                buffer = _buffer(episode, spaces)
                if buffer is not None:
                    yield buffer
            elif not skip_incomplete:
                raise InvalidEntry(
                    f"episode {episode.number} of agent {episode.agent_id!r}: {gap} is not stored "
                    "any more; skip_incomplete=True leaves such episodes out"
                )


def _episodes(memory: AgentMemorySystem, agent_id: str | int) -> Iterator[_Recorded]:
    """The episodes of an agent, in the order in which they end."""
    going: dict[int, _Recorded] = {}
    for entry in _entries(memory, agent_id):
        number = entry.contents.get("episode")
        if not isinstance(number, int) or "observation" not in entry.contents:
            continue  # something else that the agent remembers
        episode = going.setdefault(number, _Recorded(entry.agent_id, number))
        episode.add(entry)
        if episode.is_over:
            yield going.pop(number)
    yield from going.values()


def _entries(memory: AgentMemorySystem, agent_id: str | int) -> Iterator[MemoryEntry]:
    """All entries of an agent by step, read some steps at once."""
    newest = Query(agent_id=agent_id, order=Order.NEWEST, limit=1)
    last = max((hit.entry.step_number for hit in memory.recall(newest, touch=False)), default=-1)
    for begin in range(0, last + 1, _AT_ONCE):
        steps = (begin, begin + _AT_ONCE - 1)
        query = Query(agent_id=newest.agent_id, steps=steps, order=Order.STEP)
        yield from (hit.entry for hit in memory.recall(query, touch=False))


def _buffer(episode: _Recorded, spaces: _Spaces) -> EpisodeBuffer | None:
    """An episode as Minari takes it; None if nothing was done in it."""
    said = [entry.contents for entry in episode.steps]
    observations = [contents["observation"] for contents in said]
    if episode.last is None:
        # Nobody lived to store what came of the last action.
        said = said[:-1]
    else:
        observations.append(episode.last)
    if not said:
        return None
    cut = not (said[-1]["terminated"] or said[-1]["truncated"])
    try:
        return EpisodeBuffer(
            # As text, because the seeds that are drawn are too large for a number in HDF5; Minari
            # reads a number of it.
            seed=said[0].get("seed"),
            options=said[0].get("options"),
            observations=_column(spaces.observation, observations),
            actions=_column(spaces.action, [contents["action"] for contents in said]),
            rewards=[contents["reward"] for contents in said],
            terminations=[contents["terminated"] for contents in said],
            truncations=[*(one["truncated"] for one in said[:-1]), said[-1]["truncated"] or cut],
            infos=_infos(said),
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InvalidEntry(
            f"episode {episode.number} of agent {episode.agent_id!r} does not fit the spaces: "
            f"{type(error).__name__}: {error}"
        ) from error


def _column(space: Any, values: Sequence[Any]) -> Any:
    """Values of a space one after the other, as Minari stores them."""
    if isinstance(space, gym.spaces.Dict):
        return {key: _column(part, [one[key] for one in values]) for key, part in space.items()}
    if isinstance(space, gym.spaces.Tuple):
        parts = enumerate(space.spaces)
        return tuple(_column(part, [one[place] for one in values]) for place, part in parts)
    if isinstance(space, gym.spaces.Text):
        return list(values)
    return np.array(values, dtype=space.dtype).reshape(len(values), *space.shape)


def _infos(said: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What every step and the reset say; Minari takes nothing that is missing anywhere."""
    rows = [said[0].get("reset_info", {}), *(one.get("info", {}) for one in said)]
    kept = {}
    for key in rows[0]:
        if all(key in row for row in rows):
            column = np.array([row[key] for row in rows], dtype=None)
            if column.dtype.kind in "biuf":
                kept[key] = column
    return kept or None


def _chain(first: EpisodeBuffer, others: Iterator[EpisodeBuffer]) -> Iterator[EpisodeBuffer]:
    yield first
    yield from others


@contextmanager
def _new_dataset(dataset_id: str) -> Iterator[None]:
    """Refuse a dataset that is there, and leave nothing of one that cannot be finished."""
    try:
        parse_dataset_id(dataset_id)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"dataset_id: {error}") from error
    path = get_dataset_path(dataset_id)
    if path.exists():
        raise ConfigError(f"the Minari dataset {dataset_id!r} is there already, in {path}")
    try:
        yield
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keep Minari from recommending an author and the like; ``settings`` may say all of them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`\w+` is set to None", UserWarning)
        warnings.filterwarnings("ignore", "env_spec is None", UserWarning)
        yield
