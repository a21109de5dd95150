"""What agents of public simulators see, step by step: the contents that compression is measured on.

Gymnasium and MuJoCo are not among the project's extras: without them their traces are left out.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

STEPS = 20_000


class Trace(NamedTuple):
    """The contents of entries in the order of time, and the step of each."""

    name: str
    contents: list[dict[str, Any]]
    steps: list[int]


def traces(steps: int = STEPS) -> Iterator[Trace]:
    """All that can be made here.

    Args:
        steps: How many entries each has, about.
    """
    yield from gymnasium_traces(steps)
    yield sugarscape(steps)
    yield boids(steps)


def gymnasium_traces(steps: int = STEPS) -> Iterator[Trace]:
    """Those of Gymnasium; none where it or MuJoCo is missing."""
    if importlib.util.find_spec("gymnasium") and importlib.util.find_spec("mujoco"):
        yield _gymnasium("HalfCheetah-v5", steps)
        yield _gymnasium("Ant-v5", steps)


def _gymnasium(name: str, steps: int) -> Trace:
    """Observation, reward and end, under smooth random actions."""
    import gymnasium  # noqa: PLC0415  # may be missing

    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        world: Any = gymnasium.make(name)
        world.reset(seed=0)
        push = np.zeros(world.action_space.shape)
        contents = []
        for _ in range(steps):
            push = 0.9 * push + 0.35 * rng.standard_normal(push.shape)
            action = np.clip(push, world.action_space.low, world.action_space.high)
            seen, reward, ended, cut, _ = world.step(action.astype(np.float32))
            done = bool(ended or cut)
            contents.append({"observation": seen.tolist(), "reward": float(reward), "done": done})
            if done:
                world.reset()
        world.close()
    return Trace(name, contents, list(range(steps)))


def sugarscape(steps: int) -> Trace:
    """Mesa's traders, who gather and trade."""
    from mesa.examples import SugarscapeG1mt  # noqa: PLC0415  # half a second

    contents: list[dict[str, Any]] = []
    stored_at: list[int] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = SugarscapeG1mt(initial_population=200, seed=1)
        for step in range(10_000):
            if len(contents) >= steps or not len(model.agents):
                break
            model.step()
            for trader in model.agents:
                if trader.cell is not None:
                    contents.append(_trader(trader))
                    stored_at.append(step)
    return Trace("Sugarscape traders", contents, stored_at)


def _trader(trader: Any) -> dict[str, Any]:
    return {
        "position": list(trader.cell.coordinate),
        "sugar": trader.sugar,
        "spice": trader.spice,
        "metabolism_sugar": trader.metabolism_sugar,
        "metabolism_spice": trader.metabolism_spice,
        "vision": trader.vision,
        "trades": len(trader.prices),
    }


def boids(steps: int) -> Trace:
    """Mesa's birds, who fly in flocks."""
    from mesa.examples import BoidFlockers  # noqa: PLC0415  # half a second

    contents: list[dict[str, Any]] = []
    stored_at: list[int] = []
    model: Any = BoidFlockers(population_size=100, seed=1)
    for step in range(steps // 100):
        model.step()
        for boid in model.agents:
            contents.append(
                {
                    "position": [float(one) for one in boid.position],
                    "direction": [float(one) for one in boid.direction],
                    "speed": boid.speed,
                }
            )
            stored_at.append(step)
    return Trace("BoidFlockers", contents, stored_at)
