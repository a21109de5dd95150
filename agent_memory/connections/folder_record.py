"""What a memory's folder records of its configuration, so that nobody opens half of it.

The server and the long-term database of a folder belong together: entries that one process
moves into another database, or under other names, are lost to those who look in the first.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent_memory.config import AutoencoderConfig, MemoryConfig
from agent_memory.connections.deployment import Deployment
from agent_memory.connections.disk_space import unwritable
from agent_memory.errors import ConfigError, EncodingError
from agent_memory.values.files import make_private
from agent_memory.values.formats import FORMAT, MEMORY, check_record
from agent_memory.values.interruptions import raise_if_interrupted
from agent_memory.values.urls import formerly_recorded, without_password

FILE_NAME = "memory.json"


def check_folder(config: MemoryConfig, where: Deployment) -> None:
    """See that a folder is opened as it was made.

    Args:
        config: The configuration it is opened with.
        where: Where that says the memory lives.

    Raises:
        ConfigError: It was made with another long-term database or with other names.
        EncodingError: The record is damaged.
        NewerFormat: A newer version made the memory.
    """
    made = _read(where.path) or {}
    check_settings(config, made.get(_SETTINGS), where.path)
    for name, value in _record(config, where).items():
        if name in made and made[name] not in (value, _formerly(name, where)):
            raise ConfigError(
                f"{name}: the memory in {where.path} was made with {made[name]!r} and is opened "
                f"with {value!r}; its entries would be torn apart: open it as it was made, or "
                f"name another folder"
            )


def record_folder(config: MemoryConfig, where: Deployment) -> None:
    """Record how a folder is made, unless it is recorded already, and its present settings.

    Limits, ages and the like may change from one opening to the next. Those of the last opening
    for writing are what upkeep by a command goes by.
    """
    made, record = _read(where.path), _record(config, where)
    present = {FORMAT: str(MEMORY), _SETTINGS: settings_of(config)}
    if made is not None and made.get("ltm_url") == _formerly("ltm_url", where):
        present["ltm_url"] = record["ltm_url"]
    if made is None or not present.items() <= made.items():
        _write(where.path, (record if made is None else made) | present)
    for draft in where.path.glob(f"{FILE_NAME}.*"):
        draft.unlink(missing_ok=True)  # of one that was killed


def recorded_config(folder: Path) -> dict[str, Any]:
    """The configuration that a folder was made with, as far as it is recorded.

    Raises:
        EncodingError: The record is damaged.
    """
    made = _read(folder) or {}
    config = recorded_settings(made.get(_SETTINGS), folder / FILE_NAME)
    if "ltm_url" in made:
        config["ltm_url"] = _absolute(made["ltm_url"], folder)
    for name in ("stm_config.namespace", "im_config.namespace", "ltm_config.table_prefix"):
        if name in made:
            part, _, key = name.partition(".")
            config.setdefault(part, {})[key] = made[name]
    return config


# One text, since a record holds texts alone: what does not know it reads the rest.
_SETTINGS = "settings"
_RECORDED: Mapping[str, Any] = {
    **dict.fromkeys(("cleanup_interval", "memory_priority_decay", "demote_first"), True),
    **dict.fromkeys(("clock", "on_expiry", "redis_max_bytes", "indexed_attributes"), True),
    "step_clock": True,
    **dict.fromkeys(("tolerances", "max_entry_bytes", "spool_max_bytes"), True),
    "stm_config": {"memory_limit", "ttl", "max_age_steps"},
    "im_config": {"memory_limit", "ttl", "max_age_steps", "compression_level"},
    "ltm_config": {"compression_level", "batch_size"},
    "autoencoder_config": {"stm_dim", "im_dim", "ltm_dim", "vector_dtype"},
}


def settings_of(config: MemoryConfig) -> str:
    """What decides how entries are kept, as far as it differs from the defaults."""
    settings = config.model_dump(mode="json", include=_RECORDED, exclude_defaults=True)
    if "tolerances" in settings:
        settings["tolerances"] = {one.pop("path"): one for one in settings["tolerances"]}
    return json.dumps(settings, sort_keys=True)


def recorded_settings(settings: str | None, place: object) -> dict[str, Any]:
    """The configuration that ``settings_of`` has recorded.

    Args:
        settings: What was recorded; None: nothing.
        place: Where, for messages.

    Raises:
        EncodingError: The record is damaged.
    """
    try:
        read = {} if settings is None else json.loads(settings)
    except (ValueError, RecursionError) as error:
        raise EncodingError(f"{place}: settings cannot be read ({error})") from error
    if not isinstance(read, dict) or not all(
        isinstance(read.get(part, {}), dict) for part in _RECORDED if part.endswith("_config")
    ):
        raise EncodingError(f"{place}: settings are no settings of a memory")
    # A later version may record more than this one knows.
    return {name: value for name, value in read.items() if name in _RECORDED}


_WIDTHS = ("stm_dim", "im_dim", "ltm_dim")


def check_settings(config: MemoryConfig, settings: str | None, place: object) -> None:
    """See that a memory is opened with the widths of its vectors, and the clock, it was made with.

    Args:
        config: The configuration it is opened with.
        settings: What was recorded of it; None: nothing.
        place: Where, for messages.

    Raises:
        ConfigError: It is not. Vectors of several widths in one tier do not compare, and the index
            of either would replace the other's; of steps and seconds in one tier, neither order nor
            age is right.
        EncodingError: The record is damaged.
    """
    if settings is None:
        return
    recorded = recorded_settings(settings, place)
    _check_widths(config, recorded.get("autoencoder_config", {}), place)
    made = recorded.get("clock", MemoryConfig.model_fields["clock"].default)
    if made != config.clock:
        raise ConfigError(
            f"clock: the memory in {place} was made with {made!r} and is opened with "
            f"{config.clock!r}, by which its entries would be ordered and aged wrongly: write "
            f"clock={made!r}, or AgentMemorySystem.open(path), which takes what is recorded"
        )


def _check_widths(config: MemoryConfig, recorded: Mapping[str, Any], place: object) -> None:
    made = AutoencoderConfig(**{name: recorded[name] for name in _WIDTHS if name in recorded})
    for name in _WIDTHS:
        wanted, given = getattr(made, name), getattr(config.autoencoder_config, name)
        if wanted != given:
            raise ConfigError(
                f"autoencoder_config.{name}: the memory in {place} was made with {wanted} and is "
                f"opened with {given}, whose vectors do not compare: open it as it was made, or "
                "back it up and restore it into another memory"
            )


def _record(config: MemoryConfig, where: Deployment) -> dict[str, str]:
    return {
        "ltm_url": _relative(without_password(where.ltm_url), where.path),
        "stm_config.namespace": config.stm_config.namespace,
        "im_config.namespace": config.im_config.namespace,
        "ltm_config.table_prefix": config.ltm_config.table_prefix,
    }


def _formerly(name: str, where: Deployment) -> str | None:
    """How earlier versions recorded what is recorded otherwise now."""
    return _relative(formerly_recorded(where.ltm_url), where.path) if name == "ltm_url" else None


# A file within the folder is recorded without the folder's own path, so that it can be moved.
_WITHIN = "sqlite:///{folder}/"


def _relative(url: str, folder: Path) -> str:
    return url.replace(f"sqlite:///{folder}/", _WITHIN, 1)


def _absolute(url: str, folder: Path) -> str:
    return url.replace(_WITHIN, f"sqlite:///{folder}/", 1)


def _read(folder: Path) -> dict[str, str] | None:
    try:
        made = json.loads((folder / FILE_NAME).read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None  # whoever opens the folder reports what is wrong with it
    except (OSError, ValueError, RecursionError) as error:
        raise_if_interrupted(error)
        raise EncodingError(f"{folder / FILE_NAME} cannot be read ({error})") from error
    if not isinstance(made, dict) or not all(isinstance(value, str) for value in made.values()):
        raise EncodingError(f"{folder / FILE_NAME} is no record of a memory")
    check_record(str(folder / FILE_NAME), made.get(FORMAT))
    return made


def _write(folder: Path, record: dict[str, str]) -> None:
    # By renaming, so that nobody ever reads half of it. Of two first openers the last wins, and the
    # other finds out when it opens the folder again.
    draft = folder / f"{FILE_NAME}.{os.getpid()}"
    try:
        make_private(draft).write_text(json.dumps(record, indent=2) + "\n")
    except OSError as error:
        raise_if_interrupted(error)
        draft.unlink(missing_ok=True)
        what, otherwise = f"the record {folder / FILE_NAME}", "check the folder's permissions"
        raise unwritable(what, draft, error, otherwise) from error
    # Gone where another has recorded it meanwhile, and cleared what seemed left behind.
    with suppress(FileNotFoundError):
        draft.replace(folder / FILE_NAME)
