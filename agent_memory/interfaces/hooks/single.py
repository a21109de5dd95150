"""Puts hooks on one agent and leaves its class as it is.

The agent becomes an instance of a twin: a subclass with hooks that passes for the class itself
wherever Python lets it. Hooks among the attributes of the agent would be simpler, but agents
with slots have no room for them, ``copy.copy`` would leave the copy acting for its original,
and ``vars(agent)``, which many a ``get_state()`` returns, would be full of them.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, SupportsIndex, TypeVar, Unpack

from agent_memory.errors import ConfigError
from agent_memory.interfaces.hooks.installation import hook_class, is_hooked
from agent_memory.interfaces.hooks.options import HookKeywords, HookOptions, checked_options
from agent_memory.values.quoting import quoted

A = TypeVar("A")


def with_memory(agent: A, method: str | None = None, **options: Unpack[HookKeywords]) -> A:
    """Have one agent remember what it does; see ``install_memory_hooks``.

    Its class and all other agents stay as they are, agents that it makes of its own class
    included; a copy of it, pickled ones too, remembers as it does. ``isinstance`` and
    ``agent.__class__`` say what they said before, and ``type(agent)`` equals its class without
    being the same object.

    Args:
        agent: An agent; it may have slots. One that is hooked stays as it is.
        method: The method around which hooks record; ``act()`` or else ``step()`` by default.
        **options: As ``install_memory_hooks`` takes them.

    Returns:
        The same object.

    Raises:
        ConfigError: It has no method that can be hooked, or is of a class written in C.

    Examples:
        >>> from agent_memory import Query, with_memory
        >>> class Bee:
        ...     def __init__(self, memory_system):
        ...         self.agent_id, self.memory_system, self.honey = "bee", memory_system, 0
        ...
        ...     def step(self):
        ...         self.honey += 1
        >>> bee = with_memory(Bee(memory))
        >>> bee.step()
        >>> memory.recall(Query(agent_id="bee", memory_type="state"))[0].entry.contents
        {'honey': 1}
    """
    return _with_options(agent, checked_options(method, **options))


def _with_options(agent: A, options: HookOptions) -> A:
    if issubclass(type(agent), type):  # what an agent says of its class is its own code
        raise ConfigError(
            f"with_memory: an agent is needed, not the class {quoted(agent)}; "
            "install_memory_hooks(agent_class) hooks all of its agents"
        )
    if not is_hooked(type(agent), options):
        try:
            twin = _twin(type(agent), options)  # of some types there are no subclasses
            object.__setattr__(agent, "__class__", twin)
        except TypeError as error:
            raise ConfigError(
                f"with_memory: {type(agent).__qualname__} lets no agent be hooked alone "
                f"({error}); hook the class: install_memory_hooks"
            ) from error
    return agent


class _Alone:
    """What a twin does otherwise than the class it stands for."""

    __slots__ = ()

    def __init_subclass__(cls, **_: Any) -> None:
        """Keep the twin from the classes above, which may count their subclasses."""

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Pickle or copy as the class does, which can be imported; hook what comes back."""
        reduced = super().__reduce_ex__(protocol)
        if isinstance(reduced, str):
            return reduced
        make, args, *rest = reduced
        twin, own_class = type(self), _class_of(type(self))
        make = own_class if make is twin else make
        args = tuple(own_class if argument is twin else argument for argument in args)
        options = _options[twin]
        return (_remade, (make, args) if options == HookOptions() else (make, args, options), *rest)


# What the agents of each twin record.
_options: weakref.WeakKeyDictionary[type, HookOptions] = weakref.WeakKeyDictionary()


def _remade(
    make: Callable[..., object], args: tuple[object, ...], options: HookOptions | None = None
) -> object:
    return _with_options(make(*args), options or HookOptions())


def _twin(own_class: type, options: HookOptions) -> type:
    subclasses: list[type] = type.__subclasses__(own_class)
    for subclass in subclasses:
        if _Alone in subclass.__mro__[1:] and _options.get(subclass) == options:
            return subclass
    namespace = {
        "__slots__": (),
        "__module__": own_class.__module__,
        "__qualname__": own_class.__qualname__,
        "__doc__": own_class.__doc__,
        # Dataclasses compare __class__, and agents make offspring by self.__class__(...).
        "__class__": property(lambda _: own_class, _leave_twin),
    }
    twin: type = _metaclass(own_class)(own_class.__name__, (own_class,), namespace)
    hook_class(twin, options)
    _options[twin] = options
    return twin


def _metaclass(own_class: type) -> Any:
    """A metaclass whose classes stand for another: equal to it, and calling them makes its own.

    Mesa keeps agents in a dict by ``type(agent)``: a twin that were not equal to its class
    would not be found there when the agent dies, and would act on.
    """
    above: Any = type(own_class)
    methods = {
        "__eq__": lambda twin, other: other is twin or other is own_class,
        "__hash__": lambda _: hash(own_class),
        "__call__": lambda _, *args, **kwargs: own_class(*args, **kwargs),
        # Among the bases it would change the layout, and with it what the agent may become.
        "mro": lambda twin: [twin, _Alone, *own_class.__mro__],
    }
    return type(above)(above.__name__, (above,), methods)


def _class_of(twin: type) -> type:
    return twin.__bases__[0]


def _leave_twin(agent: object, new_class: type) -> None:
    object.__dict__["__class__"].__set__(agent, new_class)
