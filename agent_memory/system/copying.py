"""Copies a whole memory to other engines: from a folder to servers, and back.

A copy is a backup beside a live run, and a restore of that backup, with the settings of the memory
that it is made of. The backup stays in a folder of the copy's own until all was read again, so that
a copy that was broken off goes on with the same entries.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_memory.config import MemoryConfig
from agent_memory.connections.deployment import deployment
from agent_memory.connections.folder_record import recorded_config, recorded_settings, settings_of
from agent_memory.errors import ConfigError, MemoryNotEmpty, StoreUnavailable
from agent_memory.system.backups.comparing import differing
from agent_memory.system.backups.file import Backup
from agent_memory.system.identity import as_recorded
from agent_memory.system.memory_system import AgentMemorySystem
from agent_memory.values.entry import EntryKey
from agent_memory.values.file_names import whole_path
from agent_memory.values.progress import Progress
from agent_memory.values.quoting import short_repr
from agent_memory.values.urls import sqlite_url

_BACKUP = "copied.backup"
_AFTERWARDS = "afterwards.backup"
_SECOND_URL = re.compile(r",(?=[A-Za-z][\w+.-]*://)")


@dataclass(frozen=True, slots=True)
class MemoryPlace:
    """Where a memory is: in a folder, or on a server with a database.

    Attributes:
        path: Its folder, with the embedded server and SQLite; None: it is on servers.
        redis_url: The URL of the server of short-term and intermediate memory.
        ltm_url: SQLAlchemy URL of long-term memory.

    Examples:
        >>> MemoryPlace.of("redis://h:6379,postgresql+psycopg://h/ants").ltm_url
        'postgresql+psycopg://h/ants'
        >>> MemoryPlace.of("redis+cluster://a:1,b:2,postgresql+psycopg://h/ants").redis_url
        'redis+cluster://a:1,b:2'
        >>> MemoryPlace.of("memory/of/ants").redis_url is None
        True
    """

    path: Path | None = None
    redis_url: str | None = None
    ltm_url: str | None = None

    @classmethod
    def of(cls, text: str) -> MemoryPlace:
        """The place that a text names: a folder, or two URLs with a comma between them.

        Raises:
            ConfigError: It names a server without a database.
        """
        if "://" not in text:
            return cls(path=whole_path(text))
        # Commas stand between the servers of a cluster too.
        redis_url, *rest = _SECOND_URL.split(text, maxsplit=1)
        if not rest:
            raise ConfigError(
                "a memory on servers is named by two URLs with a comma between them, such as "
                "redis://host:6379,postgresql+psycopg://user@host/database"
            )
        return cls(redis_url=redis_url, ltm_url=rest[0])

    def config(self, work: Path, made: Mapping[str, Any] = {}) -> MemoryConfig:  # read only
        """The configuration of the memory there.

        Args:
            work: A folder for what a memory on servers keeps on this machine.
            made: The settings that it has, or is to have.
        """
        if self.path is None:
            urls = {"redis_url": self.redis_url, "ltm_url": self.ltm_url}
            return MemoryConfig(engine="redis", path=work, **urls, **made)
        # What the environment names is another memory's.
        here = {"ltm_url": sqlite_url(self.path / "agent_memory.db")}
        return MemoryConfig(engine="embedded", path=self.path, **here | dict(made))


@dataclass(frozen=True, slots=True)
class CopyReceipt:
    """What was copied.

    Attributes:
        entries: How many entries, by where they were: "spool", "stm", "im", "ltm".
        unreadable: How many things cannot be read; their bytes were copied into quarantine, where
            there is a place for them.
        differing: Entries that were read again in the copy and are not as they were. Empty:
            verified.
        changed: Entries that were stored, changed or forgotten in the original meanwhile, where
            that was looked at.
        begun_at: When the original was read, in seconds since 1970: what was acknowledged before
            is in the copy.
        resumed: Whether this went on with a copy that was broken off.
    """

    __repr__ = short_repr()

    entries: Mapping[str, int]
    unreadable: int
    differing: tuple[EntryKey, ...]
    changed: tuple[EntryKey, ...]
    begun_at: float
    resumed: bool

    @property
    def verified(self) -> bool:
        """Whether every entry was read again in the copy, and none changed in the original."""
        return not self.differing and not self.changed


def work_folder(original: MemoryPlace, copy: MemoryPlace, beside: Path) -> Path:
    """The folder of a copy's own, the same for the same two places."""
    digest = hashlib.blake2b(repr((original, copy)).encode(), digest_size=6).hexdigest()
    return beside / f"agent-memory-copy-{digest}"


def copy_memory(
    original: MemoryPlace,
    copy: MemoryPlace,
    work: Path,
    *,
    is_last: bool = False,
    progress: Progress | None = None,
) -> CopyReceipt:
    """Copy a whole memory to an empty place.

    Args:
        original: The memory, which is only read; a program may use it meanwhile.
        copy: Where nothing is yet, or what was broken off of the same copy.
        work: A folder for the copy's backup, which takes as much room as the original. It goes once
            the copy is verified.
        is_last: Look at the original again afterwards: nobody should use it meanwhile.
        progress: Called with each batch.

    Raises:
        ConfigError: A place cannot be used.
        MemoryNotEmpty: Something is there already; nothing was written.
        StoreUnavailable: A store does not answer, or there is no memory.
    """
    file = work / _BACKUP
    resumed = file.is_file()
    config = _recorded(original, work)
    target = copy.config(work, _settings(config))
    if not resumed:
        _back_up(config, file, progress)
    try:
        restored = AgentMemorySystem.restore(file, target, progress=progress)
    except (ConfigError, MemoryNotEmpty) as error:
        # Nothing was written, so that the next attempt begins with what is there then.
        shutil.rmtree(work)
        if isinstance(error, ConfigError):
            raise
        where = "the servers" if copy.path is None else str(copy.path)
        raise MemoryNotEmpty(
            f"what is copied to holds something already ({where}): name an empty folder, or "
            "servers that hold nothing of its name"
        ) from error
    with closing(Backup(file)) as saved:
        begun_at = next(row["value"] for row in saved.table("head") if row["name"] == "begun_at")
    changed: tuple[EntryKey, ...] = ()
    if is_last:
        _back_up(config, work / _AFTERWARDS, progress)
        changed = tuple(differing(file, work / _AFTERWARDS))
    receipt = CopyReceipt(
        restored.entries, restored.unreadable, restored.differing, changed, begun_at, resumed
    )
    if receipt.verified:
        shutil.rmtree(work)
    return receipt


def _recorded(place: MemoryPlace, work: Path) -> MemoryConfig:
    """The configuration that the memory of a place was last opened with."""
    if place.path is None:
        config = place.config(work)
        return as_recorded(config, deployment(config))
    if not place.path.is_dir():
        raise StoreUnavailable(f"there is no memory in {place.path}")
    return place.config(work, recorded_config(place.path))


def _settings(config: MemoryConfig) -> dict[str, Any]:
    """What a copy has of its original: all that decides how entries are kept, and their names."""
    made = recorded_settings(settings_of(config), "the memory")
    for name in ("stm_config", "im_config"):
        part = getattr(config, name)
        made.setdefault(name, {}).update(namespace=part.namespace, db=part.db)
    made.setdefault("ltm_config", {})["table_prefix"] = config.ltm_config.table_prefix
    return made


def _back_up(config: MemoryConfig, file: Path, progress: Progress | None) -> None:
    with AgentMemorySystem(config, read_only=True, upkeep=False) as system:
        system.backup(file, progress=progress)
