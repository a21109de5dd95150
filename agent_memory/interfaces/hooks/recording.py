"""What is recorded around one call, and that the agent notices nothing of it."""

from __future__ import annotations

import logging
import re
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from agent_memory.errors import MemoryStoreError, StoreUnavailable
from agent_memory.interfaces.hooks.accounts import (
    action_of,
    agent_id_of,
    memory_of,
    state_of,
    step_of,
)
from agent_memory.system.memory_agent import MemoryAgent
from agent_memory.values.contents import pack, unpack
from agent_memory.values.forking import after_fork

_logger = logging.getLogger("agent_memory.hooks")

Call = Callable[[], Any]
P = ParamSpec("P")
R = TypeVar("R")

# Whose calls are under way in this thread. What an agent calls on itself meanwhile belongs to
# the call that is recorded already, and what the hooks call belongs to nobody.
_inside: ContextVar[frozenset[int]] = ContextVar("_inside", default=frozenset())
_EVERYONE = 0  # no object has the id 0


def around_act(agent: object, act: Call, given_step: object) -> Any:
    """Let an agent act, once, and record the action.

    Args:
        agent: The agent.
        act: Lets it act.
        given_step: What the call says the step is, or None.

    Returns:
        What ``act`` returns.

    Raises:
        ConfigError: The agent has no id, or names no memory; it has not acted.
        SchemaOutOfDate: Long-term memory needs a migration; it has not acted.
    """
    if _is_inside(agent):
        return act()
    memory = _memory_agent(agent)
    begun = None if memory is None else _unnoticed(agent, _begin_act, agent, memory, given_step)
    with _within(id(agent)):
        result = act()
    if begun is not None:
        _unnoticed(agent, _record_act, agent, begun, result)
    return result


def around_get_state(agent: object, get_state: Call, given_step: object) -> Any:
    """Get an agent's state and record it; see ``around_act``."""
    if _is_inside(agent):
        return get_state()
    memory = _memory_agent(agent)
    with _within(id(agent)):
        state = get_state()
    if memory is not None:
        _unnoticed(agent, _record_state, agent, memory, given_step, state)
    return state


@dataclass(frozen=True, slots=True)
class _BegunAct:
    memory: MemoryAgent
    step: int
    state: object


def _memory_agent(agent: object) -> MemoryAgent | None:
    with _within(_EVERYONE):
        system = memory_of(agent)
        return None if system is None else system.get_memory_agent(agent_id_of(agent))


def _begin_act(agent: object, memory: MemoryAgent, given_step: object) -> _BegunAct:
    step = step_of(agent, given_step, lambda: _acts.begin(memory))
    # A snapshot: many a get_state() hands out the very lists that act() goes on to change.
    state = unpack(pack({"state_before": _state(agent)}))["state_before"]
    return _BegunAct(memory, step, state)


def _record_act(agent: object, begun: _BegunAct, result: object) -> None:
    states = {"state_before": begun.state, "state_after": _state(agent)}
    begun.memory.store_action(action_of(agent, result) | states, begun.step)


def _record_state(agent: object, memory: MemoryAgent, given_step: object, state: object) -> None:
    step = step_of(agent, given_step, lambda: _acts.begun(memory))
    told = state_of(state)
    memory.store_state(told if isinstance(told, Mapping) else {"state": told}, step)


def _state(agent: object) -> object:
    """The agent's state, or None if it has none to tell."""
    get_state = getattr(agent, "get_state", None)
    if not callable(get_state) or getattr(get_state, "needs_arguments", False):
        return None
    try:
        return state_of(get_state())
    except Exception as error:  # noqa: BLE001  # an agent that just died may have none; logged
        _report(agent, type(error).__name__, "get_state() failed, its state is kept as None", error)
        return None


def _is_inside(agent: object) -> bool:
    inside = _inside.get()
    return id(agent) in inside or _EVERYONE in inside


@contextmanager
def _within(who: int) -> Iterator[None]:
    token = _inside.set(_inside.get() | {who})
    try:
        yield
    finally:
        _inside.reset(token)


def _unnoticed(
    agent: object, record: Callable[P, R], *args: P.args, **kwargs: P.kwargs
) -> R | None:
    """Keep from the agent what goes wrong in recording: it is logged, and the answer is None."""
    try:
        with _within(_EVERYONE):
            return record(*args, **kwargs)
    except StoreUnavailable:
        pass  # the memory itself has logged the outage and counted the call
    except MemoryStoreError as error:
        # "contents.a[3]: why": each place is told once, not each of its values.
        place = re.sub(r"\[\d+\]", "[]", str(error).partition(": ")[0])
        _report(agent, place, f"not recorded: {error}")
    except Exception as error:  # noqa: BLE001  # whatever the memory does; logged with traceback
        _report(agent, type(error).__name__, "not recorded", error)
    return None


def _report(agent: object, place: str, message: str, error: Exception | None = None) -> None:
    if _reports.is_first(type(agent), place):
        name = type(agent).__qualname__
        _logger.error("%s: %s (told once)", name, message, exc_info=error)


class _Reports:
    """Remembers what was logged of a class."""

    def __init__(self) -> None:
        self._told: weakref.WeakKeyDictionary[type, set[str]] = weakref.WeakKeyDictionary()

    def is_first(self, agent_class: type, place: str) -> bool:
        told = self._told.setdefault(agent_class, set())
        if place in told:
            return False
        told.add(place)
        return True


class _Acts:
    """Counts the acts of agents that nothing tells the step of.

    By memory, not by agent: agents may have slots and no room for a count or a weak reference.
    """

    def __init__(self) -> None:
        self._counts: weakref.WeakKeyDictionary[MemoryAgent, int] = weakref.WeakKeyDictionary()
        self._unlock()
        after_fork(self._unlock)

    def begun(self, memory: MemoryAgent) -> int:
        return self._counts.get(memory, 0)

    def begin(self, memory: MemoryAgent) -> int:
        with self._lock:
            count = self.begun(memory)
            self._counts[memory] = count + 1
        return count

    def _unlock(self) -> None:
        self._lock = threading.Lock()


_reports = _Reports()
_acts = _Acts()
