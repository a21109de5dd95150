"""Mesa's own Sugarscape (model G1MT) with an eye on each trader: what it is and what it did.

The model is Mesa's, unchanged: traders with a metabolism wander over sugar and spice, trade with
whom they meet, and starve when either runs out (Epstein and Axtell, *Growing Artificial
Societies*, 1996, chapter IV).
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agent_memory.values.tried import tried_with

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Moment:
    """One trader in one step.

    Attributes:
        agent_id: Mesa's number of the trader.
        step: Simulation step, from 1.
        state: What the trader is after the step; None when it starved in it.
        action: What it did in the step.
        importance: How much its action matters, 0 to 1: a death more than a trade, a trade more
            than a walk.
    """

    agent_id: int
    step: int
    state: dict[str, Any] | None
    action: dict[str, Any]
    importance: float


@dataclass(frozen=True, slots=True)
class _Before:
    place: Place
    sugar: float
    spice: float
    welfare: float


class Sugarscape:
    """A run of Mesa's SugarscapeG1mt that tells, step by step, what became of each trader.

    Args:
        traders: How many there are at the start.
        seed: The same seed gives the same run.

    Raises:
        ModuleNotFoundError: Mesa, or the networkx that its examples need, is not installed.
    """

    @tried_with("mesa")
    def __init__(self, traders: int, seed: int) -> None:
        # Mesa's examples import pandas and scipy, half a second that only a simulation is worth.
        from mesa.examples.advanced.sugarscape_g1mt.model import (  # noqa: PLC0415
            SugarscapeG1mt,
        )

        # Mesa 3.5 calls the seed rng.
        seeded = "rng" if "rng" in inspect.signature(SugarscapeG1mt).parameters else "seed"
        self._model = SugarscapeG1mt(initial_population=traders, **{seeded: seed})

    @property
    def alive(self) -> int:
        """How many traders have not starved."""
        return len(self._model.agents)

    @tried_with("mesa")
    def step(self) -> list[Moment]:
        """Run one step; give the moment of each trader that was alive when it began."""
        traders = list(self._model.agents)
        before = [_before(trader) for trader in traders]
        with warnings.catch_warnings():
            # The model takes the mean of the step's prices, also when nobody traded.
            warnings.simplefilter("ignore", RuntimeWarning)
            self._model.step()
        return list(self._moments(traders, before))

    def _moments(self, traders: list[Any], before: list[_Before]) -> Iterator[Moment]:
        step = self._model.steps
        for trader, was in zip(traders, before, strict=True):
            if trader.cell is None:
                yield Moment(trader.unique_id, step, None, _starved(trader, was), 1.0)
                continue
            state = _state(trader)
            action = _action(trader, was, state)
            yield Moment(trader.unique_id, step, state, action, _importance(state))


def _before(trader: Any) -> _Before:
    welfare = trader.calculate_welfare(trader.sugar, trader.spice)
    return _Before(trader.cell.coordinate, trader.sugar, trader.spice, welfare)


def _state(trader: Any) -> dict[str, Any]:
    """What a living trader is, in the types in which the model holds it."""
    cell, prices = trader.cell, trader.prices
    return {
        "position": cell.coordinate,
        "sugar": trader.sugar,
        "spice": trader.spice,
        "metabolism_sugar": trader.metabolism_sugar,
        "metabolism_spice": trader.metabolism_spice,
        "vision": trader.vision,
        "welfare": trader.calculate_welfare(trader.sugar, trader.spice),
        "rate_of_substitution": trader.calculate_MRS(trader.sugar, trader.spice),
        "steps_until_starving": min(
            trader.sugar / trader.metabolism_sugar, trader.spice / trader.metabolism_spice
        ),
        "sugar_here": cell.sugar,
        "spice_here": cell.spice,
        "traders_in_sight": len(list(cell.get_neighborhood(radius=trader.vision).agents)),
        "prices": list(prices),
        "last_price": prices[-1] if prices else None,
        "trade_partners": tuple(trader.trade_partners),
    }


def _action(trader: Any, was: _Before, state: dict[str, Any]) -> dict[str, Any]:
    moved = state["position"] != was.place
    return {
        "action_type": "trade" if state["prices"] else "move" if moved else "stay",
        "action_params": {
            "from": was.place,
            "to": state["position"],
            # Harvest and trade together: what changed beside what was eaten.
            "sugar_gained": trader.sugar - was.sugar + trader.metabolism_sugar,
            "spice_gained": trader.spice - was.spice + trader.metabolism_spice,
            "trades": len(state["prices"]),
        },
        "reward": state["welfare"] - was.welfare,
    }


def _starved(trader: Any, was: _Before) -> dict[str, Any]:
    return {
        "event": "died",  # as Mesa's agents are remembered, so that the explorer shows it
        "action_type": "starve",
        "action_params": {
            "from": was.place,
            "lacking": [name for name in ("sugar", "spice") if getattr(trader, name) <= 0],
        },
        "reward": -was.welfare,
    }


def _importance(state: dict[str, Any]) -> float:
    return 0.75 if state["prices"] else 0.25
