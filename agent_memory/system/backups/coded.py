"""Reads the contents of entries in a backup by the codes that are in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent_memory.compression.codes import Codes
from agent_memory.compression.levels import ContentsCodec
from agent_memory.compression.rows import Stored
from agent_memory.errors import EncodingError
from agent_memory.system.backups.file import Backup, stored_of
from agent_memory.values.coded import is_coded, unmarked

_SAMPLED = 256  # rows of a version whose layout is looked for


class _Versions:
    """The codes of contents in a backup.

    Args:
        rows: Its versions.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._codes = {row["id"]: row["dictionary"] for row in rows}

    def code(self, version: int) -> bytes | None:
        """The bytes of a version's code; None if it has none."""
        return self._codes.get(version)


def codec_of(
    backup: Backup, versions: Sequence[Mapping[str, Any]], max_entry_bytes: int | None
) -> ContentsCodec:
    """What reads the contents in a backup, also those of commits before today's checksum.

    Args:
        backup: The backup.
        versions: Its rows of versions.
        max_entry_bytes: How many bytes contents may have.
    """
    codes = Codes(_Versions(versions))
    codes.look_in(lambda version: coded_rows(backup, version))
    return ContentsCodec(codes=codes, most_read=max_entry_bytes or 0)


def coded_rows(backup: Backup, version: int) -> list[Stored]:
    """Some entries of a backup whose contents the code of a version has coded."""
    found: list[Stored] = []
    for tier in (1, 2):
        for batch in backup.entries(tier):
            for saved in batch:
                stored = stored_of(saved)
                if stored is not None and _is_of(stored, version):
                    found.append(stored)
            if len(found) >= _SAMPLED:
                return found
    return found


def _is_of(stored: Stored, version: int) -> bool:
    try:
        return is_coded(stored.contents) and unmarked(stored.contents)[0] == version
    except EncodingError:
        return False
