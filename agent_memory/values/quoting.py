"""How a value is quoted in a message or a repr: in a few characters, whatever it is."""

from __future__ import annotations

import dataclasses
import enum
import reprlib
from collections.abc import Callable, Iterator
from typing import Any

from agent_memory.values.interruptions import raise_if_interrupted

_MOST = 280  # characters of a short repr


def quoted(value: object, most: int = 80) -> str:
    """The beginning of a value's repr; its type where there is none to be had.

    Args:
        value: Anything: its repr may raise, and that of an int of 5,000 digits does.
        most: How many characters.
    """
    try:
        return f"{value!r:.{most}}"
    except Exception as error:  # noqa: BLE001  # its own code's; the type tells enough
        raise_if_interrupted(error)
        return f"an object of type {type(value).__name__:.{most}}"


def abbreviated(value: object) -> str:
    """A value's repr for people: of what is long the beginning, and of what is nested the outside.

    Args:
        value: Anything, as for ``quoted``; of an array its shape is shown.
    """
    return _short.repr(value)


def short_repr(*first: str) -> Callable[[Any], str]:
    """What to assign to ``__repr__`` of a dataclass that may hold much.

    It shows, in under 300 characters, the fields that are not at their default.

    Args:
        first: The fields to show first; the others follow in their order.
    """

    def shown(it: Any) -> str:
        parts, left = [], _MOST - len(type(it).__name__)
        for field in _ordered(it, first):
            value = getattr(it, field.name)
            if _is_shown(value, _default(field)):
                parts.append(f"{field.name}={abbreviated(value)}")
                left -= len(parts[-1]) + 2
            if left < 0:
                parts[-1] = "..."
                break
        return f"{type(it).__name__}({', '.join(parts)})"

    return shown


def _ordered(it: Any, first: tuple[str, ...]) -> Iterator[dataclasses.Field[Any]]:
    fields = {field.name: field for field in dataclasses.fields(it) if field.repr}
    yield from (fields.pop(name) for name in first)
    yield from fields.values()


def _is_shown(value: object, default: object) -> bool:
    if value is None or default is None or default is dataclasses.MISSING:
        return value is not None
    return bool(value != default)


def _default(field: dataclasses.Field[Any]) -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


class _Short(reprlib.Repr):
    """The library's, which shows what it cannot read by its type, and arrays by their shape."""

    def repr1(self, x: Any, level: int) -> str:
        try:
            shape = getattr(x, "shape", None)
            if isinstance(shape, tuple) and shape:
                return f"<{x.dtype} {shape}>"
            return super().repr1(x.value if isinstance(x, enum.Enum) else x, level)
        except Exception as error:  # noqa: BLE001  # as in ``quoted``
            raise_if_interrupted(error)
            return f"<{type(x).__name__:.40}>"


_short = _Short()
_short.maxlevel = 2
_short.maxdict = _short.maxlist = _short.maxtuple = _short.maxset = _short.maxfrozenset = 4
_short.maxstring = _short.maxother = _short.maxlong = 48
