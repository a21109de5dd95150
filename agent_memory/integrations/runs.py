"""The run that an adapter records in: begun with what the model or environment was made with."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from agent_memory.errors import ConfigError, MemoryClosed, MemoryStoreError, RunConflict
from agent_memory.interfaces.hooks.states import storable
from agent_memory.system.memory_system import AgentMemorySystem
from agent_memory.values.run import Existing

_logger = logging.getLogger("agent_memory.integrations")


def begun_run(
    memory: AgentMemorySystem,
    name: str,
    parameters: Mapping[str, Any],
    seed: int | None,
    exists: Existing | None,
) -> AgentMemorySystem:
    """Begin a run with what is known of it, or go on with it.

    Args:
        memory: The memory.
        name: The run.
        parameters: What it is begun with; those that cannot be stored are left out, and logged.
        seed: Its random seed.
        exists: What becomes of it if it is there. None: it is resumed, and if it was begun with
            other values, which is logged, those stay recorded.

    Raises:
        InvalidEntry: ``exists`` or the name has no meaning.
        RunConflict: The run is there, and ``exists`` refuses it.
        StoreUnavailable: A store does not answer.
    """

    def leave_out(path: str, why: str) -> None:
        _logger.warning("%s is not recorded of run %r: %s", path, name, why)

    known = storable(dict(parameters), "parameters", leave_out)
    try:
        return memory.run(name, parameters=known, seed=seed, exists=exists)
    except RunConflict as conflict:
        if exists is not None:
            raise
        _logger.warning("%s", conflict)
        return memory.run(name)


def environment_run(
    memory: object,
    run: str | None,
    env: Any,
    parameters: Mapping[str, Any] | None,
    exists: Existing | None,
) -> AgentMemorySystem:
    """The memory that an environment is recorded in, with a run that is begun if one is named.

    Args:
        memory: The memory.
        run: The run; None: the one that the memory is bound to.
        env: The environment: what its ``spec`` says is recorded with the parameters.
        parameters: What else the run is begun with.
        exists: What becomes of the run if it is there.

    Raises:
        ConfigError: ``memory`` is none.
        InvalidEntry: The run has no meaning.
        RunConflict: The run is there, and ``exists`` refuses it.
        StoreUnavailable: A store does not answer.
    """
    bound = run_of(memory, run)
    if not is_begun_here(run, parameters, exists):
        return bound
    return begun_run(
        bound, bound.config.run_id, {**_made_with(env), **(parameters or {})}, None, exists
    )


def is_begun_here(
    run: str | None, parameters: Mapping[str, Any] | None, exists: Existing | None
) -> bool:
    """Whether ``environment_run`` begins a run, by the same arguments."""
    return run is not None or parameters is not None or exists is not None


def end_environment_run(memory: AgentMemorySystem) -> None:
    """Record that the run of an environment that is closed has finished; nothing is raised."""
    try:
        memory.end_run()
    except MemoryClosed:
        return  # it was closed before its environment
    except MemoryStoreError as error:
        _logger.warning("the end of run %r is not recorded: %s", memory.config.run_id, error)


def run_of(memory: object, run: str | None) -> AgentMemorySystem:
    """A memory, bound to a run; nothing is recorded.

    Raises:
        ConfigError: It is none.
        InvalidEntry: The run has no meaning.
    """
    if not isinstance(memory, AgentMemorySystem):
        raise ConfigError(f"memory: an AgentMemorySystem is needed, not {type(memory).__name__}")
    return memory if run is None else memory.run(run)


def record_seed(memory: AgentMemorySystem, seed: int | None) -> None:
    """Record the seed that the first episode of a run began with, unless one is recorded.

    Nothing is raised: an environment steps whatever becomes of its memory.
    """
    if seed is None or not memory.is_recorded:
        return
    try:
        memory.run(memory.config.run_id, seed=seed)
    except RunConflict:
        return  # that of the first process stays
    except MemoryStoreError as error:
        _logger.warning("the seed of run %r is not recorded: %s", memory.config.run_id, error)


def _made_with(env: Any) -> dict[str, Any]:
    spec = getattr(env, "spec", None)
    found = {"environment": getattr(spec, "id", None), "kwargs": getattr(spec, "kwargs", None)}
    return {name: value for name, value in found.items() if value}
