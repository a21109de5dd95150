"""Packages that integrations need, and errors that say how to install them."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version


def explained(error: ImportError, package: str, extra: str) -> ImportError:
    """An error of importing a package as one that says how to install it.

    Args:
        error: What importing it raised.
        package: Its name.
        extra: The extra of this package that brings it.

    Returns:
        ``ModuleNotFoundError`` if it is not installed, else ``ImportError``.
    """
    if isinstance(error, ModuleNotFoundError) and error.name:
        needed = error.name.partition(".")[0]
        return ModuleNotFoundError(
            f"agent_memory's integration of {package} needs {needed}, which is not installed: "
            f"{_remedy(extra)}",
            name=needed,
        )
    found = _version(package) or "of an unknown version"
    return ImportError(
        f"agent_memory's integration of {package} cannot use the {package} {found} that is "
        f"installed ({error}): {_remedy(extra)}",
        name=package,
    )


def require(package: str, least: tuple[int, ...], extra: str) -> None:
    """See that an installed package is new enough.

    Args:
        package: Its name.
        least: The lowest version that serves.
        extra: The extra of this package that brings it.

    Raises:
        ImportError: It is too old; the message names the command that upgrades it.
    """
    found = _version(package)
    if found is not None and _numbers(found) < least:
        needed = ".".join(map(str, least))
        raise ImportError(
            f"agent_memory's integration of {package} needs {package} {needed} or newer, not "
            f"{found}: {_remedy(extra)}",
            name=package,
        )


def _remedy(extra: str) -> str:
    return f"pip install --upgrade 'agent-memory[{extra}]'"


def _version(package: str) -> str | None:
    """The installed version; None for a copy that was not installed as a package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _numbers(found: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", found.partition("+")[0])[:3])
