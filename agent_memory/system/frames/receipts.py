"""What an export wrote, and what an import stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent_memory.values.entry import EntryKey
from agent_memory.values.quoting import short_repr


@dataclass(frozen=True, slots=True)
class ExportReceipt:
    """What an export wrote.

    Attributes:
        path: The file, or the folder of files.
        files: The files.
        entries: How many entries are in them.
        stored_bytes: The size of the files together.

    Examples:
        >>> receipt = memory.export("ants.jsonl", format="jsonl")
        >>> receipt.entries, receipt.path.name
        (10, 'ants.jsonl')
    """

    __repr__ = short_repr()

    path: Path
    files: tuple[Path, ...]
    entries: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class ImportReceipt:
    """What an import stored.

    Attributes:
        path: The file, or the folder of files.
        stored: How many entries were stored.
        present: How many were there already.
        forgotten: How many had been forgotten here, and were not stored.
        differing: Entries that were read again afterwards and are not as the file has them.
            Empty: verified.
        runs: The runs that are recorded here now as the file has them, and were not before.

    Examples:
        >>> from agent_memory import AgentMemorySystem
        >>> _ = memory.export("ants.parquet")
        >>> other = AgentMemorySystem({"engine": "fake", "ltm_url": "sqlite:///imported.db"})
        >>> with other:
        ...     receipt = other.import_("ants.parquet")
        >>> receipt.stored, receipt.verified
        (10, True)
    """

    __repr__ = short_repr()

    path: Path
    stored: int
    present: int
    forgotten: int
    differing: tuple[EntryKey, ...] = ()
    runs: tuple[str, ...] = ()

    @property
    def verified(self) -> bool:
        """Whether every entry of the file was read again and is as the file has it.

        Examples:
            >>> memory.import_(memory.export("again.parquet").path).verified
            True
        """
        return not self.differing
