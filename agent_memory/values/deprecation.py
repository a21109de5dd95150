"""Keeps old names of attributes, arguments and modules working, with a warning of the new ones."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class OldName:
    """An attribute's old name: reading it warns, and gives what the new name gives.

    Assign it in the class body under the old name: ``engine = OldName("redis_engine")``.

    Args:
        new: The attribute's name today.
    """

    def __init__(self, new: str) -> None:
        self._new = new
        self._old = new
        self.__doc__ = f"The old name of ``{new}``; deprecated."

    def __set_name__(self, owner: type, name: str) -> None:
        self._old = name

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:
            return self
        warnings.warn(
            f"{owner.__name__}.{self._old} is deprecated; use {self._new}",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(instance, self._new)


def renamed_argument(old: str, new: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Let callers give an argument by its old name as well, which warns.

    Args:
        old: The keyword that callers may still use.
        new: The name of the parameter today.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            if old in kwargs and new not in kwargs:
                warnings.warn(
                    f"{function.__qualname__}({old}=) is deprecated; use {new}=",
                    DeprecationWarning,
                    stacklevel=2,
                )
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate


def moved_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's ``__getattr__`` that gives names which moved elsewhere, and warns.

    Args:
        package: The module, as its ``__name__`` says.
        homes: The module that has each name now.
    """

    def give(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        warnings.warn(
            f"{package}.{name} moved: import it from {home}", DeprecationWarning, stacklevel=2
        )
        return getattr(importlib.import_module(home), name)

    return give
