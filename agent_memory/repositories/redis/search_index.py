"""An index of the query engine on a server: made when first needed, replaced without a gap.

Queries go to an alias. The name of the index behind it carries the digest of its definition. An
index of another definition is built beside it and waited for; then the alias is moved to it, and
the old index is dropped, which leaves the entries where they are. At no moment does a query fail,
or get an answer from half an index.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.commands import Command
from agent_memory.errors import (
    CommandRefused,
    IndexBuilding,
    IndexConflict,
    QueryEngineMissing,
    SearchIndexError,
)
from agent_memory.models.redis_search_schema import IndexDefinition, IndexState
from agent_memory.values.forking import after_fork

PATIENCE = 60.0
"""How long to wait for an index to be built, in seconds; 100,000 entries take about 10."""

# Another process may drop what this one is about to use, but each process does so once at most.
_ATTEMPTS = 3
_FIRST_PAUSE = 0.005  # seconds between two looks at an index that is being built
_LONGEST_PAUSE = 0.1  # seconds

# How servers say it, old and new.
_NO_INDEX = ("no such index", "unknown index name", "index_not_found")
_IS_THERE = ("already exists", "index_exists")
_NO_ENGINE = ("unknown command",)
_OTHER_DATABASE = ("on db != 0",)


class SearchIndex:
    """One index of the query engine; threads and processes may share it.

    Args:
        channel: The server.
        definition: What the index is to hold.
        read_only: Never make or change the index, only use it.
        patience: How long to wait for an index to be built, in seconds.
        sleep: Waits for so many seconds.
    """

    def __init__(
        self,
        channel: RedisChannel,
        definition: IndexDefinition,
        *,
        read_only: bool = False,
        patience: float = PATIENCE,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._channel = channel
        self.definition = definition
        self._read_only = read_only
        self._patience = patience
        self._sleep = sleep
        self._ready = False
        self._unlock()
        after_fork(self._unlock)

    @property
    def alias(self) -> str:
        """The name to query."""
        return self.definition.alias

    @property
    def stands(self) -> bool:
        """Whether there is an index under the name, complete or not."""
        return self._state(self.alias) is not None

    def documents(self) -> int | None:
        """How many entries the index holds; None if there is none, or it is being built."""
        state = self._state(self.alias)
        return None if state is None or state.indexed < 1.0 else state.documents

    def ensure(self) -> None:
        """See that the index is there and complete; asks the server once for each object.

        Raises:
            QueryEngineMissing: The server has none, or not for this database.
            IndexConflict: Something else stands under the name.
            IndexBuilding: The index is still being built after ``patience`` seconds.
            SearchIndexError: There is none, and the memory was opened read-only.
            StoreUnavailable: The server does not answer.
        """
        if self._ready:
            return
        with self._lock:
            if not self._ready:
                self._with_patience_for_others(self._make_current)
                self._ready = True

    def rebuild(self) -> None:
        """Build the index again beside the one there is, and put it in its place.

        Raises:
            QueryEngineMissing, IndexConflict, IndexBuilding, SearchIndexError, StoreUnavailable:
                As for ``ensure``.
        """
        with self._lock:
            self._refuse_if_read_only("rebuilt")
            self._with_patience_for_others(self._replace)
            self._ready = True

    def drop(self) -> None:
        """Drop the index and all that interrupted builds left; the entries stay.

        The next query makes it again.

        Raises:
            QueryEngineMissing, IndexConflict, SearchIndexError, StoreUnavailable: As for
                ``ensure``.
        """
        with self._lock:
            self._refuse_if_read_only("dropped")
            self._current()
            self._ready = False
            for name in self._call("FT._LIST"):
                if name.decode().startswith(f"{self.alias}:"):
                    self._drop(name.decode())

    def ask(self, command: Command) -> Any:
        """Send a query of this index; see ``ask_all``."""
        (reply,) = self.ask_all(command)
        return reply

    def ask_all(self, *commands: Command) -> list[Any]:
        """Send queries of this index in one go; if it was lost meanwhile, make it again first.

        Raises:
            QueryEngineMissing, IndexConflict, IndexBuilding, SearchIndexError, StoreUnavailable:
                As for ``ensure``.
            CommandRefused: The server cannot read a query.
        """
        self.ensure()
        try:
            return self._channel.call_all(commands)
        except CommandRefused as error:
            if not _says(error, _NO_INDEX):
                raise
        # A FLUSHALL takes indexes and aliases with it.
        self._ready = False
        self.ensure()
        return self._channel.call_all(commands)

    # -- making and changing ------------------------------------------------------------------

    def _make_current(self) -> None:
        current = self._current()
        if current is not None and current.name in self.definition.names:
            self._await(current.name)
            return
        self._refuse_if_read_only("made")
        self._put_in_place(self.definition.names[0], current)

    def _replace(self) -> None:
        current = self._current()
        first, second = self.definition.names
        name = second if current is not None and current.name == first else first
        # What an interrupted rebuild left behind may be what is to be mended.
        self._drop(name)
        self._put_in_place(name, current)

    def _put_in_place(self, name: str, current: IndexState | None) -> None:
        self._create(name)
        self._await(name)
        self._call("FT.ALIASUPDATE", self.alias, name)
        if current is not None and current.name != name:
            self._drop(current.name)

    def _create(self, name: str) -> None:
        try:
            self._call("FT.CREATE", name, *self.definition.arguments)
        except CommandRefused as error:
            # Another process was quicker.
            if not _says(error, _IS_THERE):
                raise

    def _drop(self, name: str) -> None:
        try:
            # Without DD, which would delete the entries as well.
            self._call("FT.DROPINDEX", name)
        except CommandRefused as error:
            if not _says(error, _NO_INDEX):
                raise

    def _await(self, name: str) -> None:
        """Wait until an index of ours holds every entry."""
        deadline, pause = time.monotonic() + self._patience, _FIRST_PAUSE
        while True:
            state = self._state(name)
            if state is None:
                raise _Vanished(name)
            if not self.definition.is_of(state):
                raise self._conflict(name, f"FT.DROPINDEX {name}")
            if state.indexed >= 1.0:
                return
            if time.monotonic() > deadline:
                raise IndexBuilding(
                    f"the index {name} on {self._channel.where} holds {state.indexed:.0%} of the "
                    f"entries after {self._patience:g} seconds; FT.INFO {name} shows how far it "
                    "is (percent_indexed): ask again then"
                )
            self._sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _current(self) -> IndexState | None:
        """The index that the alias leads to, which must be one of ours."""
        state = self._state(self.alias)
        if state is None or state.name.startswith(f"{self.alias}:"):
            return state
        if state.name == self.alias:
            raise self._conflict(self.alias, f"FT.DROPINDEX {self.alias}")
        raise self._conflict(self.alias, f"FT.ALIASDEL {self.alias}")

    def _state(self, name: str) -> IndexState | None:
        try:
            return IndexState.of_reply(self._call("FT.INFO", name))
        except CommandRefused as error:
            if _says(error, _NO_INDEX):
                return None
            raise

    # -- talking to the server ----------------------------------------------------------------

    def _call(self, *command: Any) -> Any:
        try:
            return self._channel.call(*command)
        except CommandRefused as error:
            if _says(error, _NO_ENGINE):
                raise QueryEngineMissing(
                    f"{self._channel.where} has no query engine (it does not know {command[0]}); "
                    "use Redis 8 or Redis Stack, or, for the embedded server, "
                    'pip install "agent-memory[search]"; without one, ask the repositories and '
                    "system.recall"
                ) from error
            if _says(error, _OTHER_DATABASE):
                raise QueryEngineMissing(
                    f"the query engine of {self._channel.where} indexes database 0 only; leave db "
                    "at 0 and tell memories apart by namespace"
                ) from error
            raise

    def _with_patience_for_others(self, attempt: Callable[[], None]) -> None:
        for _ in range(_ATTEMPTS - 1):
            try:
                return attempt()
            except _Vanished:
                continue
            except CommandRefused as error:
                if not _says(error, _NO_INDEX):
                    raise
        return attempt()

    def _refuse_if_read_only(self, done: str) -> None:
        if self._read_only:
            raise SearchIndexError(
                f"the index {self.alias} on {self._channel.where} cannot be {done}: the memory was "
                "opened read-only; open it once without read_only and query a model"
            )

    def _conflict(self, name: str, mend: str) -> IndexConflict:
        return IndexConflict(
            f"{name} on {self._channel.where} is an index that another model made, or that holds "
            f"other fields; if nobody needs it, send the server: {mend} (it keeps the entries), "
            "and ask again"
        )

    def _unlock(self) -> None:
        self._lock = threading.Lock()


class _Vanished(SearchIndexError):
    """The index was dropped while it was waited for."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the index {name} is dropped again and again by another process")


def _says(error: Exception, sayings: tuple[str, ...]) -> bool:
    text = str(error.__cause__).lower()
    return any(saying in text for saying in sayings)
