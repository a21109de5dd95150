"""Packages that integrations need, and errors that say how to install them."""

from __future__ import annotations

from agent_memory.values.tried import installed_version, newer_than_tried, numbers_of


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
    found = installed_version(package) or "of an unknown version"
    newer = newer_than_tried(package)
    return ImportError(
        f"agent_memory's integration of {package} cannot use the {package} {found} that is "
        f"installed ({error}): {newer or _remedy(extra)}",
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
    found = installed_version(package)
    if found is not None and numbers_of(found) < least:
        needed = ".".join(map(str, least))
        raise ImportError(
            f"agent_memory's integration of {package} needs {package} {needed} or newer, not "
            f"{found}: {_remedy(extra)}",
            name=package,
        )


def _remedy(extra: str) -> str:
    return f"pip install --upgrade 'agent-memory[{extra}]'"
