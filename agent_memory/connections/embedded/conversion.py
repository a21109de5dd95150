"""Gives the server of an embedded folder a query engine, or takes it away, losing no entry.

A server without modules cannot read the append-only file of one that has them, so that every key
is copied into a second server beside, which is stopped and started again: what is counted then
was read from its file. Until the folder's manifest is replaced, in one step, all is as it was;
from then on the folder has the new server's file. A conversion that is killed at any moment
leaves the one or the other, and the next process that opens the folder removes the rest.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from agent_memory.connections.embedded import keeper
from agent_memory.connections.embedded.copying import ServerContents
from agent_memory.connections.embedded.folder import converting, deserted, usable
from agent_memory.connections.embedded.manifest import (
    APPENDED,
    Manifest,
    clear_leftovers,
    new_manifest,
    read_manifest,
    replace_manifest,
    sync_directory,
)
from agent_memory.connections.embedded.server import EmbeddedServer
from agent_memory.connections.redis.engine import RedisEngine
from agent_memory.errors import ConfigError, StoreUnavailable

__all__ = ["Conversion", "convert"]

_OPEN_PATIENCE: Final = 3.0  # seconds for a server that is just stopping
_STOP_PATIENCE: Final = 120.0  # seconds; a clean stop ends with an fsync, slow on a busy disk
_MORE_COUNTS: Final = 2  # a key that expires between two counts makes them differ once
_NAMED_KEYS: Final = 3


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a conversion did.

    Attributes:
        keys: How many keys were carried over.
        dropped_indexes: Names of the query engine's indexes that went with it. Those of this
            package are made again by whoever opens the folder with a query engine.
        engine: The folder's server as it is now.
    """

    keys: int
    dropped_indexes: tuple[str, ...]
    engine: RedisEngine


def convert(folder: Path, *, search: bool) -> Conversion | None:
    """Make the server of a folder one with the query engine, or one without.

    Args:
        folder: the folder of an embedded memory that nobody has open.
        search: whether its server is to have the query engine.

    Returns:
        What was done; None when the folder is that way already.

    Raises:
        StoreUnavailable: there is no memory, it is in use, or a server does not start; nothing
            was changed.
        ConfigError: the modules are not installed, or the folder holds what only they can hold;
            nothing was changed.
    """
    folder = Path(os.path.realpath(folder))
    with usable(folder):
        if read_manifest(folder) is None:
            raise StoreUnavailable(f"there is no memory with an embedded server in {folder}")
        with converting(folder):
            with deserted(folder, _OPEN_PATIENCE):
                # Read again: from here on nobody else can convert it.
                made = read_manifest(folder) or Manifest()
                clear_leftovers(folder, made)
            if made.has_search == search:
                return None
            wanted = new_manifest(search)
            try:
                done = _copy(folder, folder / keeper.SCRATCH, wanted)
                with deserted(folder, _STOP_PATIENCE):
                    _put_in_force(folder, made, wanted)
                return done
            finally:
                # As it is recorded now, whether this succeeded, failed or was interrupted.
                if now := read_manifest(folder):
                    clear_leftovers(folder, now)


def _copy(folder: Path, scratch: Path, wanted: Manifest) -> Conversion:
    """Fill the server of a scratch folder, and see that it then reads all from its own file."""
    with EmbeddedServer.open(folder, converting=True) as server, ServerContents(server) as source:
        if not wanted.has_search:
            _check_portable(folder, source)
        with (
            EmbeddedServer.open(scratch, search=wanted.has_search) as made,
            ServerContents(made) as target,
        ):
            source.copy_to(target)
        with deserted(scratch, _STOP_PATIENCE):
            pass  # its server has written its file and is gone
        with EmbeddedServer.open(scratch) as made, ServerContents(made) as target:
            keys = _counted_alike(folder, source, target)
            dropped = () if wanted.has_search else source.indexes()
            return Conversion(keys, dropped, target.engine)


def _check_portable(folder: Path, source: ServerContents) -> None:
    found = source.module_keys()
    if found:
        named = ", ".join(f"{key!r} ({kind})" for kind, key in found[:_NAMED_KEYS])
        raise ConfigError(
            f"the memory in {folder} holds {len(found)} keys that only a server with modules can "
            f"hold: {named}{', ...' if len(found) > _NAMED_KEYS else ''}. Nothing was changed: "
            "move them elsewhere and delete them, then convert again"
        )


def _counted_alike(folder: Path, source: ServerContents, target: ServerContents) -> int:
    """Return how many keys both hold.

    Raises:
        StoreUnavailable: they do not hold as many keys, and elements in them, of each type.
    """
    there, here = source.totals(), target.totals()
    for _ in range(_MORE_COUNTS):
        if there != here:
            there, here = source.totals(), target.totals()
    if there != here:
        raise StoreUnavailable(
            f"the memory in {folder} was copied, and the copy does not hold what the original "
            f"holds: {dict(there - here)} are missing, {dict(here - there)} too many. Nothing was "
            "changed: try again, and report it if it happens again"
        )
    return sum(count for (*_, what), count in here.items() if what == "keys")


def _put_in_force(folder: Path, made: Manifest, wanted: Manifest) -> None:
    """Let the folder have the file of the scratch folder's server, which has ended."""
    scratch = folder / keeper.SCRATCH
    with deserted(scratch, _STOP_PATIENCE):
        (unused,) = set(APPENDED) - {made.appended}
        filled = scratch / keeper.SERVER_DIR / APPENDED[0]
        sync_directory(filled)
        filled.rename(folder / keeper.SERVER_DIR / unused)
        sync_directory(folder / keeper.SERVER_DIR)
        replace_manifest(folder, replace(wanted, appended=unused), scratch)
