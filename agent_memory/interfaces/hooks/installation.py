"""Puts hooks on a class, and on the classes that inherit from it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, Unpack, overload

from agent_memory.errors import ConfigError
from agent_memory.interfaces.hooks.accounts import STEP_ARGUMENTS
from agent_memory.interfaces.hooks.options import (
    METHODS,
    HookKeywords,
    HookOptions,
    checked_options,
)
from agent_memory.interfaces.hooks.recording import (
    Call,
    around_act,
    around_coroutine,
    around_generator,
    around_get_state,
)

C = TypeVar("C", bound=type[Any])

Recorder = Callable[[object, Call, object, HookOptions], Any]

_GET_STATE = "get_state"
_GIVEN_LATER = object()
_RECORDERS: tuple[Recorder, ...] = (around_act, around_coroutine, around_generator)


@overload
def install_memory_hooks(
    agent_class: C, method: str | None = None, **options: Unpack[HookKeywords]
) -> C: ...


@overload
def install_memory_hooks(
    *, method: str | None = None, **options: Unpack[HookKeywords]
) -> Callable[[C], C]: ...


def install_memory_hooks(
    agent_class: Any = _GIVEN_LATER, method: str | None = None, **options: Unpack[HookKeywords]
) -> Any:
    """Have the agents of a class remember what they do; use it as a class decorator.

    Hooks record around one method: ``act()``, or else ``step()``, as Mesa's agents have it, or the
    one that is named. Each call records one action: ``action_type``, ``action_params``,
    ``state_before``, ``state_after`` and ``reward``; of a call that raises, ``exception`` (``type``
    and ``message``) too. Around another method than ``act()`` each call also records the state
    after it. A ``get_state()`` that is called from outside the agent records a state; one that the
    agent or the hooks call during the method records nothing. Coroutines and generators are
    recorded when they end. Subclasses are hooked too, and of a method that calls its ``super()``
    only the outermost is recorded. Hooks may be installed twice, and on several methods.

    **The action** is what the method returns: text or an enum member is the action type; of a
    dict, dataclass, pydantic model or namedtuple ``action_type`` (or ``type``, ``action``),
    ``action_params`` (or ``params``) and ``reward`` are taken; the rest is kept under
    ``action_params["result"]``. If it is None, attributes of the agent are taken: ``last_action``
    (or ``action_type``), ``last_action_params``, ``reward`` (or ``last_reward``).

    **The states** are what ``get_state()`` returns before and after. An agent without one that is
    hooked at another method than ``act()`` has its own public attributes as state, in slots too,
    and ``position``: where it is in a grid, a cell or a continuous space.

    **The agent** is its ``agent_id``, else ``unique_id`` (as in Mesa), else ``id``.

    **The step** is the argument ``step_number`` or ``step`` of the call, else the agent's
    ``step_number``, ``current_step`` or ``step_count``, else ``steps`` or ``time`` of its
    ``model``, else how often it has acted before; always as it is when the call begins.

    **The memory** is the attribute ``memory_system`` of agent, class or the agent's ``model``, else
    ``AgentMemorySystem.get_instance(memory_config)`` with the attribute ``memory_config``, if
    any; opened at the first call. With ``enable_memory_hooks=False`` agents act as before.

    The memory never stops an agent, whatever ``on_store_error`` says. What cannot be stored is left
    out, another agent becomes its id, and "agent_memory.hooks" logs what was left out, once for a
    class and place in its contents.

    Args:
        agent_class: A class; without one the call gives a decorator.
        method: The method around which hooks record, of any signature.
        **options: ``state``, ``action``, ``agent_id`` and ``step`` say where these come from: each
            is the name of an attribute or of a method without arguments, or a callable that takes
            the agent (the action is read after the call). ``fields`` are the keys of a state that
            are recorded, all by default, and ``exclude`` those that are not.

    Returns:
        The same class.

    Raises:
        ConfigError: The class has no such method, or an asynchronous generator in its place.
            Raised by the first call: the agent has no id, or names no memory.

    Examples:
        >>> from agent_memory import Query, install_memory_hooks
        >>> @install_memory_hooks
        ... class Ant:
        ...     def __init__(self, memory_system):
        ...         self.agent_id, self.memory_system = "hooked", memory_system
        ...
        ...     def act(self, step_number):
        ...         return {"action_type": "dig"}
        >>> _ = Ant(memory).act(step_number=1)
        >>> memory.recall(Query(agent_id="hooked"))[0].entry.contents["action_type"]
        'dig'
    """
    checked = checked_options(method, **options)
    if agent_class is _GIVEN_LATER:
        return functools.partial(_installed, options=checked)
    return _installed(agent_class, checked)


def _installed(agent_class: C, options: HookOptions) -> C:
    if not issubclass(type(agent_class), type):
        raise ConfigError(
            f"install_memory_hooks: a class is needed, not {type(agent_class).__name__}; "
            "with_memory(agent) hooks a single agent"
        )
    _hook_later_subclasses(agent_class, hook_class(agent_class, options))
    return agent_class


def hook_class(agent_class: type, options: HookOptions) -> HookOptions:
    """Put hooks on the methods that a class has or inherits, where there are none yet.

    Returns:
        The options with the method that was hooked.

    Raises:
        ConfigError: It has no method that can be hooked; nothing was changed.
    """
    options = replace(options, method=method_of(agent_class, options))
    name = options.method or ""
    method = _method(agent_class, name, _RECORDERS)
    get_state = (
        None if name == _GET_STATE else _method(agent_class, _GET_STATE, (around_get_state,))
    )
    for place, found in ((name, method), (_GET_STATE, get_state)):
        if found is not None and not is_hook(found[0]):
            setattr(agent_class, place, _hooked(agent_class, place, *found, options))
    return options


def method_of(agent_class: type, options: HookOptions) -> str:
    """The name of the method to hook: the one that is asked for, or the first there is.

    Raises:
        ConfigError: There is none.
    """
    names = METHODS if options.method is None else (options.method,)
    for name in names:
        if _found(agent_class, name) is not None:
            return name
    listed = " nor ".join(f"{name}()" for name in names)
    raise ConfigError(
        f"{agent_class.__qualname__} has no method {listed}, around which hooks record; name one "
        'that it has: install_memory_hooks(agent_class, method="...")'
    )


def is_hooked(agent_class: type, options: HookOptions) -> bool:
    """Whether the agents of a class remember what they do in a method already."""
    return is_hook(_found(agent_class, method_of(agent_class, options)))


def is_hook(method: object) -> bool:
    """Whether a function is a hook; a wrapper that copied a hook's attributes is none."""
    return getattr(method, "memory_hook", None) is method and method is not None


def _found(agent_class: type, name: str) -> Any:
    return next((vars(base)[name] for base in agent_class.__mro__ if name in vars(base)), None)


def _method(
    agent_class: type, name: str, recorders: Sequence[Recorder]
) -> tuple[Any, Recorder] | None:
    """A method, and what records it; None if the class has none of that name."""
    method = _found(agent_class, name)
    if method is None:
        return None
    place = f"{agent_class.__qualname__}.{name}"
    # Descriptors such as partialmethod are methods too, though nothing that can be called.
    if isinstance(method, (staticmethod, classmethod, property)) or not hasattr(method, "__get__"):
        raise ConfigError(f"{place}: a method is needed, not {type(method).__name__}")
    for is_kind, kind, recorder in (
        (inspect.isasyncgenfunction, "an asynchronous generator", None),
        (inspect.iscoroutinefunction, "async", around_coroutine),
        (inspect.isgeneratorfunction, "a generator", around_generator),
    ):
        if is_kind(method):
            if recorder not in recorders:
                raise ConfigError(f"{place} is {kind}: hooks cannot tell when it is done")
            return method, recorder  # type: ignore[return-value]  # it is one of the recorders
    return method, recorders[0]


def _hooked(
    agent_class: type, name: str, method: Any, recorder: Recorder, options: HookOptions
) -> Callable[..., Any]:
    inherited = name not in vars(agent_class)
    parameters = _parameters(method)
    places = {one.name: place for place, one in enumerate(parameters) if _may_be_a_step(one)}

    def recording(self: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        bound = _inherited(hook, name, self) if inherited else None
        bound = bound or method.__get__(self, type(self))
        step = _given_step(places, args, kwargs)
        return recorder(self, functools.partial(bound, *args, **kwargs), step, options)

    hook: Callable[..., Any] = _shaped(method, recorder, recording)
    vars(hook).update(memory_hook=hook, needs_arguments=any(map(_is_needed, parameters)))
    return hook


def _shaped(method: Any, recorder: Recorder, recording: Callable[..., Any]) -> Any:
    """The hook as what the method is: a function, a coroutine function or a generator function.

    Schedulers and test tools look at that before they call it.
    """
    if recorder is around_coroutine:

        @functools.wraps(method)
        async def hook(self: object, /, *args: Any, **kwargs: Any) -> Any:
            return await recording(self, args, kwargs)

    elif recorder is around_generator:

        @functools.wraps(method)
        def hook(self: object, /, *args: Any, **kwargs: Any) -> Any:
            return (yield from recording(self, args, kwargs))

    else:

        @functools.wraps(method)
        def hook(self: object, /, *args: Any, **kwargs: Any) -> Any:
            return recording(self, args, kwargs)

    return hook


def _inherited(hook: object, name: str, agent: object) -> Any:
    """The method after a hook, which depends on the agent's class, not on the hook's alone."""
    owner = _owner(hook, name, type(agent))
    return None if owner is None else getattr(super(owner, agent), name)


def _owner(hook: object, name: str, agent_class: type) -> Any:
    # Not the class it was made for: @dataclass(slots=True) puts a copy in that one's place.
    # None once somebody put another method in the hook's place, which calls the hook.
    return next((base for base in agent_class.__mro__ if vars(base).get(name) is hook), None)


def _hook_later_subclasses(agent_class: type, options: HookOptions) -> None:
    name = "__init_subclass__"
    there: Any = getattr(agent_class.__init_subclass__, "__func__", None)
    if is_hook(there):
        # A second method is hooked, or the same once more.
        if options.method not in {one.method for one in there.memory_options}:
            there.memory_options.append(options)
        return
    own = vars(agent_class).get(name)

    def hook(subclass: Any, /, **arguments: Any) -> None:
        if own is None:
            above: Any = super(_owner(method, name, subclass), subclass)
            above.__init_subclass__(**arguments)
        else:
            own.__get__(None, subclass)(**arguments)
        for one in vars(hook)["memory_options"]:
            hook_class(subclass, one)

    vars(hook).update(memory_hook=hook, memory_options=[options])
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
