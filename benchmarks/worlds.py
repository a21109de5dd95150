"""States of many kinds of data, of real simulators and generated: what similarity is measured on.

A simulator that is not installed here is left out: LunarLander needs ``gymnasium[box2d]``, the
highway ``highway-env``, wolves and traders ``mesa``.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import itertools
import warnings
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import numpy as np

State = dict[str, Any]
World = Callable[[int], list[State]]

_START = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
_METRES_A_DEGREE = 111_320.0


def worlds() -> dict[str, World]:
    """What makes so many states of a kind, by the name of the kind."""
    found = {name: world for package, name, world in _SIMULATORS if _is_here(package)}
    return found | _GENERATED


def _is_here(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


# -- simulators -------------------------------------------------------------------------------


def _gymnasium(name: str) -> World:
    """Observation, action and reward, under random actions."""

    def states(count: int) -> list[State]:
        import gymnasium  # noqa: PLC0415 - may be missing

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if name.startswith("highway"):
                import highway_env  # noqa: F401, PLC0415 - registers its worlds; may be missing
            world: Any = gymnasium.make(name)
            world.action_space.seed(0)
            seen, _ = world.reset(seed=0)
            found: list[State] = []
            while len(found) < count:
                action = world.action_space.sample()
                seen, reward, ended, cut, _ = world.step(action)
                found.append({"observation": seen, "action": action, "reward": float(reward)})
                if ended or cut:
                    seen, _ = world.reset()
            world.close()
        return found

    return states


def _wolves_and_sheep(count: int) -> list[State]:
    """Every other animal of Mesa's WolfSheep, step by step."""
    from mesa.examples.advanced.wolf_sheep.agents import Sheep, Wolf  # noqa: PLC0415
    from mesa.examples.advanced.wolf_sheep.model import WolfSheep  # noqa: PLC0415
    from mesa.experimental.devs import ABMSimulator  # noqa: PLC0415

    found: list[State] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = WolfSheep(seed=1, simulator=ABMSimulator())
        for step in range(count):
            model.step()
            found += [
                {
                    "kind": type(animal).__name__,
                    "cell": tuple(animal.cell.coordinate),
                    "energy": animal.energy,
                    "step": step,
                }
                for animal in model.agents
                if isinstance(animal, (Sheep, Wolf)) and animal.unique_id % 2 == 0
            ]
            if len(found) >= count:
                break
    return found[:count]


def _traders(count: int) -> list[State]:
    """The traders of Mesa's Sugarscape."""
    from agent_memory.integrations.sugarscape import Sugarscape  # noqa: PLC0415 - half a second

    run = Sugarscape(60, seed=1)
    moments = (moment for _ in itertools.count() for moment in run.step())
    return [*itertools.islice((it.state for it in moments if it.state is not None), count)]


def _walkers(count: int) -> list[State]:
    """People who walk through Cologne, in metres of UTM zone 32, one of five at a time."""
    return [
        {
            "position": (356_000.0 + east, 5_645_000.0 + north),
            "heading": heading,
            "speed": speed,
            "at": int(_START.timestamp()) + 5 * step,
            "mode": "walks" if speed > 0.9 else "strolls",
        }
        for step, (east, north, heading, speed) in enumerate(_walk(count))
    ]


def _walkers_in_degrees(count: int) -> list[State]:
    """The same people by latitude and longitude."""
    return [
        {
            "lat": 50.94 + north / _METRES_A_DEGREE,
            "lon": 6.96 + east / (_METRES_A_DEGREE * 0.63),
            "speed": speed,
        }
        for east, north, _, speed in _walk(count)
    ]


def _walk(count: int) -> Iterator[tuple[float, float, float, float]]:
    """East, north, heading and speed of walkers who turn at corners, in turn."""
    random = np.random.default_rng(5)
    places = random.uniform(0.0, 4_000.0, (5, 2))
    headings = random.integers(0, 4, 5) * (np.pi / 2)
    for at in range(count):
        one = at % len(places)
        if random.uniform() < 0.2:
            headings[one] = random.integers(0, 4) * (np.pi / 2) + random.normal(0.0, 0.1)
        speed = float(random.uniform(0.5, 1.8))
        step = 5.0 * speed * np.array([np.cos(headings[one]), np.sin(headings[one])])
        places[one] += step
        yield (*places[one].tolist(), float(headings[one]), speed)


_SIMULATORS: tuple[tuple[str, str, World], ...] = (
    ("gymnasium", "CartPole-v1", _gymnasium("CartPole-v1")),
    ("Box2D", "LunarLander-v3", _gymnasium("LunarLander-v3")),
    ("highway_env", "highway-fast-v0", _gymnasium("highway-fast-v0")),
    ("mesa", "WolfSheep (Mesa)", _wolves_and_sheep),
    ("mesa", "Sugarscape (Mesa)", _traders),
    ("numpy", "walkers in a city, metres", _walkers),
    ("numpy", "walkers in a city, degrees", _walkers_in_degrees),
)


# -- generated --------------------------------------------------------------------------------


def _random(count: int, of: Callable[[np.random.Generator, int], State]) -> list[State]:
    random = np.random.default_rng(7)
    return [of(random, step) for step in range(count)]


def _each(of: Callable[[np.random.Generator, int], State]) -> World:
    return lambda count: _random(count, of)


def _plane(x: float, y: float, spread: float) -> World:
    """Two numbers, each from somewhere on."""
    return _each(
        lambda random, _: {
            "x": x + spread * float(random.uniform()),
            "y": y + spread * float(random.uniform()),
        }
    )


def _traits(random: np.random.Generator, _: int) -> State:
    fixed = {f"trait_{place:02d}": place / 17 for place in range(18)}
    return fixed | {"cell": int(random.integers(0, 2_500)), "energy": float(random.uniform())}


def _mixed(random: np.random.Generator, step: int) -> State:
    state: State = {
        "income": round(float(random.lognormal(10.0, 0.5)), 2),
        "job": ("smith", "baker", "miller", None)[int(random.integers(4))],
        "married": bool(random.integers(2)),
        "age": int(random.integers(16, 90)),
        "since": _START + dt.timedelta(hours=step),
        "health": float(random.normal()) if random.uniform() > 0.2 else None,
        "temperature": float(random.normal(37.0, 0.5)) if random.uniform() > 0.1 else float("nan"),
    }
    if random.uniform() < 0.5:
        state["partner"] = {"id": f"agent-{int(random.integers(40))}", "trust": random.uniform()}
    return state


_GOODS = ("bread", "salt", "iron", "wool", "wine", "oil", "grain", "cloth")
_DEEDS = ("sold", "bought", "lent", "stole", "found", "lost")


def _texts(random: np.random.Generator, step: int) -> State:
    """Texts of some 200 characters, which have more or less in common."""
    deeds = [
        f"At stall {int(random.integers(20))} the trader {_DEEDS[int(random.integers(6))]} "
        f"{int(random.integers(1, 9))} sacks of {_GOODS[int(random.integers(8))]}."
        for _ in range(4)
    ]
    return {"prompt": f"It is day {step}. " + " ".join(deeds), "mood": float(random.uniform())}


def _inventory(random: np.random.Generator, _: int) -> State:
    held = {good: int(random.integers(1, 40)) for good in _GOODS if random.uniform() < 0.6}
    return {"held": held, "known": {good for good in _GOODS if random.uniform() < 0.4}}


_DIRECTIONS = np.random.default_rng(3).normal(size=(6, 128))


def _vectors(random: np.random.Generator, _: int) -> State:
    """What a model of one's own has made of what it saw: 128 numbers of six kinds of news."""
    return {"seen": random.normal(size=6) @ _DIRECTIONS, "reward": float(random.normal())}


_GENERATED: dict[str, World] = {
    "metres (446,000 and 5,763,000)": _plane(446_000.0, 5_763_000.0, 3_000.0),
    "degrees (52.5 and 13.4)": _plane(52.5, 13.4, 0.03),
    "unix seconds beside a shift": _each(
        lambda random, step: {
            "seconds": 1.7e9 + 60.0 * step + float(random.uniform()),
            "shift": int(random.integers(3)),
            "duration": float(random.exponential(600.0)),
        }
    ),
    "money (cents of 10,000)": _each(
        lambda random, _: {
            "cash": Decimal(int(random.integers(995_000, 1_005_000))) / 100,
            "debt": round(float(random.uniform(9_900.0, 10_100.0)), 2),
        }
    ),
    "head counts (of a million)": _each(
        lambda random, _: {
            "alive": 1_000_000 + int(random.integers(500)),
            "ill": 20_000 + int(random.integers(500)),
        }
    ),
    "rates (of 1e-4)": _plane(1e-4, 2e-4, 1e-5),
    "tiny (of 1e-12)": _plane(0.0, 1e-12, 1e-12),
    "large (1e15, apart by 1,000)": _plane(1e15, -1e15, 1_000.0),
    "offsets of 1e9, spreads of 1": _plane(1e9, -1e9, 1.0),
    "an index beside 18 traits": _each(_traits),
    "mixed: categories, truths, times, missing": _each(_mixed),
    "texts of 200 characters": _each(_texts),
    "an inventory: dicts and sets": _each(_inventory),
    "vectors of 128 numbers": _each(_vectors),
}
