"""Notes whether a commit was made, also where a signal's handler raised as it returned.

Python runs a handler when the driver's call has returned and before its caller goes on. Whoever
sees the exception alone cannot tell a commit that was made from one that was not.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy import Connection, Engine

_NOTE = "agent_memory_commit"


class CommitNote:
    """Whether a transaction was committed.

    Attributes:
        is_made: True from the moment on in which the driver has made it.
    """

    __slots__ = ("is_made",)

    def __init__(self) -> None:
        self.is_made = False


def note_commit(connection: Connection) -> CommitNote:
    """A note of the transaction that is under way on a connection to SQLite."""
    note = CommitNote()
    connection.info[_NOTE] = note
    return note


def forget_note(connection: Connection) -> None:
    """Note nothing of the transaction that begins: what is noted is that of another."""
    connection.info.pop(_NOTE, None)


def keep_notes(engine: Engine) -> None:
    """Have an engine for SQLite keep the notes of its commits."""

    def commit(pooled: Any) -> None:
        note = pooled.info.get(_NOTE) or CommitNote()
        driver = pooled.driver_connection
        # Nothing is called from the driver's return to the note, so that no handler comes between.
        try:
            driver.commit()
        except sqlite3.Error:
            raise  # which ends some transactions by itself
        except BaseException:
            note.is_made = not driver.in_transaction
            raise
        else:
            note.is_made = True

    engine.dialect.do_commit = commit  # type: ignore[method-assign, assignment]  # its own
