"""How long-term memory holds entries, and how far their numbers may be off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from agent_memory.config.limits import Level, Positive
from agent_memory.values.config_part import ConfigPart

DEFAULT_DB_PATH = "agent_memory.db"

_TablePrefix = Annotated[
    str, Field(min_length=1, max_length=30, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
]


class SQLiteLTMConfig(ConfigPart):
    """Long-term memory: SQL, level-2 compressed.

    Args:
        db_path: SQLite file; relative ones lie in the memory's folder. ``MemoryConfig.ltm_url``
            overrides it.
        compression_level: 0, 1 or 2.
        batch_size: How many entries one transaction of a move writes at most.
        table_prefix: What every table's name begins with.
        ef_search: How many candidates an index over vectors in PostgreSQL keeps while it looks, up
            to 1,000: more are found more surely and more slowly.

    Examples:
        >>> from agent_memory import SQLiteLTMConfig
        >>> SQLiteLTMConfig(db_path="ants.db").table_prefix
        'agent_ltm'
    """

    db_path: str = Field(default=DEFAULT_DB_PATH, min_length=1)
    compression_level: Level = 2
    batch_size: Positive = 1_000
    table_prefix: _TablePrefix = "agent_ltm"
    ef_search: Annotated[int, Field(ge=1, le=1_000)] = 200


class PathTolerance(ConfigPart):
    """How far numbers of a path may be off, once a code has been fitted to contents.

    Args:
        path: The path, keys joined by dots, places in lists in brackets; "*" for all others.
        level_1: In intermediate memory; 0: exact, there and below.
        level_2: In long-term memory.
        relative: Whether both are shares of the range of the values that were fitted on.
    """

    path: str
    level_1: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.001
    level_2: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.01
    relative: bool = True

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.level_1 > self.level_2:
            raise ValueError("level_1 must not be looser than level_2")
        return self


def by_path(value: Any) -> Any:
    """Take tolerances as a dict by path, whose values may be "exact"."""
    if not isinstance(value, Mapping):
        return value
    return tuple(
        {"path": path, "level_1": 0.0, "level_2": 0.0}
        if one == "exact"
        else {"path": path, **one} if isinstance(one, Mapping) else one
        for path, one in value.items()
    )  # fmt: skip
