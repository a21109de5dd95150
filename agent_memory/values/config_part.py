"""What all parts of a configuration share; whatever is wrong with one is a ``ConfigError``."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from difflib import get_close_matches
from typing import Any, Never

from pydantic import BaseModel, ConfigDict, ValidationError

from agent_memory.errors import ConfigError, MemoryStoreError
from agent_memory.values.interruptions import raise_if_interrupted


class ConfigPart(BaseModel):
    """What all parts share: frozen, strict about keys, and silent about secrets."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def __init__(self, *unnamed: Never, **values: Any) -> None:
        complaint = None
        if unnamed:
            name = type(self).__name__
            first = next(iter(type(self).model_fields))
            raise ConfigError(f"{name}: settings are given by name, such as {name}({first}=...)")
        try:
            super().__init__(**values)
        except ValidationError as error:
            complaint = _complaint(type(self).__name__, error, type(self).model_fields)
        except MemoryStoreError:
            raise
        except Exception as error:  # noqa: BLE001  # a value's own code, which may raise anything
            raise_if_interrupted(error)
            complaint = f"{type(self).__name__}: a value cannot be read ({type(error).__name__})"
        if complaint is not None:
            # Not where the error is at hand, which holds what was given, passwords among it.
            raise ConfigError(complaint)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Show what is not at its default, and no secrets."""
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if field.repr and value != field.get_default(call_default_factory=True):
                yield name, value


def _complaint(name: str, error: ValidationError, keys: Collection[str]) -> str:
    faults = []
    for fault in error.errors(include_input=False, include_url=False):
        path = ".".join(str(place) for place in fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            near = get_close_matches(path, keys, n=1)
            message = "is not a known key" + "".join(f" (did you mean {key}?)" for key in near)
        faults.append(f"{path}: {message}" if path else message)
    return f"{name}: {'; '.join(faults)}"
