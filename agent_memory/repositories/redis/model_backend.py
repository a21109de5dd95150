"""What a Redis-OM model of entries is bound to: a tier's repository and the query engine."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.connections.redis.cluster_channel import ClusterChannel
from agent_memory.errors import EntriesWaiting, MemoryClosed, QueryEngineMissing
from agent_memory.repositories.codec import Codec
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.redis.tier_search import EXACTLY, TierSearch


class ModelBackend:
    """Sends what Redis-OM asks on the tier's own channel.

    So models share the repositories' connections, their reconnecting and their errors. Redis-OM
    gets bytes, which its own client would have to decode.

    Args:
        store: The repository of the tier.
        search: Its indexes, and the channel to the server.
        codec: Codes its contents.
        is_waited_for: Tells whether entries wait to be stored in the tier.
    """

    def __init__(
        self,
        store: MemoryRepository,
        search: TierSearch,
        codec: Codec,
        is_waited_for: Callable[[], bool] = lambda: False,
    ) -> None:
        self.store = store
        self.search = search
        self.decode = codec.decode
        self._channel = search.channel
        self._is_waited_for = is_waited_for
        self._is_closed = False
        self._is_spread = isinstance(search.channel, ClusterChannel)

    @property
    def namespace(self) -> str:
        """What the keys of entries begin with."""
        return self.search.namespace

    @property
    def alias(self) -> str:
        """The index that queries go to."""
        return self.search.entries.alias

    @property
    def definition(self) -> Sequence[str]:
        """The fields of that index, as FT.CREATE takes them."""
        return self.search.entries.definition.arguments

    @property
    def attributes(self) -> Sequence[str]:
        """The declared attributes that the index holds."""
        return self.search.entries.definition.attributes

    def close(self) -> None:
        """Answer no more, when the memory is closed."""
        self._is_closed = True

    def check_open(self) -> None:
        """See that the memory is open.

        Raises:
            MemoryClosed: It is closed.
        """
        if self._is_closed:
            raise MemoryClosed(
                "the memory of this model is closed, and nothing was stored or read: open it "
                "again, and take the model from its models"
            )

    def ensure(self, *, vectors: bool = False) -> None:
        """See that queries can be answered, of vectors or of all else; else raises.

        Raises:
            QueryEngineMissing, SearchIndexError, StoreUnavailable: See ``SearchIndex.ensure``.
        """
        self._check_one_server()
        (self.search.vectors if vectors else self.search.entries).ensure()

    def warn_of_waiting(self) -> None:
        """Warn the caller's caller with ``EntriesWaiting`` where entries wait for this tier."""
        if self._is_waited_for():
            warnings.warn(
                f"entries wait in the spool to be stored in {self.namespace}, and its model does "
                "not see them before: ask with recall, which does, or call maintain() first; "
                "status.spool says how many wait",
                EntriesWaiting,
                stacklevel=3,
            )

    def _check_one_server(self) -> None:
        if self._is_spread:
            raise QueryEngineMissing(
                f"{self._channel.where}: models of Redis-OM are not served on a cluster; ask by "
                "recall() or the repositories"
            )

    def execute_command(self, *command: Any) -> Any:
        """Send a command as Redis-OM writes it, and give the answer in bytes.

        Raises:
            MemoryClosed: The memory is closed.
            QueryEngineMissing: The memory is on a cluster.
        """
        self.check_open()
        self._check_one_server()
        if command[0] == "FT.SEARCH":
            return self.search.entries.ask((*command, *EXACTLY))
        return self._channel.call(*command)

    def nearest(
        self, condition: str, vector: NDArray[np.float32], k: int
    ) -> list[tuple[str, float]]:
        """The keys of the entries nearest to a vector, and their distances."""
        return [(key, far) for key, far in self.search.nearest(condition, (), vector, k)]

    def hashes(self, keys: Sequence[str]) -> list[dict[bytes, bytes]]:
        """The hashes under these keys, empty where there is none."""
        self._check_one_server()
        replies = self._channel.call_all([("HGETALL", key) for key in keys])
        return [dict(zip(reply[::2], reply[1::2], strict=True)) for reply in replies]

    def fields(self, keys: Sequence[str], names: Sequence[str]) -> list[dict[bytes, bytes]]:
        """Of the hashes under these keys the fields of these names that they have."""
        self._check_one_server()
        spelled = [name.encode() for name in names]
        replies = self._channel.call_all([("HMGET", key, *spelled) for key in keys])
        return [
            {name: value for name, value in zip(spelled, reply, strict=True) if value is not None}
            for reply in replies
        ]
