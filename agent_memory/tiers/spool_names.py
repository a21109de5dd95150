"""What tells the entries of one memory from those of others that wait in the same file."""

from __future__ import annotations

from typing import NamedTuple

from agent_memory.config import MemoryConfig
from agent_memory.connections.deployment import Deployment
from agent_memory.values.urls import without_password


def name_of(identity: str) -> str:
    """What the store of a memory is called, wherever its server is and whatever that is called."""
    return f"memory {identity}"


class FormerNames(NamedTuple):
    """What a store was called before memories had an identity; no secrets.

    Attributes:
        own: As this process calls the server, and the names of what is on it.
        after_server: The names alone.
    """

    own: str
    after_server: str

    @classmethod
    def of(cls, config: MemoryConfig, where: Deployment, *, named_by_file: bool) -> FormerNames:
        """The names of a memory.

        Args:
            config: The configuration.
            where: Where that says the memory lives.
            named_by_file: Whether the file lies beside the database, and so says which that is.
        """
        stm = config.stm_config
        # Without folders, so that one may be moved; without users and passwords, which may change.
        server = "embedded" if where.redis_url is None else _without_user(where.redis_url)
        places = [] if named_by_file else [_without_user(where.ltm_url)]
        rest = " ".join([*places, str(stm.db), stm.namespace, config.ltm_config.table_prefix])
        return cls(f"{server} {rest}", rest)

    def include(self, store: str) -> bool:
        """Whether a store was called so, by any name of its server."""
        return store.partition(" ")[2] == self.after_server


def _without_user(url: str) -> str:
    scheme, _, rest = without_password(url).partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
