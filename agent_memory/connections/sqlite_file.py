"""Notices that a SQLite file is not the one any more that was opened."""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy import Engine, event

from agent_memory.errors import StoreReplaced
from agent_memory.values.files import FileId, file_id, make_private

_CHECK = "agent_memory_file_check"


def check_file(engine: Engine) -> None:
    """See that a SQLite file is the one that was opened, as every transaction does that begins.

    Raises:
        StoreReplaced: It is not.
    """
    check = engine.get_execution_options().get(_CHECK)
    if check is not None:
        check()


def watch_file(engine: Engine, file: str, place: str, *, is_made: bool) -> None:
    """Refuse to go on with a SQLite file that was deleted, moved or replaced since it was opened.

    SQLite would write to a file without a name, or to an empty one under the old name.

    Args:
        engine: Its engine.
        file: The file.
        place: What to call it in messages.
        is_made: Whether the file is made if it is missing, as its user's alone.
    """
    known: list[FileId] = []

    def check(*_: object) -> None:
        there = file_id(file)
        if known and there not in known:
            raise StoreReplaced(
                f"{place}: the file was {'replaced' if there else 'deleted or moved'} "
                "while it was open; close the memory, put the file back, or restore a backup, and "
                "open it again"
            )

    @event.listens_for(engine, "do_connect")
    def before_connect(*_: object) -> None:
        check()
        if is_made:
            make_private(file)

    @event.listens_for(engine, "connect")
    def remember(*_: object) -> None:
        there = file_id(file)
        if not known and there is not None:
            known.append(there)

    engine.update_execution_options(**{_CHECK: check})
    event.listen(engine, "begin", check)
    # Before the word is given on which a move deletes its source.
    event.listen(engine, "commit", check)


class LastingConnection(sqlite3.Connection):
    """The one connection to a database in memory, which SQLAlchemy takes for a new one at times.

    It makes its functions again then, which SQLite refuses while a statement that was interrupted
    is open, as for as long as somebody keeps the traceback.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._made: set[str] = set()

    def create_function(self, name: str, *args: Any, **options: Any) -> None:
        """Make a function, unless it was made before."""
        if name not in self._made:
            super().create_function(name, *args, **options)
            self._made.add(name)
