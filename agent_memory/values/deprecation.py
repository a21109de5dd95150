"""Keeps old names of attributes working, with a warning that names the new one."""

from __future__ import annotations

import warnings
from typing import Any


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
