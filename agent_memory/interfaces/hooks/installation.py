"""Puts hooks on a class, and on the classes that inherit from it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from agent_memory.errors import ConfigError
from agent_memory.interfaces.hooks.accounts import STEP_ARGUMENTS
from agent_memory.interfaces.hooks.recording import Call, around_act, around_get_state

C = TypeVar("C", bound=type[Any])

Recorder = Callable[[object, Call, object], Any]

_RECORDERS: Mapping[str, Recorder] = {"act": around_act, "get_state": around_get_state}


def install_memory_hooks(agent_class: C) -> C:
    """Have the agents of a class remember what they do; use it as a class decorator.

    ``act()`` records one action: ``action_type``, ``action_params``, ``state_before``,
    ``state_after`` and ``reward``. A ``get_state()`` that is called from outside the agent
    records a state; one that the agent makes while it acts, or the hooks make, records
    nothing. Subclasses are hooked too, and of an ``act()`` that calls ``super().act()`` only
    the outermost is recorded. An ``act()`` that raises records nothing. Hooks may be installed
    twice.

    **The action** is what ``act()`` returns: text or an enum member is the action type; of a
    dict, dataclass, pydantic model or namedtuple ``action_type`` (or ``type``, ``action``),
    ``action_params`` (or ``params``) and ``reward`` are taken; what fits nowhere is kept under
    ``action_params["result"]``. After None the agent's attributes tell: ``last_action`` (or
    ``action_type``), ``last_action_params``, ``reward`` (or ``last_reward``).

    **The states** are what ``get_state()`` returns before and after; None if there is no
    ``get_state()``, or it needs arguments. It should change nothing, random numbers included.

    **The agent** is its ``agent_id``, else ``unique_id`` (as in Mesa), else ``id``.

    **The step** is the argument ``step_number`` or ``step`` of the call, else the agent's
    ``step_number``, ``current_step`` or ``step_count``, else ``steps`` or ``time`` of its
    ``model``, else how often it has acted before; always as it is when the call begins.

    **The memory** is the attribute ``memory_system`` of agent or class, else
    ``AgentMemorySystem.get_instance(memory_config)`` with the attribute ``memory_config``, if
    any; opened at the first call. With ``enable_memory_hooks=False`` agents act as before.

    The memory never stops an agent, whatever ``on_store_error`` says: what cannot be stored is
    logged by "agent_memory.hooks", once for a class and place in its contents.

    Args:
        agent_class: A class with ``act()``, and perhaps ``get_state()``, of any signature.

    Returns:
        The same class.

    Raises:
        ConfigError: The class has no ``act()``, or one that does not end when it returns
            (a coroutine or generator). Raised by the first call: the agent has no id, or names
            no memory.
    """
    if not issubclass(type(agent_class), type):
        raise ConfigError(
            f"install_memory_hooks: a class is needed, not {type(agent_class).__name__}; "
            "with_memory(agent) hooks a single agent"
        )
    hook_class(agent_class)
    if not is_hook(getattr(agent_class.__init_subclass__, "__func__", None)):
        _hook_later_subclasses(agent_class)
    return agent_class


def hook_class(agent_class: type) -> None:
    """Put hooks on the methods that a class has or inherits, where there are none yet.

    Raises:
        ConfigError: It has no ``act()`` that can be hooked; nothing was changed.
    """
    methods = {name: _method(agent_class, name) for name in _RECORDERS}
    if methods["act"] is None:
        raise ConfigError(
            f"{agent_class.__qualname__} has no method act(), around which hooks record: give "
            "it one (a Mesa agent's step() may call it: def step(self): self.act())"
        )
    for name, method in methods.items():
        if method is not None and not is_hook(method):
            setattr(agent_class, name, _hooked(agent_class, name, method))


def is_hooked(agent_class: type) -> bool:
    """Whether the agents of a class remember what they do already."""
    return is_hook(_found(agent_class, "act"))


def is_hook(method: object) -> bool:
    """Whether a function is a hook; a wrapper that copied a hook's attributes is none."""
    return getattr(method, "memory_hook", None) is method and method is not None


def _found(agent_class: type, name: str) -> Any:
    return next((vars(base)[name] for base in agent_class.__mro__ if name in vars(base)), None)


def _method(agent_class: type, name: str) -> Any:
    method = _found(agent_class, name)
    if method is None:
        return None
    place = f"{agent_class.__qualname__}.{name}"
    # Descriptors such as partialmethod are methods too, though nothing that can be called.
    if isinstance(method, (staticmethod, classmethod, property)) or not hasattr(method, "__get__"):
        raise ConfigError(f"{place}: a method is needed, not {type(method).__name__}")
    if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
        raise ConfigError(f"{place} is async: hooks need a method that is done when it returns")
    if inspect.isgeneratorfunction(method):
        raise ConfigError(f"{place} is a generator: hooks need a method that is done at once")
    return method


def _hooked(agent_class: type, name: str, method: Any) -> Callable[..., Any]:
    recorder = _RECORDERS[name]
    inherited = name not in vars(agent_class)
    parameters = _parameters(method)
    places = {one.name: place for place, one in enumerate(parameters) if _may_be_a_step(one)}

    @functools.wraps(method)
    def hook(self: object, /, *args: Any, **kwargs: Any) -> Any:
        bound = _inherited(hook, name, self) if inherited else None
        bound = bound or method.__get__(self, type(self))
        step = _given_step(places, args, kwargs)
        return recorder(self, functools.partial(bound, *args, **kwargs), step)

    vars(hook).update(memory_hook=hook, needs_arguments=any(map(_is_needed, parameters)))
    return hook


def _inherited(hook: object, name: str, agent: object) -> Any:
    """The method after a hook, which depends on the agent's class, not on the hook's alone."""
    owner = _owner(hook, name, type(agent))
    return None if owner is None else getattr(super(owner, agent), name)


def _owner(hook: object, name: str, agent_class: type) -> Any:
    # Not the class it was made for: @dataclass(slots=True) puts a copy in that one's place.
    # None once somebody put another method in the hook's place, which calls the hook.
    return next((base for base in agent_class.__mro__ if vars(base).get(name) is hook), None)


def _hook_later_subclasses(agent_class: type) -> None:
    name = "__init_subclass__"
    own = vars(agent_class).get(name)

    def hook(subclass: Any, /, **arguments: Any) -> None:
        if own is None:
            above: Any = super(_owner(method, name, subclass), subclass)
            above.__init_subclass__(**arguments)
        else:
            own.__get__(None, subclass)(**arguments)
        hook_class(subclass)

    vars(hook).update(memory_hook=hook)
    method: Any = classmethod(hook)
    setattr(agent_class, name, method)


def _parameters(method: Any) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(method).parameters.values())[1:]
    except (TypeError, ValueError):  # written in C, or no function
        return []


def _may_be_a_step(parameter: inspect.Parameter) -> bool:
    positional = (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    return parameter.name in STEP_ARGUMENTS and parameter.kind in positional


def _is_needed(parameter: inspect.Parameter) -> bool:
    variable = (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and parameter.kind not in variable


def _given_step(
    places: Mapping[str, int], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> object:
    for name in STEP_ARGUMENTS:
        if name in kwargs:
            return kwargs[name]
        if name in places and places[name] < len(args):
            return args[places[name]]
    return None
