"""Deletion through the repository, of a model's entries and of one entry."""

from __future__ import annotations

from typing import Any

from agent_memory.errors import InvalidEntry
from agent_memory.values.entry import EntryKey


class Deletion:
    """``delete`` of a model, which takes a key, and of an entry, which is its own."""

    def __get__(self, entry: Any, model: Any) -> Any:
        def delete(pk: str | EntryKey | None = None, pipeline: object = None) -> int:
            """Delete an entry through the repository; gives how many there were: 1 or 0."""
            refuse_option("pipeline", pipeline)
            if pk is None and entry is None:
                raise InvalidEntry(f"{model.__name__}.delete: say which entry, by its pk")
            key = entry.entry_key if pk is None and entry is not None else model.key_of(pk)
            removed: int = model.store().remove_many([key])
            return removed

        return delete


def refuse_option(option: str, given: object) -> None:
    """Refuse an option of Redis-OM that entries do not support.

    Raises:
        InvalidEntry: It is given.
    """
    if given is not None:
        raise InvalidEntry(
            f"{option}: not supported for entries, whose indexes the repository keeps in the same "
            "transaction; leave it out"
        )
