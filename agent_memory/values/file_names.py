"""The name of a file or folder that was handed over, which may be anything."""

from __future__ import annotations

import os
from pathlib import Path

from agent_memory.errors import ConfigError
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
    except Exception:  # noqa: BLE001, S110  # its own code may raise anything; it is refused below
        pass
    raise ConfigError(f"{what}: the name of a file or folder is needed, not {quoted(path)}")
