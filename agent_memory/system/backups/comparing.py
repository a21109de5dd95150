"""Compares two backups of one memory: which entries changed from one to the other."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from agent_memory.system.backups.file import Backup
from agent_memory.values.entry import EntryKey

# By the indexes of both: neither is sorted.
_DIFFERING = """
    SELECT a.run, a.agent, a.memory_id
    FROM main.entries a LEFT JOIN other.entries b USING (run, agent, memory_id)
    WHERE b.fields IS NOT a.fields
    UNION ALL
    SELECT b.run, b.agent, b.memory_id
    FROM other.entries b LEFT JOIN main.entries a USING (run, agent, memory_id)
    WHERE a.fields IS NULL
"""


def differing(one: Path, other: Path) -> list[EntryKey]:
    """The entries that are in one of two backups alone, or other in each.

    Where an entry is does not matter, since upkeep moves it.

    Args:
        one: The file of a backup.
        other: That of another.

    Raises:
        EncodingError: A file is no backup, or damaged.
        StoreUnavailable: A file cannot be read.
    """
    for file in (one, other):
        with closing(Backup(file)) as backup:
            backup.check_structure()
    with closing(sqlite3.connect(_read_only(one), uri=True)) as connection:
        connection.execute("ATTACH ? AS other", (_read_only(other),))
        return [EntryKey(*key) for key in connection.execute(_DIFFERING)]


def _read_only(file: Path) -> str:
    return f"file:{quote(str(file.absolute()))}?mode=ro&immutable=1"
