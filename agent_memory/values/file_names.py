"""The name of a file or folder that was handed over, which may be anything."""

from __future__ import annotations

import os
from pathlib import Path

from agent_memory.errors import ConfigError
from agent_memory.values.interruptions import raise_if_interrupted
from agent_memory.values.quoting import quoted


def checked_path(path: object, what: str = "path") -> Path:
    """Take the name of a file or a folder.

    Args:
        path: A text, or what has ``__fspath__``.
        what: What the argument is called, for messages.

    Raises:
        ConfigError: It is none, or no system could have such a file.
    """
    try:
        if isinstance(path, (str, os.PathLike)) and b"\0" not in os.fsencode(path):
            return Path(path)
    except Exception as error:  # noqa: BLE001  # its own code's; it is refused below
        raise_if_interrupted(error)
    raise ConfigError(f"{what}: the name of a file or folder is needed, not {quoted(path)}")


def whole_path(path: object, what: str = "path") -> Path:
    """Take the name of a file or a folder, and make it absolute: a process may change its folder.

    Args:
        path: A text, or what has ``__fspath__``; ``~`` stands for the user's home.
        what: What the argument is called, for messages.

    Raises:
        ConfigError: It is none; there is no such home, or no current folder that it could lie in;
            or it is no text, as databases and records need it.
    """
    given = checked_path(path, what)
    try:
        whole = given.expanduser().absolute()
    except RuntimeError as error:
        raise ConfigError(
            f"{what}: the home of {quoted(str(given))} is not known ({error}): set $HOME, or give "
            "an absolute path"
        ) from error
    except OSError as error:
        raise_if_interrupted(error)
        raise ConfigError(
            f"{what}: {quoted(str(given))} is relative, and the current folder is gone "
            f"({error.strerror}): change to one that is there, or give an absolute path"
        ) from error
    try:
        str(whole).encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{what}: {quoted(str(whole))} has bytes that are no UTF-8, which names of databases "
            "and records need: rename it, or name it by a link (ln -s)"
        ) from error
    return whole
