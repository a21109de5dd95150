"""The manifest of an embedded server's folder: with which modules it was made, where its file is.

A server without a module cannot read an append-only file that holds the module's data, so that
the folder decides what its server loads. Converting
(`agent_memory.connections.embedded.conversion`) makes another append-only directory beside and
puts it in force by replacing the manifest.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from agent_memory.connections.embedded import keeper
from agent_memory.connections.embedded.modules import (
    GET_SEARCH,
    SEARCH_MODULES,
    Search,
    search_files,
    search_installed,
)
from agent_memory.errors import ConfigError
from agent_memory.values.files import make_private
from agent_memory.values.formats import newer
from agent_memory.values.interruptions import raise_if_interrupted

FORMAT: Final = 1
"""The number of the manifest."""
_REMOVAL_PATIENCE: Final = 2.0  # seconds
APPENDED: Final = ("appendonlydir", "appendonlydir.converted")
"""Names of the append-only directory: as made, and after an odd number of conversions."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """How a folder's server was made.

    Attributes:
        modules: What its modules call themselves, in the order of loading.
        appended: Which directory beneath the server's own holds its append-only file.
        recorded: The text that it was read from; empty if it was not read.
    """

    modules: tuple[str, ...] = ()
    appended: str = APPENDED[0]
    recorded: str = field(default="", compare=False)

    @property
    def has_search(self) -> bool:
        """Whether the server was made with the query engine."""
        return bool(self.modules)

    @property
    def module_files(self) -> tuple[Path, ...]:
        """The modules' files.

        Raises:
            ConfigError: they are not installed.
        """
        return search_files() if self.has_search else ()

    def text(self) -> str:
        """The manifest as it is written."""
        manifest: dict[str, Any] = {"format": FORMAT, "modules": list(self.modules)}
        if self.appended != APPENDED[0]:
            manifest["appended"] = self.appended
        return json.dumps(manifest) + "\n"


def settled_manifest(folder: Path, search: Search) -> Manifest:
    """Return how a folder's server was made, and make the manifest of a folder that is new.

    Args:
        folder: the folder, which is there.
        search: whether the caller asks for the query engine.

    Raises:
        ConfigError: the server was made otherwise than asked, with modules that are not
            installed, or in a format not known here.
        OSError: the manifest cannot be read or written.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        manifest = new_manifest(search)
        _make(folder, manifest)
        manifest = read_manifest(folder) or manifest
    _check(folder, manifest, search)
    return manifest


def new_manifest(search: Search) -> Manifest:
    """Return how the server of a new folder is made.

    Raises:
        ConfigError: the query engine is asked for and not installed, or its package is damaged.
    """
    wanted = search_installed() if search == "auto" else search
    manifest = Manifest(SEARCH_MODULES if wanted else ())
    _ = manifest.module_files  # nothing is made that could not be served
    return manifest


def read_manifest(folder: Path) -> Manifest | None:
    """Return how a folder's server was made; None if there is no manifest.

    Raises:
        ConfigError: it is damaged, or with modules that are not known here.
        NewerFormat: a newer version made it.
        OSError: it cannot be read.
    """
    path = folder / keeper.MANIFEST
    try:
        recorded = path.read_bytes().decode()
        found = json.loads(recorded)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError) as problem:
        raise ConfigError(f"{path} is not the record of an embedded server: {problem}") from problem
    number = found.get("format") if isinstance(found, dict) else None
    if type(number) is int and number > FORMAT:
        raise newer(f"the embedded server in {folder}", number, FORMAT)
    for modules in ((), SEARCH_MODULES):
        for appended in APPENDED:
            manifest = Manifest(modules, appended, recorded)
            if found == json.loads(manifest.text()):
                return manifest
    raise ConfigError(
        f"{path} says that its server was made with {found!r:.200}, and this installation "
        f"serves format {FORMAT} without modules or, with the `search` extra, with "
        f"{list(SEARCH_MODULES)}: "
        "upgrade the package with: pip install --upgrade 'agent-memory[search]'"
    )


def replace_manifest(folder: Path, manifest: Manifest, scratch: Path) -> None:
    """Put another manifest in force, whole and on disk or not at all.

    Args:
        folder: whose manifest.
        manifest: the new one.
        scratch: a directory on the same file system, for the draft.

    Raises:
        OSError: it cannot be written.
    """
    _draft(scratch, manifest).replace(folder / keeper.MANIFEST)
    sync_directory(folder)


def sync_directory(path: Path) -> None:
    """Bring to disk which names a directory holds.

    Raises:
        OSError: it cannot be opened or synced.
    """
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def clear_leftovers(folder: Path, manifest: Manifest) -> None:
    """Remove what one that was killed left behind; nobody may be converting now."""
    for draft in folder.glob(f"{keeper.MANIFEST}.*"):
        # Should another process be at it this moment, it finds the manifest made.
        draft.unlink(missing_ok=True)
    for leftover in _leftovers(folder, manifest):
        _remove(leftover)


def leftovers(folder: Path) -> list[Path]:
    """Remove what a conversion left behind, and give what cannot be removed."""
    manifest = read_manifest(folder)
    if manifest is None:
        return []
    clear_leftovers(folder, manifest)
    return [left for left in _leftovers(folder, manifest) if left.exists()]


def _leftovers(folder: Path, manifest: Manifest) -> list[Path]:
    (other,) = set(APPENDED) - {manifest.appended}
    return [folder / keeper.SCRATCH, folder / keeper.SERVER_DIR / other]


def convert_command(folder: Path, *, search: bool) -> str:
    """The command that converts a folder."""
    flag = "--search" if search else "--no-search"
    return f"agent-memory convert --path {shlex.quote(str(folder))} {flag}"


def _remove(directory: Path) -> None:
    # The server of a conversion that was just killed may write there for some 0.1 s. Whatever
    # cannot be removed is removed the next time, and read by nobody.
    deadline = time.monotonic() + _REMOVAL_PATIENCE
    while directory.exists():
        shutil.rmtree(directory, ignore_errors=True)
        if time.monotonic() > deadline:
            return
        time.sleep(0.005)


def _make(folder: Path, manifest: Manifest) -> None:
    draft, path = _draft(folder, manifest), folder / keeper.MANIFEST
    # Linked, not renamed: of several that make the folder at once, the first decides for all. Its
    # draft is gone where another has decided and cleared what seemed left behind.
    try:
        path.hardlink_to(draft)
    except (FileExistsError, FileNotFoundError):
        pass
    except OSError as error:
        raise_if_interrupted(error)
        # A file system without links: the last decides, and the others find out.
        with suppress(FileNotFoundError):
            draft.replace(path)
        return
    draft.unlink(missing_ok=True)


def _draft(directory: Path, manifest: Manifest) -> Path:
    path = directory / f"{keeper.MANIFEST}.{os.getpid()}-{threading.get_ident()}"
    with make_private(path).open("w") as draft:
        draft.write(manifest.text())
        draft.flush()
        os.fsync(draft.fileno())
    return path


def _check(folder: Path, manifest: Manifest, search: Search) -> None:
    if search is True and not manifest.has_search:
        raise ConfigError(
            f"search: the memory in {folder} was made without the query engine, and one is asked "
            f"for: convert it with: {convert_command(folder, search=True)} (needs the `search` "
            f"extra: {GET_SEARCH}), or leave search out to open it as it is"
        )
    if search is False and manifest.has_search:
        raise ConfigError(
            f"search: the memory in {folder} was made with the query engine of the `search` extra, "
            "without which its file cannot be read: convert it with: "
            f"{convert_command(folder, search=False)}, or leave search out to open it as it is"
        )
    try:
        _ = manifest.module_files
    except ConfigError as problem:
        raise ConfigError(
            f"the memory in {folder} was made with the query engine ({', '.join(SEARCH_MODULES)}): "
            f"{problem}; where it is installed, {convert_command(folder, search=False)} makes the "
            "folder one that needs no extra"
        ) from problem
