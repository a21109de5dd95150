"""What an agent tells of itself: its memory, its id, the step, its state and what it did."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, TypeGuard

from agent_memory.connections.outages import Outages
from agent_memory.errors import ConfigError, InvalidEntry
from agent_memory.interfaces.hooks.options import Source, read
from agent_memory.system.memory_system import AgentMemorySystem
from agent_memory.system.whole_config import whole_config
from agent_memory.values.contents import as_contents
from agent_memory.values.identity import checked_agent_id

STEP_ARGUMENTS = ("step_number", "step")
_STEP_ATTRIBUTES = ("step_number", "current_step", "step_count")
_ID_ATTRIBUTES = ("agent_id", "unique_id", "id")

# An agent that acts while nothing can be opened goes on, and the next one tries again.
_opening = Outages("log")


def memory_of(agent: object) -> AgentMemorySystem | None:
    """The memory an agent records in, opened if it is not; None if it records nothing.

    Raises:
        ConfigError: What the agent names is no memory, or cannot be opened as configured.
        SchemaOutOfDate: Long-term memory needs a migration.
    """
    system = getattr(agent, "memory_system", None)
    if system is None:
        # A model hands its memory to all of its agents.
        system = getattr(getattr(agent, "model", None), "memory_system", None)
    if system is None:
        system = _opened(getattr(agent, "memory_config", None))
    elif not isinstance(system, AgentMemorySystem):
        raise ConfigError(
            f"{_class_name(agent)}.memory_system: an AgentMemorySystem is needed, "
            f"not {type(system).__name__}"
        )
    return system if system is not None and system.config.enable_memory_hooks else None


def _opened(config: Any) -> AgentMemorySystem | None:
    if config is not None:
        config = whole_config(config)
        if not config.enable_memory_hooks:
            return None
    return _opening.guard(None, AgentMemorySystem.get_instance, config)


def agent_id_of(agent: object, source: Source | None = None) -> str:
    """The agent's id: its ``agent_id``, else ``unique_id`` (as in Mesa), else ``id``.

    Args:
        agent: The agent.
        source: Where the id comes from instead.

    Raises:
        ConfigError: It has none of these, or one that is no id.
    """
    if source is not None:
        try:
            return checked_agent_id(read(agent, source))
        except (AttributeError, InvalidEntry) as error:
            raise ConfigError(
                f"{_class_name(agent)}: agent_id={source!r} does not name the agent: {error}"
            ) from error
    for name in _ID_ATTRIBUTES:
        value = getattr(agent, name, None)
        if value is not None:
            try:
                return checked_agent_id(value)
            except InvalidEntry as error:
                raise ConfigError(
                    f"{_class_name(agent)}.{name} does not name the agent: {error}; "
                    "give it an agent_id, text or int"
                ) from error
    raise ConfigError(
        f"{_class_name(agent)}: memory hooks need to know whose memories they record; "
        "give the agent an agent_id (or unique_id, or id), text or int"
    )


def step_of(
    agent: object, given: object, acts: Callable[[], int], source: Source | None = None
) -> int:
    """The simulation step of a call.

    Args:
        agent: The agent.
        given: What the call said the step is, or None.
        acts: Counts the agent's acts; asked when nothing else gives the step.
        source: Where the step comes from instead.

    Returns:
        The first of these that is an integer: what the call said; the agent's ``step_number``,
        ``current_step`` or ``step_count``; its model's ``steps`` or whole ``time``; the count.
    """
    if source is not None:
        return int(read(agent, source))
    model = getattr(agent, "model", None)
    named = (getattr(agent, name, None) for name in _STEP_ATTRIBUTES)
    for value in (given, *named, getattr(model, "steps", None)):
        if _is_integer(value):
            return int(value)
    time = getattr(model, "time", None)
    if isinstance(time, numbers.Real) and math.isfinite(time):
        return int(float(time))
    return acts()


def state_of(state: object) -> object:
    """A state as contents: the fields of what has fields, else the value itself."""
    fields = _fields(state)
    return state if fields is None else fields


def action_of(agent: object, result: object, source: Source | None = None) -> dict[str, Any]:
    """What an agent did: the result of its method or, if that is None, its attributes.

    Args:
        agent: The agent.
        result: What the method returned.
        source: Where the action comes from instead.

    Returns:
        ``action_type``, ``action_params`` and ``reward``. What fits none of them is kept whole
        under ``action_params["result"]``.
    """
    if source is not None:
        return _action_of(read(agent, source))
    if result is not None:
        return _action_of(result)
    action = _action_of(_attribute(agent, ("last_action", "action_type")))
    params = _attribute(agent, ("last_action_params",))
    if params is not None and not action["action_params"]:
        action["action_params"] = params
    if action["reward"] is None:
        action["reward"] = _attribute(agent, ("reward", "last_reward"))
    return action


def _action_of(result: object) -> dict[str, Any]:
    if result is None or isinstance(result, (str, Enum)):
        return _action(_action_name(result), None, None)
    fields = _fields(result)
    if fields is None:
        return _action(None, {"result": result}, None)
    rest = dict(fields)
    action = _take(rest, ("action_type", "type", "action"), _is_action)
    params = _take(rest, ("action_params", "params"))
    reward = _take(rest, ("reward",))
    return _action(_action_name(action), _with_rest(params, rest, fields), reward)


def _action(action_type: object, params: object, reward: object) -> dict[str, Any]:
    params = {} if params is None else params
    return {"action_type": action_type, "action_params": params, "reward": reward}


def _action_name(action: object) -> object:
    if isinstance(action, Enum):
        # Action(1) says nothing to whoever reads the memory later; its name does.
        return action.value if isinstance(action.value, str) else action.name
    return action


def _take(
    rest: dict[str, Any], names: Iterable[str], fits: Callable[[object], bool] = lambda _: True
) -> object:
    """Take out the first named value that is there and fits; None counts as not there."""
    for name in names:
        if rest.get(name) is None:
            rest.pop(name, None)
        elif fits(rest[name]):
            return rest.pop(name)
    return None


def _with_rest(params: object, rest: dict[str, Any], fields: Mapping[str, Any]) -> object:
    if not rest:
        return params
    if params is None:
        return {"result": rest}
    if isinstance(params, Mapping) and "result" not in params:
        return {**params, "result": rest}
    return {"result": dict(fields)}


def _fields(value: object) -> Mapping[str, Any] | None:
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    try:
        return as_contents(value)
    except InvalidEntry:
        return None


def _attribute(agent: object, names: Iterable[str]) -> Any:
    values = (getattr(agent, name, None) for name in names)
    return next((value for value in values if value is not None and not callable(value)), None)


def _is_action(value: object) -> bool:
    return isinstance(value, (str, Enum)) or _is_integer(value)


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _class_name(agent: object) -> str:
    return type(agent).__qualname__
