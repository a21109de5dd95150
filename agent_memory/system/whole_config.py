"""Makes a whole configuration of a part, a dict or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent_memory.config import MemoryConfig, RedisIMConfig, RedisSTMConfig, SQLiteLTMConfig
from agent_memory.errors import ConfigError, MemoryStoreError
from agent_memory.values.interruptions import raise_if_interrupted

PartConfig = MemoryConfig | RedisSTMConfig | RedisIMConfig | SQLiteLTMConfig

AnyConfig = MemoryConfig | Mapping[str, Any] | None
"""What callers may give for a whole configuration; None stands for the defaults."""


def whole_config(
    config: PartConfig | Mapping[str, Any] | None, settings: Mapping[str, object] | None = None
) -> MemoryConfig:
    """The whole configuration that a part, a dict or None stands for.

    Args:
        config: What was given.
        settings: What was given by name beside it, which is refused with the call that is meant.

    Raises:
        ConfigError: It is no configuration, or one that cannot be used.
    """
    _refuse(settings or {})
    try:
        return _whole(config)
    except MemoryStoreError:
        raise
    except Exception as error:
        raise_if_interrupted(error)
        raise ConfigError(
            f"config: its own code fails when it is read ({type(error).__name__})"
        ) from error


def _refuse(settings: Mapping[str, object]) -> None:
    if settings:
        name = next(iter(settings))
        raise ConfigError(
            f"{name}: settings come as one configuration, AgentMemorySystem({{{name!r}: "
            "...}); AgentMemorySystem.open(path) opens a folder as it was made"
        )


def _whole(config: PartConfig | Mapping[str, Any] | None) -> MemoryConfig:
    match config:
        case None:
            return MemoryConfig()
        case MemoryConfig():
            return config
        case RedisSTMConfig():
            return MemoryConfig(stm_config=config, im_config=config.connection_params)
        case RedisIMConfig():
            return MemoryConfig(im_config=config, stm_config=config.connection_params)
        case SQLiteLTMConfig():
            return MemoryConfig(ltm_config=config)
        case Mapping():
            if not all(isinstance(name, str) for name in config):
                raise ConfigError("config: names of settings are texts")
            return MemoryConfig(**config)
    raise ConfigError(
        f"config: a MemoryConfig is needed, not {type(config).__name__}; for a folder write "
        'AgentMemorySystem({"path": ...}), or AgentMemorySystem.open(path) to open it as it was '
        "made"
    )
