"""What a hook records of a class of agents, as its user says or as the class suggests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from agent_memory.errors import ConfigError
from agent_memory.values.calls import unknown_argument
from agent_memory.values.quoting import quoted

# An attribute or a method without arguments, by its name, or a callable that takes the agent.
Source = str | Callable[[Any], Any]

METHODS = ("act", "step")
"""Which methods are hooked unless one is named: the first that the class has."""


@dataclass(frozen=True, slots=True)
class HookOptions:
    """What is recorded around which method.

    Attributes:
        method: The method around which hooks record; None: the first of ``METHODS`` there is.
        state: Where the state comes from; None: ``get_state()``, or else the plain attributes of
            an agent that is hooked at another method than ``act``.
        action: Where the action comes from; None: the result of the method, or attributes.
        agent_id: Where the id comes from; None: ``agent_id``, ``unique_id`` or ``id``.
        step: Where the step comes from; None: the call, the agent or its model.
        fields: The keys of a state that are recorded; None: all.
        exclude: The keys of a state that are not recorded.
    """

    method: str | None = None
    state: Source | None = None
    action: Source | None = None
    agent_id: Source | None = None
    step: Source | None = None
    fields: frozenset[str] | None = None
    exclude: frozenset[str] = frozenset()

    @property
    def records_states(self) -> bool:
        """Whether each call records a state of its own beside the action.

        Around ``act()`` a state is recorded only when the agent's user calls ``get_state()``.
        """
        return self.method != "act" or self.state is not None


class HookKeywords(TypedDict, total=False):
    """The keywords of ``install_memory_hooks`` and ``with_memory``."""

    state: Source | None
    action: Source | None
    agent_id: Source | None
    step: Source | None
    fields: Iterable[str] | None
    exclude: Iterable[str]


def checked_options(method: str | None = None, **given: Unpack[HookKeywords]) -> HookOptions:
    """Make options of what a user has given.

    Raises:
        ConfigError: A value is neither a name nor a callable; the message names it.
    """
    if method is not None and not isinstance(method, str):
        raise ConfigError(f"method: the name of a method is needed, not {quoted(method)}")
    unknown = given.keys() - HookKeywords.__annotations__.keys()
    if unknown:
        known = ("method", *HookKeywords.__annotations__)
        raise ConfigError(f"hooks: {unknown_argument(min(unknown), known)}")
    sources = {name: given.get(name) for name in ("state", "action", "agent_id", "step")}
    for name, source in sources.items():
        if source is not None and not isinstance(source, str) and not callable(source):
            raise ConfigError(f"{name}: a name or a callable is needed, not {quoted(source)}")
    fields = given.get("fields")
    return HookOptions(
        method,
        given.get("state"),
        given.get("action"),
        given.get("agent_id"),
        given.get("step"),
        None if fields is None else _names("fields", fields),
        _names("exclude", given.get("exclude", ())),
    )


def read(agent: object, source: Source) -> Any:
    """The value that a source gives: a callable gets the agent, a method is called.

    Raises:
        AttributeError: The agent has nothing of that name.
    """
    if not isinstance(source, str):
        return source(agent)
    value = getattr(agent, source)
    return value() if callable(value) else value


def _names(what: str, names: Iterable[str]) -> frozenset[str]:
    if isinstance(names, str):
        return frozenset((names,))
    try:
        found = frozenset(names)
    except TypeError as error:
        raise ConfigError(f"{what}: names are needed, not {quoted(names)}") from error
    if not all(isinstance(name, str) for name in found):
        raise ConfigError(f"{what}: names are needed, not {quoted(names)}")
    return found
