"""What one environment of a vector sees, does and receives, out of what the vector gathers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agent_memory.errors import InvalidEntry


def member(space: Any, gathered: Any, place: int) -> Any:
    """The observation or action of one environment, out of those of all.

    Args:
        space: The space of one environment's.
        gathered: Those of all: arrays of them in dicts and tuples as the space has them, or,
            for a space that makes no arrays (Graph, OneOf, Sequence, Text), one after the other.
        place: Which environment.
    """
    parts = getattr(space, "spaces", None)
    if isinstance(parts, Mapping):
        return {key: member(part, gathered[key], place) for key, part in parts.items()}
    if type(space).__name__ == "Tuple" and parts is not None:
        return tuple(
            member(part, members, place) for part, members in zip(parts, gathered, strict=True)
        )
    return gathered[place]


def info_of(infos: Any, place: int) -> dict[str, Any]:
    """The ``info`` of one environment.

    A key that only some have has a mask beside it, under its name after a ``_``; the value of the
    others is a filler.

    Args:
        infos: Those of all, in one dict or as a list of dicts.
        place: Which environment.
    """
    if not isinstance(infos, Mapping):
        return dict(infos[place])
    found = {}
    for key, values in infos.items():
        if _is_mask(key, infos):
            continue
        mask = infos.get(f"_{key}")
        if mask is None or mask[place]:
            found[key] = _value_of(values, place)
    return found


def final_observation(
    info: Mapping[str, Any], place: int
) -> tuple[Any, Mapping[str, Any], Mapping[str, Any]]:
    """What an environment saw last before it was reset in the same step.

    Args:
        info: The ``info`` of the environment.
        place: Which environment, for messages.

    Returns:
        The observation, the ``info`` that came with it, and that of the reset.

    Raises:
        InvalidEntry: It is not there.
    """
    if "final_obs" not in info:
        raise InvalidEntry(
            f'infos["final_obs"]: environment {place} was reset in the step in which it ended, '
            "and its last observation is not there, as AutoresetMode.SAME_STEP promises"
        )
    rest = {key: value for key, value in info.items() if key not in ("final_obs", "final_info")}
    return info["final_obs"], info.get("final_info", {}), rest


def _is_mask(key: object, infos: Mapping[str, Any]) -> bool:
    if not isinstance(key, str) or not key.startswith("_") or key[1:] not in infos:
        return False
    mask = infos[key]
    return isinstance(mask, np.ndarray) and mask.dtype == np.bool_


def _value_of(values: Any, place: int) -> Any:
    if isinstance(values, Mapping):
        return info_of(values, place)
    try:
        return values[place]
    except (IndexError, KeyError, TypeError):
        return values  # the same for all
