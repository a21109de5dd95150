"""What is recorded around one call, and that the agent notices nothing of it."""

from __future__ import annotations

import logging
import re
import threading
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
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
from agent_memory.interfaces.hooks.options import HookOptions, read
from agent_memory.interfaces.hooks.running import EVERYONE, Awaited, driven, is_inside, within
from agent_memory.interfaces.hooks.states import Skip, attributes_of, storable
from agent_memory.system.memory_agent import MemoryAgent
from agent_memory.values.contents import pack, unpack
from agent_memory.values.forking import after_fork
from agent_memory.values.interruptions import raise_if_interrupted

_logger = logging.getLogger("agent_memory.hooks")

Call = Callable[[], Any]
P = ParamSpec("P")
R = TypeVar("R")

_INDEX = re.compile(r"\[\d+\]")


def around_act(agent: object, act: Call, given_step: object, options: HookOptions) -> Any:
    """Let an agent act, once, and record the action.

    Args:
        agent: The agent.
        act: Lets it act.
        given_step: What the call says the step is, or None.
        options: What is recorded.

    Returns:
        What ``act`` returns.

    Raises:
        ConfigError: The agent has no id, or names no memory; it has not acted.
        SchemaOutOfDate: Long-term memory needs a migration; it has not acted.
    """
    if is_inside(agent):
        return act()
    with _recorded(agent, given_step, options) as ended:
        with within(id(agent)):
            result = act()
        ended(result)
    return result


async def around_coroutine(
    agent: object, act: Call, given_step: object, options: HookOptions
) -> Any:
    """The same for a method that is awaited; recorded when it ends."""
    if is_inside(agent):
        return await act()
    with _recorded(agent, given_step, options) as ended:
        result = await Awaited(agent, act())
        ended(result)
    return result


def around_generator(
    agent: object, act: Call, given_step: object, options: HookOptions
) -> Generator[Any, Any, Any]:
    """The same for a generator; recorded when it ends, not when it is closed before."""
    if is_inside(agent):
        return (yield from act())
    with _recorded(agent, given_step, options) as ended:
        result = yield from driven(agent, act())
        ended(result)
    return result


def around_get_state(
    agent: object, get_state: Call, given_step: object, options: HookOptions
) -> Any:
    """Get an agent's state and record it; see ``around_act``."""
    if is_inside(agent):
        return get_state()
    memory = _memory_agent(agent, options)
    with within(id(agent)):
        state = get_state()
    if memory is not None:
        _unnoticed(agent, _record_state, agent, memory, given_step, state, options)
    return state


@dataclass(frozen=True, slots=True)
class _BegunAct:
    memory: MemoryAgent
    step: int
    state: object


@contextmanager
def _recorded(
    agent: object, given_step: object, options: HookOptions
) -> Iterator[Callable[[object], None]]:
    """Record what happens in a block, which hands over the result if it ends."""
    memory = _memory_agent(agent, options)
    begun = (
        None
        if memory is None
        else _unnoticed(agent, _begin_act, agent, memory, given_step, options)
    )
    results: list[object] = []
    try:
        yield results.append
    except Exception as error:
        raise_if_interrupted(error)
        if begun is not None:
            _unnoticed(agent, _record_error, agent, begun, error, options)
        raise
    if begun is not None and results:
        _unnoticed(agent, _record_act, agent, begun, results[0], options)


def _memory_agent(agent: object, options: HookOptions) -> MemoryAgent | None:
    with within(EVERYONE):
        system = memory_of(agent)
        if system is None:
            return None
        return system.get_memory_agent(agent_id_of(agent, options.agent_id))


def _begin_act(
    agent: object, memory: MemoryAgent, given_step: object, options: HookOptions
) -> _BegunAct:
    step = step_of(agent, given_step, lambda: _acts.begin(memory), options.step)
    state = storable(_state(agent, options), "contents.state_before", _skipping(agent))
    # A snapshot: many a get_state() hands out the very lists that act() goes on to change.
    return _BegunAct(memory, step, unpack(pack({"state": state}))["state"])


def _record_act(agent: object, begun: _BegunAct, result: object, options: HookOptions) -> None:
    _store_act(agent, begun, action_of(agent, result, options.action), options)


def _record_error(agent: object, begun: _BegunAct, error: Exception, options: HookOptions) -> None:
    raised = {"type": type(error).__qualname__, "message": str(error)}
    action = {"action_type": None, "action_params": {}, "reward": None, "exception": raised}
    _store_act(agent, begun, action, options)


def _store_act(
    agent: object, begun: _BegunAct, action: dict[str, Any], options: HookOptions
) -> None:
    if action["action_type"] is None and options.method != "act":
        action["action_type"] = options.method
    state = _state(agent, options)
    action |= {"state_before": begun.state, "state_after": state}
    begun.memory.store_action(storable(action, "contents", _skipping(agent)), begun.step)
    if options.records_states and state is not None:
        begun.memory.store_state(_as_state(agent, state), begun.step)


def _record_state(
    agent: object, memory: MemoryAgent, given_step: object, state: object, options: HookOptions
) -> None:
    step = step_of(agent, given_step, lambda: _acts.begun(memory), options.step)
    memory.store_state(_as_state(agent, _chosen(state_of(state), options)), step)


def _as_state(agent: object, state: object) -> Any:
    contents = state if isinstance(state, Mapping) else {"state": state}
    return storable(contents, "contents", _skipping(agent))


def _state(agent: object, options: HookOptions) -> object:
    """The agent's state, or None if it has none to give."""
    try:
        if options.state is not None:
            return _chosen(state_of(read(agent, options.state)), options)
        get_state = getattr(agent, "get_state", None)
        if callable(get_state) and not getattr(get_state, "needs_arguments", False):
            return _chosen(state_of(get_state()), options)
        return None if options.method == "act" else _chosen(attributes_of(agent), options)
    except Exception as error:  # noqa: BLE001  # an agent that just died may have none; logged
        raise_if_interrupted(error)
        source = options.state if isinstance(options.state, str) else "get_state"
        message = f"{source}() failed, its state is kept as None"
        _report(agent, type(error).__name__, message, error)
        return None


def _chosen(state: object, options: HookOptions) -> object:
    """The keys of a state that are to be recorded."""
    if not isinstance(state, Mapping) or (options.fields is None and not options.exclude):
        return state
    return {
        key: value
        for key, value in state.items()
        if key not in options.exclude and (options.fields is None or key in options.fields)
    }


def _skipping(agent: object) -> Skip:
    def skip(path: str, why: str) -> None:
        _report(agent, _INDEX.sub("[]", path), f"left out {path}: {why}")

    return skip


def _unnoticed(
    agent: object, record: Callable[P, R], *args: P.args, **kwargs: P.kwargs
) -> R | None:
    """Keep from the agent what goes wrong in recording: it is logged, and the answer is None."""
    try:
        with within(EVERYONE):
            return record(*args, **kwargs)
    except StoreUnavailable:
        pass  # the memory itself has logged the outage and counted the call
    except MemoryStoreError as error:
        # "contents.a[3]: why": each place is logged once, not each of its values.
        place = _INDEX.sub("[]", str(error).partition(": ")[0])
        _report(agent, place, f"not recorded: {error}")
    except Exception as error:  # noqa: BLE001  # whatever the memory does; logged with traceback
        raise_if_interrupted(error)
        _report(agent, type(error).__name__, "not recorded", error)
    return None


def _report(agent: object, place: str, message: str, error: Exception | None = None) -> None:
    if _reports.is_first(type(agent), place):
        name = type(agent).__qualname__
        _logger.error("%s: %s (logged once)", name, message, exc_info=error)


class _Reports:
    """Remembers what was logged of a class."""

    def __init__(self) -> None:
        self._logged: weakref.WeakKeyDictionary[type, set[str]] = weakref.WeakKeyDictionary()

    def is_first(self, agent_class: type, place: str) -> bool:
        logged = self._logged.setdefault(agent_class, set())
        if place in logged:
            return False
        logged.add(place)
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
