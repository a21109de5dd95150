"""A collector beside Mesa's ``DataCollector``: every agent's state of every step is remembered.

It works with models of Mesa 3 as they are, and imports nothing of Mesa.
"""

from __future__ import annotations

import hashlib
import logging
import numbers
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self
from uuid import uuid4

from agent_memory.errors import ConfigError, InvalidEntry
from agent_memory.integrations.runs import begun_run, run_of
from agent_memory.interfaces.hooks.states import attributes_of, position_of, storable
from agent_memory.system.memory_system import AgentMemorySystem
from agent_memory.values.calls import explains_calls
from agent_memory.values.contents import check_extent, packed_apart
from agent_memory.values.entry import MemoryType
from agent_memory.values.query import Hit, Query
from agent_memory.values.quoting import quoted
from agent_memory.values.run import Ending, Existing
from agent_memory.values.stored import Stored
from agent_memory.values.tried import tried_with

Fields = Iterable[str] | Callable[[Any], Mapping[str, Any]] | None
"""What of an agent is remembered: the names of attributes, what a callable gives, or all."""

_logger = logging.getLogger("agent_memory.mesa")
_NOT_CHOSEN = object()
_DRAWN = 2**64


@explains_calls()
class MemoryCollector:
    """Remembers the agents of a model: their states, births and deaths.

    Call ``collect()`` once a step, as ``DataCollector.collect(model)`` is called. All states of a
    step are stored by one call (``AgentMemorySystem.store_step``). An agent that is new since the
    last call is remembered as born, and one that is gone as dead, each by an action
    ``{"event": "born" | "died", "class": ...}`` of its own.

    The run has finished once ``model.running`` is False, the collector is gone with its model, or
    the memory is closed. As a context manager it says at the end of the block how the run ended.

    Args:
        model: The model.
        memory: An open memory.
        agents: Which classes are remembered, subclasses too, and what of each: the names of
            attributes (``position`` is where the agent is, in a grid, a cell or a continuous
            space), a callable that takes the agent and gives a dict, or None for all of its own
            plain attributes. None: all agents.
        every: States are remembered at every so many steps; births and deaths at each.
        run: The id of the run; None: ``run_id_of(model, parameters)``.
        parameters: What the model was made with, which is recorded with its seed.
        exists: What becomes of a run that is there: "resume", "refuse" or "replace"; see
            ``AgentMemorySystem.run``. None: it is resumed, and what was recorded first stays.
        priority: How important states are, 0 to 1, or a callable that takes the agent.

    Attributes:
        memory: The memory of this run.

    Raises:
        ConfigError: An argument has no meaning.
        InvalidEntry: The id of the run or ``exists`` has none.
        RunConflict: The run is there, and ``exists`` says that it is refused, or that it is resumed
            with what it was begun with.
        StoreUnavailable: Long-term memory does not answer, where runs are recorded.

    Examples:
        >>> from agent_memory.integrations.mesa import MemoryCollector
        >>> from types import SimpleNamespace
        >>> sheep = SimpleNamespace(unique_id=1, energy=4, pos=(2, 3))
        >>> model = SimpleNamespace(agents=[sheep], steps=1)
        >>> collector = MemoryCollector(model, memory, run="grazing")
        >>> collector.collect()
        Stored(1 accepted, 0 refused)
        >>> collector.recall(sheep)[0].entry.contents
        {'energy': 4, 'position': (2, 3)}
    """

    @tried_with("mesa")
    def __init__(
        self,
        model: Any,
        memory: AgentMemorySystem,
        agents: Mapping[type, Fields] | None = None,
        *,
        every: int = 1,
        run: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        exists: Existing | None = None,
        priority: float | Callable[[Any], float] = 1.0,
    ) -> None:
        if type(every) is not int or every < 1:
            raise ConfigError(f"every: a number of steps from 1 is needed, not {quoted(every)}")
        if not hasattr(model, "agents"):
            raise ConfigError(f"model: a model with agents is needed, not {quoted(model)}")
        self._model = model
        self._fields = _checked({object: None} if agents is None else agents)
        self._every = every
        self._priority = priority
        name = run_id_of(model, parameters) if run is None else run
        checked = run_of(memory, None)
        self.memory = begun_run(checked, name, parameters or {}, seed_of(model), exists)
        self._has_ended = False
        self._ends_run = True
        self.memory.end_run_with(self)
        # The agents of the last call by id, with their classes; None before the first.
        self._alive: dict[str, str] | None = None
        self._left_out: set[str] = set()
        # Classes whose agents have what cannot be stored.
        self._refused: set[type] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._end("finished" if error is None else "failed")

    def __getstate__(self) -> dict[str, Any]:
        """What a copy begins with, which goes on with the run once it collects."""
        return {**vars(self), "_ends_run": False}

    @tried_with("mesa")
    def collect(self, model: Any = None) -> Stored:
        """Remember the agents as they are now.

        Args:
            model: The model; None: the one it was made with. Mesa's own collector takes it too.

        Returns:
            What was stored of their states, and by agent why the rest was not.

        Raises:
            ConfigError: It is another model.
            InvalidEntry: An agent has no ``unique_id``; nothing is remembered.
            StoreUnavailable: ``on_store_error`` is "raise", and nothing is acknowledged.
        """
        if model is not None and model is not self._model:
            raise ConfigError("model: this collector was made for another; make one for each")
        self._go_on()
        step = step_of(self._model)
        agents = {
            str(_id_of(agent)): agent
            for agent in self._model.agents
            if self._fields_of(agent) is not _NOT_CHOSEN
        }
        self._remember_changes(step, agents)
        if not getattr(self._model, "running", True) and not self._has_ended:
            self._end("finished")
        if step % self._every:
            return Stored()
        given = self._priority
        priority = (
            {name: given(agent) for name, agent in agents.items()} if callable(given) else given
        )
        return self._remember_states(step, agents, priority)

    def _go_on(self) -> None:
        """Let the run end with this copy too, which may outlive what it was copied from."""
        if not self._ends_run:
            self._ends_run = True
            self.memory.run(self.memory.config.run_id, exists="resume")
            self.memory.end_run_with(self)

    def _end(self, how: Ending) -> None:
        if not self._has_ended:
            self._has_ended = True
            self.memory.end_run(how)

    def recall(
        self, agent: Any, *, near: Any = None, touch: bool = True, **filters: Any
    ) -> list[Hit]:
        """Ask for what an agent remembers of this run.

        Args:
            agent: The agent, which asks about itself.
            near: What to be similar to; the agent itself stands for its present state.
            touch: Whether this counts as a retrieval.
            filters: Those of ``Query``: ``steps``, ``attributes``, ``order``, ``limit`` and others.

        Raises:
            InvalidEntry: A filter has no meaning.
            StoreUnavailable: The memory does not answer.
        """
        asked = self.state_of(agent) if near is agent else near
        query = Query(agent_id=_id_of(agent), **filters)
        return self.memory.recall(query, near=asked, touch=touch)

    def state_of(self, agent: Any) -> dict[str, Any]:
        """What would be remembered of an agent now.

        Raises:
            ConfigError: Its class is not among those that are remembered.
        """
        fields = self._fields_of(agent)
        if fields is _NOT_CHOSEN:
            raise ConfigError(f"agents: {type(agent).__name__} is not among them")
        state: dict[str, Any] = storable(
            dict(self._read(agent, fields)), type(agent).__name__, self._leave_out
        )
        return state

    def _remember_states(
        self, step: int, agents: Mapping[str, Any], priority: float | Mapping[str, float]
    ) -> Stored:
        """Store states as they are read; those that are refused without what cannot be stored."""
        states = {
            name: self.state_of(agent)
            if type(agent) in self._refused
            else dict(self._read(agent, self._fields_of(agent)))
            for name, agent in agents.items()
        }
        stored = self.memory.store_step(step, states, priority=priority)
        again = {
            str(name): agents[str(name)]
            for name, error in stored.refused.items()
            if isinstance(error, InvalidEntry) and type(agents[str(name)]) not in self._refused
        }
        if not again:
            return stored
        self._refused.update(map(type, again.values()))
        of_them = (
            {name: priority[name] for name in again} if isinstance(priority, Mapping) else priority
        )
        more = self._remember_states(step, again, of_them)
        left = {name: error for name, error in stored.refused.items() if name not in again}
        return Stored(stored.accepted + more.accepted, left | dict(more.refused))

    def _fields_of(self, agent: Any) -> Any:
        for owner in type(agent).__mro__:
            if owner in self._fields:
                return self._fields[owner]
        return _NOT_CHOSEN

    def _read(self, agent: Any, fields: Any) -> Mapping[str, Any]:
        read = _read(agent, fields)
        if type(fields) is tuple and len(read) < len(fields):
            for name in fields:
                if name not in read:
                    self._leave_out(f"{type(agent).__name__}.{name}", "there is no such attribute")
        return read

    def _leave_out(self, path: str, why: str) -> None:
        if path not in self._left_out:
            self._left_out.add(path)
            _logger.warning("%s is not remembered: %s", path, why)

    def _remember_changes(self, step: int, agents: Mapping[str, Any]) -> None:
        present = {name: type(agent).__name__ for name, agent in agents.items()}
        before, self._alive = self._alive, present
        if before is None:
            return
        born = dict.fromkeys(present.keys() - before.keys(), "born")
        died = dict.fromkeys(before.keys() - present.keys(), "died")
        classes = before | present
        events = {
            name: {"event": event, "class": classes[name]}
            for name, event in sorted((born | died).items())
        }
        if events:
            self.memory.store_step(step, events, MemoryType.ACTION)


def run_id_of(model: Any, parameters: Mapping[str, Any] | None = None) -> str:
    """The id of a model's run, out of its class, parameters, and what its generators began with.

    The same model with the same parameters and seed has the same id. Without a seed, or where the
    model does not keep it, each has an id of its own.

    Args:
        model: The model.
        parameters: What it was made with.

    Raises:
        ConfigError: A parameter cannot be stored.

    Examples:
        >>> from agent_memory.integrations.mesa import run_id_of
        >>> from types import SimpleNamespace
        >>> model = SimpleNamespace(_seed=42)
        >>> run_id_of(model, {"sheep": 10}) == run_id_of(model, {"sheep": 10})
        True
    """
    # Not the parameter named seed: ``batch_run`` of Mesa 3.5 does not hand it on.
    began = [getattr(model, name, None) for name in ("_seed", "_rng")]
    if began == [None, None]:
        began = [uuid4().hex]
    name = type(model).__name__
    try:
        named = {"parameters": sorted((parameters or {}).items()), "began": repr(began)}
        check_extent(named)
        packed = packed_apart(named)
    except (InvalidEntry, TypeError, AttributeError) as error:
        raise ConfigError(f"parameters: they cannot name a run ({error}); give run=") from error
    return f"{name}-{hashlib.blake2b(packed, digest_size=8).hexdigest()}"


def seed_of(model: Any) -> int | None:
    """The number that a model's random generators began with; None where it is not known.

    Examples:
        >>> from agent_memory.integrations.mesa import seed_of
        >>> from types import SimpleNamespace
        >>> seed_of(SimpleNamespace(_seed=42))
        42
    """
    # What the model really has: ``batch_run`` of Mesa 3.5 does not hand a parameter "seed" on.
    seed = getattr(model, "_seed", None)
    if seed is None:
        # Mesa 3.3 keeps no number that was given as ``rng``; NumPy does, and one that it drew
        # itself, with which nothing else began, has 128 bits.
        generator = getattr(model, "rng", None)
        sequence = getattr(getattr(generator, "bit_generator", None), "seed_seq", None)
        seed = getattr(sequence, "entropy", None)
        if not isinstance(seed, numbers.Integral) or int(seed) >= _DRAWN:
            return None
    return int(seed) if isinstance(seed, numbers.Integral) else None


def step_of(model: Any) -> int:
    """The step that a model is at: ``steps``, or else the whole part of ``time``.

    Raises:
        ConfigError: It has neither.

    Examples:
        >>> from agent_memory.integrations.mesa import step_of
        >>> from types import SimpleNamespace
        >>> step_of(SimpleNamespace(time=3.0))
        3
    """
    for name in ("steps", "time"):
        if (at := getattr(model, name, None)) is not None:
            return int(at)
    raise ConfigError(f"model: {type(model).__name__} has neither steps nor time")


def _checked(agents: object) -> dict[type, Fields]:
    if not isinstance(agents, Mapping) or not all(isinstance(key, type) for key in agents):
        raise ConfigError(f"agents: a dict of classes is needed, not {quoted(agents)}")
    checked: dict[type, Fields] = {}
    for owner, fields in agents.items():
        if fields is not None and not callable(fields):
            fields = (fields,) if isinstance(fields, str) else fields  # noqa: PLW2901
            if not isinstance(fields, Iterable):
                raise ConfigError(
                    f"agents: {owner.__name__}: names, a callable or None are needed, "
                    f"not {quoted(fields)}"
                )
            fields = tuple(fields)  # noqa: PLW2901 - an iterator is read once
        checked[owner] = fields
    return checked


def _id_of(agent: Any) -> Any:
    found = getattr(agent, "unique_id", None)
    if found is None:
        raise InvalidEntry(
            f"agent_id: {type(agent).__name__} has no unique_id: call super().__init__(model) in "
            "its __init__, or leave its class out by agents={...}"
        )
    return found


def _read(agent: Any, fields: Any) -> Mapping[str, Any]:
    if fields is None:
        return attributes_of(agent)
    if callable(fields):
        given = fields(agent)
        if not isinstance(given, Mapping):
            raise ConfigError(f"agents: the callable gave {quoted(given)}, not a dict")
        return given
    return {
        name: position_of(agent) if name == "position" else getattr(agent, name)
        for name in fields
        if name == "position" or hasattr(agent, name)
    }
