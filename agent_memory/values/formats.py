"""Numbers of stored formats: one that is newer than this version reads is refused by name.

Each format keeps its number beside its own code; ``docs/migrations.md`` lists them all. A number is
raised when an earlier version would misread what a later one writes.
"""

from __future__ import annotations

from typing import Final

from agent_memory.errors import EncodingError, NewerFormat

FORMAT: Final = "format"
"""The name under which records of a memory keep their number."""

MEMORY: Final = 2
"""The number of a memory as a whole, kept in the records of its folder, server and database.

It covers what has no number of its own: the keys and hashes on the server, and what is recorded.
1 stands for memories whose records have no number.
"""


def newer(what: str, found: int, known: int) -> NewerFormat:
    """What to raise for a number that this version does not know.

    Args:
        what: What has the number, and where it is.
        found: The number.
        known: The newest number that this version reads.
    """
    return NewerFormat(f"{what} has {beyond(found, known)}")


def beyond(found: int, known: int) -> str:
    """Both numbers and what to do, for messages that say what has the first one."""
    return (
        f"format {found}, and this version of agent-memory reads formats up to {known}; it is left "
        "as it is: upgrade the package (pip install --upgrade agent-memory), or use the version "
        "that wrote it"
    )


def check_record(what: str, found: str | None) -> None:
    """See that a memory whose record has this number can be read.

    Args:
        what: The record and its place, for messages.
        found: The number as it is recorded; None: the record has none.

    Raises:
        NewerFormat: A newer version made the memory.
        EncodingError: It is no number.
    """
    if found is None or found == str(MEMORY):
        return
    if not (found.isascii() and found.isdigit()) or int(found[:9]) == 0:
        raise EncodingError(f"{what}: {FORMAT} is {found[:80]!r}, which is no number of a format")
    if len(found) > 9 or int(found) > MEMORY:
        raise newer(what, int(found[:9]), MEMORY)


def at(place: str, error: EncodingError) -> EncodingError:
    """The same error with the place where it was met before its message."""
    return type(error)(f"{place}: {error}")
