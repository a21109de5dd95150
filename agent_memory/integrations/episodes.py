"""The episodes of an environment as the memories of an agent, one entry a step.

An entry says what the agent saw, what it did then and what came of it. Episodes follow each other
in the agent's steps, which count on from episode to episode and from one process to the next, so
that no two steps share a number.
"""

from __future__ import annotations

import logging
import numbers
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agent_memory.errors import ConfigError, InvalidEntry, NotAllStored
from agent_memory.integrations.runs import record_seed
from agent_memory.interfaces.hooks.states import storable
from agent_memory.system.memory_system import AgentMemorySystem
from agent_memory.values.entry import MemoryEntry
from agent_memory.values.query import Hit, Order, Query

_logger = logging.getLogger("agent_memory.integrations")

InfoChoice = bool | Iterable[str]

_INDEX = re.compile(r"\[\d+\]")
# Contents that are deeper are refused when they are stored; of what holds itself there is no end.
_DEEPEST = 100  # levels
# How many entries back the last one of an episode is looked for, if others were stored since.
_LOOKED_BACK = 1_000
# A step is stored whole, however many environments there are, unless these are many thousands.
_MOST_TOGETHER = 10_000
_LONGEST_TOGETHER = 3_600.0  # seconds
_NUMBER = re.compile(r"-?[0-9]+")


@dataclass(slots=True)
class Clock:
    """The next step of an environment, and how many episodes it has begun.

    Attributes:
        step: The number of the next step.
        episodes: The number of the next episode.
    """

    step: int = 0
    episodes: int = 0

    def begin_episode(self) -> int:
        """The number of an episode that begins."""
        self.episodes += 1
        return self.episodes - 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an action, or of nothing.

    Attributes:
        reward: The reward, as the environment gave it.
        terminated: Whether the episode came to its end.
        truncated: Whether it was cut off.
        info: What else the environment says.
    """

    reward: Any
    terminated: Any
    truncated: Any
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ends(self) -> bool:
        """Whether the episode is over."""
        return bool(self.terminated) or bool(self.truncated)

    def contents(self, chosen: InfoChoice) -> dict[str, Any]:
        """It as a part of contents."""
        found = {
            "reward": scalar(self.reward),
            "terminated": bool(self.terminated),
            "truncated": bool(self.truncated),
        }
        info = chosen_info(self.info, chosen)
        return found if info is None else found | {"info": info}


class AgentRecorder:
    """Stores what one agent sees and does, after what its memory has of it already.

    Args:
        memory: The memory, bound to a run.
        agent_id: Whose memories they are.
        clock: Counts steps and episodes; it is set to go on after what is stored.
        info: Which keys of ``info`` are stored: True for all, False for none.

    Raises:
        InvalidEntry: The agent id has no meaning.
        StoreUnavailable: What the agent has stored before cannot be read.
    """

    def __init__(
        self, memory: AgentMemorySystem, agent_id: str | int, clock: Clock, info: InfoChoice
    ) -> None:
        self._memory = memory
        self._agent = memory.get_memory_agent(agent_id)
        self._raises = memory.config.on_store_error == "raise"
        self._logged: set[str] = set()
        self._has_seed = False
        self.info = info
        self.clock = clock
        self._go_on()

    @property
    def agent_id(self) -> str:
        """Whose memories they are."""
        return self._agent.agent_id

    def store(self, contents: dict[str, Any], step: int) -> None:
        """Store the entry of a step; what cannot be stored is left out, and said so once."""
        try:
            self._agent.store_state(contents, step)
        except InvalidEntry:
            if self._raises:
                raise
            self._store_what_can_be(contents, step)

    def note_seed(self, seed: str | None) -> None:
        """Record the seed that the first episode began with, if the run is recorded."""
        if not self._has_seed:
            self._has_seed = True
            record_seed(self._memory, None if seed is None else int(seed))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Store what is recorded in the block together, by one request.

        Raises:
            StoreUnavailable: ``on_store_error`` is "raise", and the store is unreachable.
        """
        if self._memory.open_batch is not None:
            yield  # what gathers more than a step
            return
        try:
            with self._memory.batch(_MOST_TOGETHER, _LONGEST_TOGETHER):
                yield
        except NotAllStored as error:
            # As single stores would: an outage is counted and logged by now.
            if self._raises:
                raise next(iter(error.refused.values())) from error

    def recall(self, near: object, limit: int | None, touch: bool, **conditions: Any) -> list[Hit]:
        """Find steps, those with the most similar observations first."""
        query = Query(agent_id=self.agent_id, limit=limit, **conditions)
        asked = None if near is None else {"observation": plain(near)}
        return self._memory.recall(query, near=asked, touch=touch)

    def _store_what_can_be(self, contents: dict[str, Any], step: int) -> None:
        try:
            self._agent.store_state(storable(contents, "contents", self._left_out), step)
        except InvalidEntry as error:
            self._left_out(f"step {step}", str(error))

    def _left_out(self, path: str, why: str) -> None:
        place = _INDEX.sub("[]", _NUMBER.sub("n", path))
        if place not in self._logged:
            self._logged.add(place)
            _logger.error("%s: left out %s: %s (logged once)", self.agent_id, path, why)

    def _go_on(self) -> None:
        for looked_back in (1, _LOOKED_BACK, None):
            query = Query(agent_id=self.agent_id, order=Order.NEWEST, limit=looked_back)
            entries = [hit.entry for hit in self._memory.recall(query, touch=False)]
            if not entries:
                return
            step = 1 + max(entry.step_number for entry in entries)
            self.clock.step = max(self.clock.step, step)
            begun = [_begun(entry) for entry in entries]
            if any(begun):
                self.clock.episodes = max(self.clock.episodes, *begun)
                return


class Episode:
    """An episode that goes on, or the next one before it has begun.

    Args:
        recorder: Stores the steps.
        environment: Which environment of several it takes place in.
    """

    def __init__(self, recorder: AgentRecorder, environment: int | None = None) -> None:
        self._recorder = recorder
        self._environment = environment
        self._number = -1
        self._step = 0
        self._observation: Any = None
        self._first: dict[str, Any] = {}
        self.is_running = False

    def begin(self, number: int, observation: Any, **first: Any) -> None:
        """Begin an episode, or go on with the one of that number.

        Args:
            number: Its number.
            observation: What is seen; it is kept, not copied.
            first: What its first entry says besides; None and {} are left out.
        """
        if number != self._number:
            self._number, self._step = number, 0
        self._observation = observation
        self._first = {name: value for name, value in first.items() if not _is_nothing(value)}
        self.is_running = True

    def record(self, at: int, action: Any, observation: Any, outcome: Outcome) -> None:
        """Store a step: what was seen, what was done, and what came of it.

        Args:
            at: The step's number.
            action: What was done; None: it was nothing that anyone chose.
            observation: What is seen now; it is kept, not copied.
            outcome: What came of it.
        """
        contents = {"observation": self._observation, "action": action}
        contents |= outcome.contents(self._recorder.info)
        if outcome.ends:
            contents["final_observation"] = observation
        self._store(contents, at)
        self._observation = observation
        self.is_running = not outcome.ends

    def stop(self, at: int, outcome: Outcome | None = None) -> None:
        """Break the episode off, and store what was seen last if it is not a step's by itself.

        Args:
            at: The step's number.
            outcome: What came of doing nothing.
        """
        if self.is_running and (self._step or outcome is not None):
            contents = {"observation": self._observation}
            if outcome is not None:
                contents |= outcome.contents(self._recorder.info)
            self._store(contents, at)
        self.is_running = False

    def _store(self, contents: dict[str, Any], at: int) -> None:
        contents |= {"episode": self._number, "episode_step": self._step}
        if self._environment is not None:
            # The number of the latest episode is not in the latest entry where several go on.
            begun = {"environment": self._environment, "episodes": self._recorder.clock.episodes}
            contents |= begun
        if self._first:
            contents |= self._first
            self._first = {}
        self._recorder.store(contents, at)
        self._step += 1


def checked_info(info: object) -> InfoChoice:
    """Give back which keys of ``info`` are stored.

    Raises:
        ConfigError: It is neither a truth nor names.
    """
    if isinstance(info, bool):
        return info
    names = tuple(info) if isinstance(info, Iterable) and not isinstance(info, str) else None
    if names is None or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"info: True, False or a list of keys is needed, not {info!r}")
    return names


def chosen_info(info: Mapping[str, Any], chosen: InfoChoice) -> dict[str, Any] | None:
    """The keys of an ``info`` that are stored; None if none are to be."""
    if chosen is False:
        return None
    names = info if chosen is True else chosen
    return {name: plain(info[name]) for name in names if name in info}


def plain(value: Any, depth: int = 0) -> Any:
    """A copy of an observation, action or info that the environment cannot change.

    Named tuples, such as those of graphs, become dicts, and what can be made an array (the tensors
    of PyTorch and JAX) becomes one. What cannot be stored is left as it is.
    """
    if type(value) is np.ndarray:
        return value.copy()
    if value is None or isinstance(value, (bool, int, float, str, bytes, np.generic)):
        return value
    if depth >= _DEEPEST:
        return value
    if isinstance(value, Mapping):
        return {key: plain(member, depth + 1) for key, member in value.items()}
    if isinstance(value, tuple):
        members = [plain(member, depth + 1) for member in value]
        fields = getattr(value, "_fields", None)
        return tuple(members) if fields is None else dict(zip(fields, members, strict=True))
    if isinstance(value, list):
        return [plain(member, depth + 1) for member in value]
    return _as_array(value)


def scalar(value: Any) -> Any:
    """A reward as a float, whatever type of number it is; several rewards as they are."""
    if isinstance(value, numbers.Real):
        return float(value)
    value = plain(value)
    if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "biuf":
        return float(value)
    return value


def seed_text(seed: object) -> str | None:
    """A seed as text: one that is drawn has 128 bits, more than most files take as a number."""
    if isinstance(seed, numbers.Integral) and int(seed) >= 0:
        return str(int(seed))
    return None  # none was given, or -1, which says that it is not known


def _is_nothing(value: object) -> bool:
    return value is None or (isinstance(value, Mapping) and not value)


def _as_array(value: Any) -> Any:
    if isinstance(value, np.ndarray) or not hasattr(value, "__array__"):
        return value
    try:
        return np.array(value)
    except (TypeError, ValueError, RuntimeError):
        return value  # a tensor on a GPU, or one that gradients go through


def _begun(entry: MemoryEntry) -> int:
    """How many episodes an agent had begun by an entry; 0 if it does not say."""
    begun, episode = entry.contents.get("episodes"), entry.contents.get("episode")
    if isinstance(begun, int):
        return begun
    return episode + 1 if isinstance(episode, int) else 0
