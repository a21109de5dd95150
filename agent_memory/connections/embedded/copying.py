"""Reads all that an embedded server holds, counts it, and writes it into another one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

from agent_memory.connections.embedded.server import EmbeddedServer
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.clients import open_redis
from agent_memory.connections.redis.engine import RedisEngine

__all__ = ["ServerContents"]

# Small, since an entry may take 16 MiB and all of a batch is in memory at once.
_BATCH: Final = 100  # keys

# What counts a value's elements, by the type that the server gives; other types are of modules.
_LENGTHS: Final = {
    b"string": "STRLEN",
    b"list": "LLEN",
    b"set": "SCARD",
    b"zset": "ZCARD",
    b"hash": "HLEN",
    b"stream": "XLEN",
}


class ServerContents:
    """All databases of one embedded server; a context manager, which closes its connections.

    Args:
        server: the server, which nobody else uses.
    """

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server
        self._opened = ExitStack()
        self._channels: dict[int, RedisChannel] = {}

    @property
    def engine(self) -> RedisEngine:
        """What the server is and can do."""
        return self._channel(0).engine

    def indexes(self) -> tuple[str, ...]:
        """Names of the query engine's indexes, sorted; none without a query engine."""
        if not self.engine.has_query_engine:
            return ()
        return tuple(sorted(name.decode() for name in self._channel(0).call("FT._LIST")))

    def module_keys(self) -> list[tuple[str, bytes]]:
        """Type and name of each key whose value only a server with some module can hold."""
        return [
            (kind.decode(), key)
            for channel, keys in self._batches()
            for kind, key in zip(_types(channel, keys), keys, strict=True)
            if kind not in _LENGTHS and kind != b"none"
        ]

    def totals(self) -> Counter[tuple[int, str, str]]:
        """How many keys there are of each type, and how many elements in them, by database."""
        counted: Counter[tuple[int, str, str]] = Counter()
        for database, channel in self._databases():
            for keys in _scan(channel):
                kinds = _types(channel, keys)
                lengths = [
                    (_LENGTHS[kind], key)
                    for kind, key in zip(kinds, keys, strict=True)
                    if kind in _LENGTHS
                ]
                counted.update((database, kind.decode(), "keys") for kind in kinds)
                for (command, _), length in zip(lengths, channel.call_all(lengths), strict=True):
                    counted[database, command, "elements"] += length
        return counted

    def copy_to(self, other: ServerContents) -> None:
        """Write every key, with the time at which it expires, and every function into another.

        Raises:
            StoreUnavailable: one of the servers does not answer, or refuses a value.
        """
        for database, channel in self._databases():
            for keys in _scan(channel):
                dumped = channel.call_all([("DUMP", key) for key in keys])
                expires = channel.call_all([("PEXPIRETIME", key) for key in keys])
                other._channel(database).call_all(
                    [
                        ("RESTORE", key, max(at, 0), payload, "REPLACE", "ABSTTL")
                        for key, payload, at in zip(keys, dumped, expires, strict=True)
                        if payload is not None
                    ]
                )
        functions = self._channel(0).call("FUNCTION", "DUMP")
        other._channel(0).call("FUNCTION", "RESTORE", functions, "REPLACE")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened.close()

    def _databases(self) -> Iterator[tuple[int, RedisChannel]]:
        """The databases that hold keys."""
        keyspace = self._channel(0).call("INFO", "keyspace").decode()
        for number in re.findall(r"^db(\d+):", keyspace, re.MULTILINE):
            yield int(number), self._channel(int(number))

    def _batches(self) -> Iterator[tuple[RedisChannel, list[bytes]]]:
        for _, channel in self._databases():
            for keys in _scan(channel):
                yield channel, keys

    def _channel(self, database: int) -> RedisChannel:
        if database not in self._channels:
            client = open_redis(f"unix://{self._server.socket_path}", database)
            where = f"the embedded server in {self._server.folder}"
            channel = RedisChannel(client, where, kind="embedded")
            self._opened.callback(channel.close)
            self._channels[database] = channel
        return self._channels[database]


def _scan(channel: RedisChannel) -> Iterator[list[bytes]]:
    cursor = b"0"
    while True:
        cursor, keys = channel.call("SCAN", cursor, "COUNT", _BATCH)
        # A key may be given twice while the server resizes its table, but not within one batch.
        if keys:
            yield keys
        if cursor == b"0":
            return


def _types(channel: RedisChannel, keys: Sequence[bytes]) -> list[bytes]:
    return channel.call_all([("TYPE", key) for key in keys])
