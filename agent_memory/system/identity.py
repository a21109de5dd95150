"""Which server and which database belong together: a random id that is recorded in both.

Two programs that use one server with two databases would each move a part of the entries into
its own, and each would call its half sound. So the database of a memory and its namespaces on
the server name each other by an id, whatever they are called and wherever they are moved; whoever
opens a memory with another database, server, prefix or namespace is refused.
"""

from __future__ import annotations

import logging
import platform
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from agent_memory.config import MemoryConfig
from agent_memory.connections.deployment import Deployment, database_file
from agent_memory.connections.folder_record import check_settings, recorded_settings
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.serving import Connector, connector
from agent_memory.connections.sql import SqlEngine, open_engine
from agent_memory.errors import ConfigError, MemoryStoreError, StoreUnavailable, WritesRefused
from agent_memory.repositories.redis.identity import NamespaceRecord
from agent_memory.repositories.sql.identity import DatabaseRecord
from agent_memory.system.beneath import Connections
from agent_memory.values.formats import FORMAT, MEMORY
from agent_memory.values.urls import sqlite_url, without_database, without_password

_ID = "id"
_DATABASE = "database"
_HOST = "host"
_BUCKETS = "buckets"
_SETTINGS = "settings"
_DB = "db "  # and its number: what notes that a namespace is in another database
_logger = logging.getLogger("agent_memory")


class MemoryIdentity:
    """The identity of one memory, recorded in its database and in its namespaces on the server.

    Args:
        config: The configuration.
        where: Where that says the memory lives.
        connections: The servers.
        connect: Opens channels to other databases of the server.
    """

    def __init__(
        self,
        config: MemoryConfig,
        where: Deployment,
        connections: Connections,
        connect: Connector,
    ) -> None:
        self._config = config
        self._where = where
        self._connections = connections
        self._connect = connect
        self._prefix = config.ltm_config.table_prefix
        self._database = DatabaseRecord(connections.sql_engine, self._prefix)
        stm, im = config.stm_config, config.im_config
        self._namespaces = (
            NamespaceRecord(connections.stm, stm.namespace, connections.buckets),
            NamespaceRecord(connections.im, im.namespace, connections.buckets),
        )
        self._names = _names(config, *(namespace.db for namespace in self._namespaces))
        if connections.buckets:
            self._names[_BUCKETS] = str(connections.buckets)
        in_file, file = database_file(where.ltm_url)
        self._passes = in_file and file is None  # with the process
        self._id: str | None = None
        self._settings = ""

    @property
    def id(self) -> str | None:
        """The id, once it is settled; None of a memory that has none."""
        return self._id

    def settle(self, *, read_only: bool) -> None:
        """See that server and database belong together, and record it if nothing is recorded.

        Args:
            read_only: Whether nothing may be written.

        Raises:
            ConfigError: They do not, or the memory was made with other names.
            NewerFormat: A newer version made one of them.
            StoreUnavailable: The server or the database does not answer.
        """
        if self._where.engine == "fake":
            return  # it serves this process alone
        recorded = {} if self._passes else self._database.read()
        made = self._recovered(recorded)
        self._check(made)
        check_settings(self._config, made.get(_SETTINGS), self._database.place)
        self._check_index(made.get(_ID))
        self._settings = made.get(_SETTINGS, "")
        if read_only or self._passes:
            self._id = made.get(_ID)
            return
        self._record(recorded, made.get(_ID))

    def check(self) -> None:
        """See whether the memory could be opened for writing, and record nothing.

        Raises:
            ConfigError: Server and database do not belong together, or the query engine would put
                the entries of another memory into one index with these.
            NewerFormat: A newer version made one of them.
            StoreUnavailable: The server or the database does not answer.
        """
        self.settle(read_only=True)
        with self._indexed_elsewhere() as indexed:
            for record, namespace in indexed:
                self._check_indexed(record, namespace, self._id or "")

    def record_settings(self, settings: str) -> None:
        """Record the present settings, which may change from one opening to the next.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        if self._id is not None and settings != self._settings:
            self._database.put({_SETTINGS: settings})

    def confirm(self) -> None:
        """See that the server still is the one of this memory, as while upkeep moves entries.

        Raises:
            ConfigError: It belongs to another database by now.
            StoreUnavailable: The server does not answer.
        """
        if self._id is not None:
            with suppress(WritesRefused):
                self._claim(self._id)

    def bind(self) -> None:
        """Say that server and database belong together from now on, whatever is recorded.

        Raises:
            ConfigError: What would be recorded outlasts nothing.
            StoreUnavailable: The server or the database does not answer.
        """
        if self._where.engine == "fake" or self._passes:
            raise ConfigError("a server or a database within the process belongs to no memory")
        made = self._database.read()
        self._id = made.get(_ID) or uuid.uuid4().hex
        self._database.put({**self._names, _ID: self._id, FORMAT: str(MEMORY)})
        for namespace in self._namespaces:
            namespace.read()  # which refuses what a newer version made
            namespace.put(self._id, self._place())

    def _check(self, made: Mapping[str, str]) -> None:
        for name, value in self._names.items():
            if made.get(name, value) != value:
                raise ConfigError(
                    f"{name}: the memory in {self._database.place} was made with {made[name]} and "
                    f"is opened with {value}: its entries would be torn apart; open it as it was "
                    "made, or name another database"
                )
        for namespace in self._namespaces:
            held = namespace.read()
            if held.get(_ID) not in (None, made.get(_ID)):
                raise self._torn(namespace, held)
            if held and made.get(_BUCKETS, "0") != str(namespace.buckets):
                where = "one server" if namespace.buckets else "a cluster"
                raise ConfigError(
                    f"{namespace.place}: the memory there was made on {where}, where its keys have "
                    "other names: copy it by agent-memory db copy from the one to the other"
                )
            if held:
                self._check_copy(held)

    def _recovered(self, made: dict[str, str]) -> dict[str, str]:
        """What a database records, with the identity of the folder it was lost from and is new in.

        The folder records where its database is, so that it can be no other's.
        """
        if self._where.engine != "embedded" or _ID in made or self._passes:
            return made
        held = {**self._namespaces[1].read(), **self._namespaces[0].read()}
        if _ID not in held:
            return made
        _logger.warning(
            "the long-term memory of %s is gone, and a new one begins in %s: what it held can be "
            "restored from a backup",
            self._where.path,
            self._database.place,
        )
        return {**made, _ID: held[_ID]}

    def _torn(self, namespace: NamespaceRecord, held: Mapping[str, str]) -> ConfigError:
        other = held.get(_DATABASE, "another database")
        host = held.get(_HOST, "")
        at = f" on {host}" if host not in ("", platform.node()) else ""
        return ConfigError(
            f"{namespace.place} belongs to the long-term memory in {other}{at}, and is opened with "
            f"{self._database.place} (tables {self._prefix}_*): each would hold a part of its "
            "entries. Open it with that database (ltm_url or path), or name another namespace or "
            "server; if that database is gone for good: agent-memory rebind"
        )

    def _check_copy(self, held: Mapping[str, str]) -> None:
        """Refuse a copied database beside its original, which has the same id."""
        ours, theirs = _file(self._where.ltm_url), _file(held.get(_DATABASE, ""))
        if self._where.engine == "embedded" or ours is None or theirs is None:
            return  # a folder is copied with its server
        if held.get(_HOST) != platform.node() or not theirs.is_file():
            return
        if ours.samefile(theirs) or _made(sqlite_url(theirs), self._prefix).get(_ID) != held[_ID]:
            return
        raise ConfigError(
            f"{ours} is a copy of {theirs}, to which {self._namespaces[0].place} belongs: each "
            "would hold a part of its entries. Open it with that database, or name another "
            "namespace or server; if the copy shall take its place, remove the other"
        )

    def _record(self, made: Mapping[str, str], identity: str | None) -> None:
        wanted = {**self._names, _ID: identity or uuid.uuid4().hex}
        if not wanted.items() <= made.items():
            try:
                made = self._database.add(wanted)
            except StoreUnavailable as error:
                if "permission denied" not in str(error):
                    raise
                _logger.warning("the memory's identity cannot be recorded: %s", error)
                return
            self._check(made)  # another process may have come first
        if made.get(FORMAT) != str(MEMORY):
            self._database.put({FORMAT: str(MEMORY)})
        self._id = made[_ID]
        try:
            self._claim(self._id)
            self._note_index(self._id)
        except WritesRefused as error:
            # A server that takes no writes takes no entries either; upkeep claims it then.
            _logger.warning("the memory's identity is not recorded on the server: %s", error)

    # -- the query engine, which puts the keys of every database into the index of database 0 ---

    def _check_index(self, identity: str | None) -> None:
        """See that no other memory's keys get into an index that holds this one's."""
        for namespace in self._namespaces:
            held = namespace.read() if namespace.db == 0 else {}
            others = [
                name for name, other in held.items() if name.startswith(_DB) and other != identity
            ]
            if others and self._connections.redis_engine.has_query_engine:
                raise ConfigError(
                    f"the query engine would find entries of another memory, in {', '.join(others)}"
                    f", among those of {namespace.place}: name another namespace; if that memory "
                    f"is gone for good, send the server: HDEL {namespace.key} '{others[0]}'"
                )

    def _note_index(self, identity: str) -> None:
        """Note in database 0 that a namespace of this memory lies in another one."""
        with self._indexed_elsewhere() as indexed:
            for record, namespace in indexed:
                note = {f"{_DB}{namespace.db}": identity}
                self._check_indexed(record, namespace, identity)
                if not note.items() <= record.read().items():
                    record.note(note)
                    self._check_indexed(record, namespace, identity)

    @contextmanager
    def _indexed_elsewhere(self) -> Iterator[list[tuple[NamespaceRecord, NamespaceRecord]]]:
        """The namespaces beyond database 0 of a query engine, each after its like in database 0."""
        beyond = [namespace for namespace in self._namespaces if namespace.db != 0]
        if not beyond or not self._connections.redis_engine.has_query_engine:
            yield []
            return
        with self._first_database() as channel:
            yield [(NamespaceRecord(channel, one.namespace), one) for one in beyond]

    @contextmanager
    def _first_database(self) -> Iterator[RedisChannel]:
        """A channel to database 0, whichever the URL of the server names."""
        where = self._where
        if where.redis_url is None:
            with closing(self._connect(0)) as channel:
                yield channel
            return
        with ExitStack() as opened:
            yield connector(opened, replace(where, redis_url=without_database(where.redis_url)))(0)

    def _check_indexed(
        self, indexed: NamespaceRecord, namespace: NamespaceRecord, identity: str
    ) -> None:
        if indexed.is_taken(identity):
            raise ConfigError(
                f"{namespace.place} cannot be used beside the memory in database 0: the query "
                "engine would put the entries of both into one index. Name another namespace, or "
                "open it read-only, back it up and restore it under another one"
            )

    def _claim(self, identity: str) -> None:
        for namespace in self._namespaces:
            held = namespace.claim(identity, self._place())
            if held.get(_ID) != identity:
                raise self._torn(namespace, held)

    def _place(self) -> dict[str, str]:
        return {_DATABASE: self._database.place, _HOST: platform.node(), FORMAT: str(MEMORY)}


def recorded_identity(sql_engine: SqlEngine, table_prefix: str) -> str | None:
    """The identity that a database records; None if it records none.

    Raises:
        StoreUnavailable: It does not answer.
    """
    return DatabaseRecord(sql_engine, table_prefix).read().get(_ID)


def identity_of(config: MemoryConfig, where: Deployment) -> str | None:
    """The identity of a memory that is not open; None if it has none or cannot be read."""
    return _made(where.ltm_url, config.ltm_config.table_prefix).get(_ID)


def as_recorded(config: MemoryConfig, where: Deployment) -> MemoryConfig:
    """A configuration with the settings and names that the memory it names was last opened with.

    Args:
        config: It says where the memory lives.
        where: The same, settled.

    Raises:
        EncodingError: What is recorded is damaged.
    """
    place = without_password(where.ltm_url)
    made = _made(where.ltm_url, config.ltm_config.table_prefix)
    recorded = recorded_settings(made.get(_SETTINGS), place)
    for name in ("stm_config", "im_config"):
        part = recorded.setdefault(name, {})
        if f"{name}.namespace" in made:
            part["namespace"] = made[f"{name}.namespace"]
        if made.get(f"{name}.db", "").isdigit():
            part["db"] = int(made[f"{name}.db"])
    given = config.model_dump(exclude_unset=True)
    return MemoryConfig(**recorded, **given)


def _names(config: MemoryConfig, stm_db: int, im_db: int) -> dict[str, str]:
    """What a memory is made with, and must be opened with."""
    return {
        "stm_config.db": str(stm_db),
        "stm_config.namespace": config.stm_config.namespace,
        "im_config.db": str(im_db),
        "im_config.namespace": config.im_config.namespace,
    }


def _file(url: str) -> Path | None:
    return database_file(url)[1]


def _made(url: str, table_prefix: str) -> dict[str, str]:
    """What a database records that may not be open; nothing if it cannot be read."""
    try:
        engine: SqlEngine = open_engine(url, read_only=True)
    except MemoryStoreError:
        return {}
    try:
        return DatabaseRecord(engine, table_prefix).read()
    except MemoryStoreError:
        return {}
    finally:
        engine.dispose()
