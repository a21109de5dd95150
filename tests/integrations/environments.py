"""Environments that keep an account of their own of what happened, and reuse what they give."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from agent_memory import AgentMemorySystem, Order, Query
from agent_memory.integrations.episodes import plain
from agent_memory.values.contents import pack

SPACES: dict[str, Any] = {
    "box": spaces.Box(-1, 1, (3,), np.float32),
    "image": spaces.Box(0, 255, (4, 5, 3), np.uint8),
    "number": spaces.Box(-1, 1, (), np.float64),
    "discrete": spaces.Discrete(7, start=-2),
    "multi-discrete": spaces.MultiDiscrete([3, 5]),
    "multi-binary": spaces.MultiBinary(4),
    "text": spaces.Text(6),
    "dict": spaces.Dict(
        {"at": spaces.Box(0, 9, (2,), np.int64), "deep": spaces.Dict({"on": spaces.Discrete(2)})}
    ),
    "tuple": spaces.Tuple((spaces.Discrete(3), spaces.Box(0, 1, (2,), np.float32))),
    "sequence": spaces.Sequence(spaces.Box(0, 1, (2,), np.float32)),
    "stacked sequence": spaces.Sequence(spaces.Discrete(4), stack=True),
    "graph": spaces.Graph(spaces.Box(0, 1, (2,), np.float32), spaces.Discrete(3)),
    "one of": spaces.OneOf((spaces.Discrete(3), spaces.Box(0, 1, (2,), np.float32))),
    "dict of odd ones": spaces.Dict(
        {"words": spaces.Text(4), "one": spaces.OneOf([spaces.Text(3)])}
    ),
    "tuple of odd ones": spaces.Tuple((spaces.Text(4), spaces.Sequence(spaces.Discrete(3)))),
}  # fmt: skip


class Account(gym.Env):
    """Episodes of a fixed length in any spaces. Every other one is cut off, not ended.

    ``steps`` is what happened: what was seen, done and got, and what was seen then, by episode.
    """

    def __init__(self, space: str = "box", length: int = 3, actions: str = "discrete") -> None:
        self.observation_space = copy.deepcopy(SPACES[space])
        self.action_space = copy.deepcopy(SPACES[actions])
        self.length = length
        self.episodes: list[list[dict[str, Any]]] = []
        self._now: Any = None

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.episodes.append([])
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        self._now = self.observation_space.sample()
        return self._now, {"place": self.length, "number": len(self.episodes)}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        steps = self.episodes[-1]
        step: dict[str, Any] = {"observation": copy.deepcopy(self._now)}
        # What was given out before is overwritten: whoever needs it has a copy.
        _spoil(self._now)
        self._now = self.observation_space.sample()
        ends, cut = len(steps) + 1 >= self.length, len(self.episodes) % 2 == 0
        step |= {"action": copy.deepcopy(action), "reward": float(len(steps)), "ends": (ends, cut)}
        steps.append(step | {"next": copy.deepcopy(self._now)})
        info = {"odd": "odd"} if len(steps) % 2 else {"even": np.arange(2)}
        return self._now, float(len(steps) - 1), ends and not cut, ends and cut, info


def _spoil(value: Any) -> None:
    if isinstance(value, np.ndarray):
        value[...] = 0
    elif isinstance(value, dict | tuple):
        for member in value.values() if isinstance(value, dict) else value:
            _spoil(member)


def steps_of(env: Account) -> Iterator[bytes]:
    """What happened in an environment, by its own account, in bytes that compare types too."""
    for episode in env.episodes:
        for place, step in enumerate(episode):
            ends, cut = step["ends"]
            yield _packed(
                step["observation"], step["action"], step["reward"], step["next"], place,
                (ends and not cut, ends and cut),
            )  # fmt: skip


def remembered(memory: AgentMemorySystem, agent_id: str, place: int | None = None) -> list[bytes]:
    """What an agent remembers of one environment, in the same form."""
    query = Query(agent_id=agent_id, order=Order.STEP)
    entries = [hit.entry.contents for hit in memory.recall(query, touch=False)]
    entries = [entry for entry in entries if entry.get("environment") == place]
    episodes: dict[int, list[Any]] = {}
    for entry in entries:
        episodes.setdefault(entry["episode"], []).append(entry)
    found = []
    for number in sorted(episodes):
        entries = episodes[number]
        for entry, after in zip(entries, [*entries[1:], None], strict=True):
            if "action" not in entry:
                continue
            then = entry["final_observation"] if after is None else after["observation"]
            ends = entry["terminated"], entry["truncated"]
            said = entry["observation"], entry["action"], entry["reward"], then
            found.append(_packed(*said, entry["episode_step"], ends))
    return found


def _packed(observation: Any, action: Any, reward: Any, then: Any, place: int, ends: Any) -> bytes:
    said = [plain(observation), _number(action), reward, plain(then), place, ends]
    return pack({"said": _numbers(said)})


def _number(action: Any) -> Any:
    return plain(action)


def _numbers(value: Any) -> Any:
    """NumPy's scalars as arrays: what a vector gathers makes the one of the other."""
    if isinstance(value, np.generic) or (isinstance(value, int) and not isinstance(value, bool)):
        return np.asarray(value)
    if isinstance(value, dict):
        return {key: _numbers(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_numbers(member) for member in value]
    return value
