"""Says of a call that does not fit a function what was meant, and how it is written."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import wraps
from types import FunctionType
from typing import Any, Final, ParamSpec, TypeVar

from agent_memory.errors import InvalidCall
from agent_memory.values.quoting import quoted

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C", bound=type)

_ELSEWHERE: Final[Mapping[str, str]] = {
    "count": "limit",
    "filter": "attributes",
    "filters": "attributes",
    "k": "limit",
    "limit": "count",
    "n": "limit",
    "sort": "order",
    "top_k": "limit",
    "where": "attributes",
}
"""What other libraries call an argument, and what it is called here."""

BESIDE_A_QUERY: Final[Mapping[str, str]] = dict.fromkeys(
    ("near", "touch", "rank", "diverse", "after"),
    "it goes beside the query, as in recall(Query(...), near=...)",
)
"""What is asked beside a query, and not by it."""

_BY_NAME: Final = inspect.Parameter.KEYWORD_ONLY
_OTHERS: Final = inspect.Parameter.VAR_KEYWORD
_BY_PLACE: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)


def explains_calls(*methods: str, elsewhere: Mapping[str, str] | None = None) -> Callable[[C], C]:
    """A decorator of a class: calls that do not fit raise an ``InvalidCall`` that says what does.

    To a type checker the class stays as it is.

    Args:
        methods: Which of its methods; none: its constructor and all that are public.
        elsewhere: Where arguments go that others take, by name.
    """

    def decorate(owner: C) -> C:
        chosen = methods or [
            name for name in dir(owner) if name == "__init__" or not name.startswith("_")
        ]
        for name in chosen:
            called = owner.__name__ if name == "__init__" else name
            found = inspect.getattr_static(owner, name)
            if isinstance(found, FunctionType):
                setattr(owner, name, explains_call(found, called, elsewhere))
            elif isinstance(found, classmethod):
                setattr(owner, name, classmethod(explains_call(found.__func__, called, elsewhere)))
        return owner

    return decorate


def explains_call(
    function: Callable[P, T],
    called: str | None = None,
    elsewhere: Mapping[str, str] | None = None,
) -> Callable[P, T]:
    """A function whose calls, where they do not fit, raise an ``InvalidCall`` that says what does.

    Args:
        function: The function; its first argument is an object or class where it is a method.
        called: What callers call it; None: its own name.
        elsewhere: See ``explains_calls``.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            if _fits(function, error, args, kwargs):
                raise
            name = str(called or getattr(function, "__name__", "this"))
            said = _said(function, name, args, kwargs, elsewhere or {})
            raise InvalidCall(said or f"{name}: {error}") from None

    return call


def meant(name: str, there_are: Iterable[str]) -> str | None:
    """Which of some names is most likely meant by another; None: none is near.

    Examples:
        >>> meant("params", ["name", "parameters", "seed"]), meant("type", ["memory_type"])
        ('parameters', 'memory_type')
    """
    names = list(there_are)
    if _ELSEWHERE.get(name) in names:
        return _ELSEWHERE[name]
    parts = [each for each in names if name in each.split("_")]
    near = parts[:1] if len(parts) == 1 else get_close_matches(name, names, 1)
    return near[0] if near else None


def unknown_argument(name: str, there_are: Iterable[str]) -> str:
    """What to say of an argument that there is not.

    Examples:
        >>> unknown_argument("step", ["steps", "times"])
        'there is no argument step; write steps=...; there are steps, times'
    """
    names = list(there_are)
    near = meant(name, names)
    mend = "" if near is None else f"write {near}=...; "
    return f"there is no argument {name}; {mend}there are {', '.join(names)}"


def _fits(
    function: Callable[..., Any],
    error: TypeError,
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
) -> bool:
    """Whether a call has reached the function's own code, from which the error then comes."""
    reached = error.__traceback__ and error.__traceback__.tb_next
    while reached is not None and hasattr(function, "__wrapped__"):  # what is around it
        reached, function = reached.tb_next, function.__wrapped__
    if reached is not None:
        return True
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _said(
    function: Callable[..., Any],
    called: str,
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    elsewhere: Mapping[str, str],
) -> str | None:
    """What to say of a call that does not fit; None: nothing better than Python does."""
    parameters = inspect.signature(function).parameters
    by_place = [name for name, each in parameters.items() if each.kind in _BY_PLACE]
    by_name = [name for name, each in parameters.items() if each.kind is _BY_NAME]
    if by_place[:1] in (["self"], ["cls"]):
        by_place, args = by_place[1:], args[1:]
    takes = f"there are {', '.join([*by_place, *by_name]) or 'none'}"
    takes_others = any(each.kind is _OTHERS for each in parameters.values())
    unknown = [name for name in kwargs if name not in parameters]
    if unknown and not takes_others:
        name = unknown[0]
        if name in elsewhere:
            return f"{called}: there is no argument {name}: {elsewhere[name]}"
        free = [each for each in (*by_place[len(args) :], *by_name) if each not in kwargs]
        return f"{called}: {unknown_argument(name, free or [*by_place, *by_name])}"
    if len(args) > len(by_place):
        free = [name for name in by_name if name not in kwargs]
        mend = f"write {free[0]}={quoted(args[len(by_place)])}" if free else "leave it out"
        which = quoted(args[len(by_place)])
        return f"{called}: an argument without a name is one too many, {which}: {mend}; {takes}"
    given = {*by_place[: len(args)], *kwargs}
    missing = [name for name in (*by_place, *by_name) if name not in given]
    needed = [name for name in missing if parameters[name].default is inspect.Parameter.empty]
    if needed:
        return f"{called}: {' and '.join(needed)} must be given; {takes}"
    twice = [name for name in by_place[: len(args)] if name in kwargs]
    return f"{called}: {twice[0]} is given twice, with its name and without" if twice else None
