"""Every error this package raises.

    MemoryStoreError                    root: catch it to catch them all
    +-- ConfigError(ValueError)         a configuration that cannot be used
    +-- InvalidEntry(ValueError)        an entry or argument that cannot be stored
    |   +-- InvalidCall(TypeError)      a call with arguments that there are not
    +-- EmbedderError                   a model of the user's own gives no vectors
    +-- EncodingError(ValueError)       stored bytes that cannot be read back
    |   +-- NewerFormat                 they were stored by a newer version of the package
    +-- EntryNotFound(KeyError)         no entry under that key
    +-- EncoderNotFound(KeyError)       no version of the encoder under that number
    +-- EntryConflict                   the entry was changed by someone else meanwhile
    |   +-- RunConflict                 the run is there already, or was begun with other parameters
    +-- EncoderInUse                    stored entries need the version of the encoder
    +-- SchemaOutOfDate                 the long-term schema is older or newer than the code
    +-- EntriesWouldBeLost              a downgrade of the schema would drop stored entries
    +-- MemoryClosed                    a call to a memory that was closed
    +-- MemoryNotEmpty                  a backup was to be restored into what holds entries already
    +-- NotAllStored                    some of what a batch had gathered is not stored
    +-- RunHasForks                     other runs were forked from the one to be forgotten
    +-- StoreReadOnly                   a write to a store that was opened read-only
    +-- StoreUnavailable                the server, file or folder does not answer
    |   +-- StoreReplaced               its folder or file was deleted, moved or replaced meanwhile
    |   +-- CommandRefused              the server answers a command with an error
    |       +-- WritesRefused           the store takes no writes at present
    |           +-- StoreFull           there is no room for them: on the disk, or in memory
    +-- QueryEngineMissing              the server has no query engine
    +-- SearchIndexError                an index of the query engine cannot be used
        +-- IndexConflict               something else stands under its name
        +-- IndexBuilding               it does not hold every entry yet

And one that is only warned of:

    EntriesWaiting(UserWarning)         entries wait in the spool, which a model does not see

Each says what happened, where, and how to mend it. Those with a builtin in brackets can be
caught as that builtin too. Errors of drivers are translated in one place per engine and are
kept as ``__cause__``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class MemoryStoreError(Exception):
    """Root of all errors of this package.

    Examples:
        >>> from agent_memory import InvalidEntry, MemoryStoreError
        >>> issubclass(InvalidEntry, MemoryStoreError) and issubclass(InvalidEntry, ValueError)
        True
    """


class MemoryClosed(MemoryStoreError):
    """A call to a memory after ``close()``; nothing was stored or read."""


class ConfigError(MemoryStoreError, ValueError):
    """A configuration that cannot be used: an unknown key, a bad value, two that disagree."""


class InvalidEntry(MemoryStoreError, ValueError):
    """An entry or an argument that cannot be stored; nothing was written."""


class InvalidCall(InvalidEntry, TypeError):
    """A call whose arguments do not fit; nothing was done. The message says what was meant.

    Examples:
        >>> from agent_memory import InvalidEntry, Query
        >>> try:
        ...     Query(step=5)  # type: ignore[call-arg]
        ... except InvalidEntry as error:
        ...     print(str(error)[:49])
        Query: there is no argument step; write steps=...
    """


class EmbedderError(MemoryStoreError):
    """A model of the user's own raises, or gives no finite vectors of its width.

    Nothing was stored. The message names the first entry that it fails for, and what the model
    raised is ``__cause__``.
    """


class EncodingError(MemoryStoreError, ValueError):
    """Stored bytes that cannot be read back; the other entries stay readable."""


class NewerFormat(EncodingError):
    """A newer version of the package stored this; nothing is damaged, and it is left as it is.

    The message names the number of its format, the newest that this version reads, and the
    command that upgrades the package.
    """


class EntryNotFound(MemoryStoreError, KeyError):
    """No entry is stored under that key."""

    def __str__(self) -> str:
        # KeyError shows its argument's repr, which would put the whole sentence in quotes.
        return str(self.args[0]) if self.args else ""


class EncoderInUse(MemoryStoreError):
    """Stored entries need the version of the encoder, or new ones are encoded with it."""


class EncoderNotFound(MemoryStoreError, KeyError):
    """No version of the encoder is registered under that number."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class EntryConflict(MemoryStoreError):
    """The stored entry has another revision than the one the caller has seen."""


class RunConflict(EntryConflict):
    """A run is there already, or was begun with another seed or other parameters."""


class SchemaOutOfDate(MemoryStoreError):
    """The schema of long-term memory does not fit the code; the message names the command."""


class EntriesWouldBeLost(MemoryStoreError):
    """A downgrade of the schema would drop tables that hold entries; nothing was changed."""


class MemoryNotEmpty(MemoryStoreError):
    """The memory that a backup was to be restored into holds something; nothing was changed."""


class NotAllStored(MemoryStoreError):
    """Some of what a batch had gathered is not stored; the rest is.

    Attributes:
        refused: By ``EntryKey``, why an entry is not stored.
    """

    def __init__(self, message: str, refused: Mapping[Any, MemoryStoreError]) -> None:
        super().__init__(message)
        self.refused = refused

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with what was refused."""
        return (type(self), (*self.args, dict(self.refused)))


class RunHasForks(MemoryStoreError):
    """Other runs were forked from the run that was to be forgotten; the message names them."""


class StoreReadOnly(MemoryStoreError):
    """A write was asked of a store that was opened with ``read_only=True``."""


class StoreUnavailable(MemoryStoreError):
    """The server, file or folder does not answer, or refuses to take writes."""


class StoreReplaced(StoreUnavailable):
    """The folder or file of an open memory was deleted, moved or replaced beneath it.

    What is written there now, another opening would not find: nothing is acknowledged any more.
    Close the memory, put the folder or file back, and open it again.
    """


class CommandRefused(StoreUnavailable):
    """The server answers, and what it answers a command with is an error."""


class WritesRefused(CommandRefused):
    """The server takes no writes at present: it is out of memory, cannot persist, is a replica."""


class StoreFull(WritesRefused):
    """There is no room for what was to be written: on the disk, or in the server's memory.

    What was to be stored is not acknowledged. The message says which file system is full, how much
    is free there, and how to mend it.
    """


class QueryEngineMissing(MemoryStoreError):
    """The server carries no query engine, or the database no pgvector, which this call needs."""


class SearchIndexError(MemoryStoreError):
    """An index of the query engine cannot be used; entries and their storing are not affected."""


class IndexConflict(SearchIndexError):
    """Under the name of an index stands one that somebody else made; the message mends it."""


class IndexBuilding(SearchIndexError):
    """The index does not hold every entry yet; the same call succeeds once it does."""


class EntriesWaiting(UserWarning):
    """Entries wait in the spool for short-term memory, and its model does not see them.

    ``recall`` answers with them. The model sees them once they are stored.

    Examples:
        >>> import warnings
        >>> from agent_memory import EntriesWaiting
        >>> warnings.simplefilter("ignore", EntriesWaiting)  # of models that may miss the newest
    """
