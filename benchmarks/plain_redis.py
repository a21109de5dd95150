"""What someone would write without this package: redis-py, a hash an entry and its indexes.

The same bytes, keys and commands that the repositories end up with, at the same durability, on
the same server; the values are ready beforehand, so that nothing but the client is measured.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgpack
import numpy as np
import redis
from numpy.typing import NDArray

from agent_memory import AgentMemorySystem, MemoryConfig
from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.embedded.server import EmbeddedServer
from agent_memory.models.redis import FIELDS, agent_prefix, entry_to_values
from agent_memory.values.entry import MemoryEntry
from agent_memory.values.sealing import unsealed

NAMESPACE = "plain"


@contextmanager
def memory_and_client() -> Iterator[tuple[AgentMemorySystem, redis.Redis, str]]:
    """A memory that nothing leaves, a plain client of its server, and the server's socket."""
    with TemporaryDirectory() as folder:
        config = MemoryConfig(
            path=Path(folder),
            engine="embedded",
            search=False,
            cleanup_interval=10**9,
            stm_config={"memory_limit": 10**9},
        )
        with AgentMemorySystem(config) as system, EmbeddedServer.open(Path(folder)) as server:
            client = redis.Redis(unix_socket_path=server.socket_path)
            yield system, client, server.socket_path
            client.close()


def ready_hash(entry: MemoryEntry) -> dict[Any, Any]:
    """The hash of an entry, its contents encoded."""
    contents = ContentsCodec().encode(entry)
    values = zip(FIELDS, entry_to_values(entry, contents), strict=True)
    return {name: value for name, value in values if value not in ("", b"")}


def store_one(client: redis.Redis, stored: dict[Any, Any]) -> None:
    """Store one entry and its indexes in a MULTI."""
    prefix = agent_prefix(NAMESPACE, stored["run_id"], stored["agent_id"])
    memory_id = stored["memory_id"]
    with client.pipeline(transaction=True) as pipe:
        pipe.hset(prefix + memory_id, mapping=stored)
        pipe.zadd(prefix + "steps", {memory_id: stored["step_number"]})
        pipe.zadd(prefix + "times", {memory_id: stored["timestamp"]})
        pipe.zadd(prefix + f"type:{stored['memory_type']}", {memory_id: stored["timestamp"]})
        pipe.zadd(prefix + "importance", {memory_id: stored["importance_score"]})
        pipe.zadd(f"{NAMESPACE}:agents:{stored['run_id']}", {stored["agent_id"]: time.time()})
        pipe.execute()


def store_grouped(
    client: redis.Redis, batch: Sequence[dict[Any, Any]], namespace: str = NAMESPACE
) -> None:
    """Store entries of one agent in a MULTI whose index commands take all members at once."""
    first = batch[0]
    prefix = agent_prefix(namespace, first["run_id"], first["agent_id"])
    times = {stored["memory_id"]: stored["timestamp"] for stored in batch}
    with client.pipeline(transaction=True) as pipe:
        for stored in batch:
            pipe.hset(prefix + stored["memory_id"], mapping=stored)
        pipe.zadd(prefix + "steps", {one["memory_id"]: one["step_number"] for one in batch})
        pipe.zadd(prefix + "times", times)
        pipe.zadd(prefix + f"type:{first['memory_type']}", times)
        pipe.zadd(
            prefix + "importance", {one["memory_id"]: one["importance_score"] for one in batch}
        )
        pipe.zadd(f"{namespace}:agents:{first['run_id']}", {first["agent_id"]: time.time()})
        pipe.execute()


class PlainNearest:
    """The nearest of an agent's vectors, which are all in this process, and their hashes.

    One pipeline reads the last record of the log and the hashes; nothing is checked.

    Args:
        client: The server.
        prefix: What the keys of the agent begin with.
        entries: What is stored there.
        count: How many are asked for.
    """

    def __init__(
        self, client: redis.Redis, prefix: str, entries: Sequence[MemoryEntry], count: int
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._names = [entry.memory_id for entry in entries]
        rows = np.array([entry.embedding for entry in entries], np.float32)
        self._units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        self._count = count

    def ask(self, vector: NDArray[np.float32]) -> list[tuple[Any, ...]]:
        """Hash, contents, vector and cosine of each of the nearest."""
        cosines = self._units @ (vector / np.linalg.norm(vector))
        best = np.argpartition(-cosines, self._count)[: self._count]
        best = best[np.argsort(-cosines[best])]
        with self._client.pipeline(transaction=False) as pipe:
            pipe.xrevrange(f"{self._prefix}changes", count=1)
            for place in best:
                pipe.hgetall(self._prefix + self._names[place])
            _, *hashes = pipe.execute()
        return [
            (
                stored,
                msgpack.unpackb(unsealed(stored[b"contents"])),
                np.frombuffer(stored[b"embedding"], "<f4"),
                float(cosines[place]),
            )
            for stored, place in zip(hashes, best, strict=True)
        ]
