"""The state of an agent that has no ``get_state()``: its own plain attributes and its position.

Simulation frameworks keep much beside: the model, random generators, spaces, other agents. None of
these is a value, so they are left out, or become an id.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import lru_cache
from typing import Any, cast

import numpy as np

from agent_memory.errors import InvalidEntry
from agent_memory.values.contents import as_contents, pack
from agent_memory.values.interruptions import raise_if_interrupted

# Of a framework or of the hooks, and no state of the agent.
_PLUMBING = frozenset(
    (
        *("model", "space", "cell", "pos", "position", "random", "rng", "np_random"),
        *("memory_system", "memory_config", "unique_id", "agent_id", "subscribers"),
    )
)
_IDS = ("agent_id", "unique_id")

Skip = Callable[[str, str], None]

# Of what holds itself there is no end.
_DEEPEST = 16  # levels


def attributes_of(agent: object) -> dict[str, Any]:
    """The public attributes that an agent has itself, in slots too, and ``position``.

    Args:
        agent: The agent. Of a Mesa agent observables count as attributes, and its position is
            where it is in a cell, a grid or a continuous space.
    """
    found = dict(_own(agent))
    position = position_of(agent)
    return found if position is None else found | {"position": position}


def position_of(agent: object) -> Any:
    """Where an agent is, as a value of its own; None if it is nowhere.

    A continuous space hands out a view of its one array, which goes on moving: so it is copied.
    """
    for name in ("position", "pos"):
        position = _quietly(agent, name)
        if position is not None and not callable(position):
            return position.copy() if isinstance(position, np.ndarray) else position
    return getattr(_quietly(agent, "cell"), "coordinate", None)


def storable(value: Any, path: str, skip: Skip) -> Any:
    """A value without what cannot be stored in it; other agents become their ids.

    Args:
        value: The value; it is left as it is.
        path: Where it stands in contents, for messages.
        skip: Is called with the path of each value that is left out, and why.

    Returns:
        The value itself if all of it can be stored, else a copy; None if nothing of it can be.
    """
    try:
        pack({"value": value})
    except InvalidEntry:
        return next(_kept(path, value, skip, 0), None)
    return value


def _kept(path: str, value: Any, skip: Skip, depth: int) -> Iterator[Any]:
    """The value as far as it can be stored, or nothing."""

    def kept(place: str, member: Any) -> Iterator[Any]:
        return _kept(f"{path}{place}", member, skip, depth + 1)

    if depth < _DEEPEST and isinstance(value, Mapping):
        yield {key: one for key, member in value.items() for one in kept(f".{key}", member)}
    elif depth < _DEEPEST and type(value) in (list, tuple, set, frozenset):
        place = "[{}]" if isinstance(value, list | tuple) else "{{}}"
        members = enumerate(value)
        yield type(value)(
            one for number, member in members for one in kept(place.format(number), member)
        )
    else:
        yield from _kept_alone(path, value, skip, depth)


def _kept_alone(path: str, value: Any, skip: Skip, depth: int) -> Iterator[Any]:
    try:
        pack({"value": value})
    except InvalidEntry as error:
        agent_id, fields = _id_of(value), _fields(value)
        if agent_id is not None:
            yield agent_id
        elif fields is None or depth >= _DEEPEST:
            skip(path, str(error).partition(": ")[2])
        else:
            yield from _kept(path, fields, skip, depth + 1)
    else:
        yield value


def _fields(value: object) -> Mapping[str, Any] | None:
    """The fields of a dataclass or model, of which one cannot be stored."""
    try:
        return None if isinstance(value, Mapping) else as_contents(value)
    except InvalidEntry:
        return None


def _id_of(value: object) -> str | int | None:
    """The id of another agent; None if the value is none."""
    for name in _IDS:
        found = _quietly(value, name)
        if isinstance(found, str | int) and not isinstance(found, bool):
            return found
    return None


def _own(agent: object) -> Iterator[tuple[str, Any]]:
    named = dict(getattr(agent, "__dict__", {}))
    kind = _class_of(agent)
    # Agents of a class mostly have the same attributes: which of them are shown is found once.
    for name, shown in _shown(kind, tuple(named)):
        yield shown, named[name]
    for name in _slots_of(kind):
        if hasattr(agent, name):
            yield name, getattr(agent, name)


@lru_cache(maxsize=1_024)
def _shown(agent_class: Hashable, names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Which attributes of an agent are public, and what they are called."""
    shown = (
        (name, name.removeprefix("_"))
        for name in names
        if not name.startswith("_") or _is_observable(agent_class, name[1:])
    )
    return tuple(pair for pair in shown if pair[1] not in _PLUMBING)


def _class_of(agent: object) -> Hashable:
    return cast(Hashable, type(agent))


@lru_cache(maxsize=1_024)  # asked of every agent at every step
def _slots_of(agent_class: Hashable) -> tuple[str, ...]:
    """The public names that a class has slots for."""
    declared = (vars(owner).get("__slots__", ()) for owner in cast(type, agent_class).__mro__)
    names = (
        name
        for slots in declared
        for name in ((slots,) if isinstance(slots, str) else tuple(slots))
    )
    return tuple(name for name in names if not name.startswith("_") and name not in _PLUMBING)


@lru_cache(maxsize=16_384)
def _is_observable(agent_class: Hashable, name: str) -> bool:
    """Whether a class declares an attribute that Mesa keeps under another name."""
    for owner in cast(type, agent_class).__mro__:
        if name in vars(owner):
            declared = type(vars(owner)[name])
            return declared.__module__.startswith("mesa.") and "Observable" in declared.__name__
    return False


def _quietly(owner: object, name: str) -> Any:
    """An attribute, or None where looking at it fails: an agent that died has no place."""
    try:
        return getattr(owner, name, None)
    except Exception as error:  # noqa: BLE001  # foreign code; there is nothing to store then
        raise_if_interrupted(error)
        del error
        return None
