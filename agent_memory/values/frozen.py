"""A dict that cannot be changed: what several hold must not change under one of them."""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

_K = TypeVar("_K")
_V = TypeVar("_V")


class FrozenDict(dict[_K, _V]):
    """A dict that refuses every change; ``dict(it)`` is a copy that may be changed.

    It compares as the dict that it is, and can be copied, pickled and written as JSON.

    Raises:
        TypeError: It is changed.
    """

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError(f"{type(self).__name__}: cannot be changed; dict(...) gives a copy")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)

    def __copy__(self) -> FrozenDict[_K, _V]:
        return self
