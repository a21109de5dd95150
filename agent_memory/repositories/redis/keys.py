"""The names of a tier's keys on a Redis server, or on a cluster of them.

A cluster keeps all keys with one tag, ``{b7}``, on one server, and a script may name keys of one
server alone. So agents are spread over buckets there. Each bucket is like a tier of its own, whose
namespace ends in the tag: it lists its own runs and agents.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from agent_memory.models.redis import agent_prefix, encode_id
from agent_memory.values.entry import EntryKey

BUCKETS = 256
"""Over how many buckets a memory on a cluster is spread: each list of agents is asked of all."""


class Agent(NamedTuple):
    """The agent of a run, which is what a script call is about."""

    run_id: str
    agent_id: str


@dataclass(frozen=True, slots=True)
class KeySpace:
    """The keys of one tier.

    Attributes:
        namespace: What every key begins with.
        buckets: Over how many buckets agents are spread; 0: over none, on one server.
    """

    namespace: str
    buckets: int = 0

    @property
    def places(self) -> list[str]:
        """The namespaces of the buckets; the tier's own where there are none."""
        if not self.buckets:
            return [self.namespace]
        return [f"{self.namespace}:{{b{number}}}" for number in range(self.buckets)]

    def place(self, run_id: str, agent_id: str) -> str:
        """The namespace of the bucket that holds an agent."""
        if not self.buckets:
            return self.namespace
        return f"{self.namespace}:{{b{_bucket(run_id, agent_id, self.buckets)}}}"

    @property
    def runs(self) -> list[str]:
        """The sets of runs that have entries."""
        return [f"{place}:runs" for place in self.places]

    @property
    def moving(self) -> str:
        """The hash of open moves."""
        return f"{self.namespace}:moving"

    @property
    def counted(self) -> list[str]:
        """The sorted sets of counts of retrievals whose answers may not have come."""
        return [f"{place}:counted" for place in self.places]

    @property
    def workers(self) -> str:
        """The sorted set of workers that share the upkeep, by when their leases run out."""
        return f"{self.namespace}:workers"

    def agents(self, run_id: str) -> list[str]:
        """The sorted sets of a run's agents that have entries."""
        return [f"{place}:agents:{encode_id(run_id)}" for place in self.places]

    def prefix(self, run_id: str, agent_id: str) -> str:
        """What the keys of an agent's entries and of their indexes begin with."""
        return agent_prefix(self.place(run_id, agent_id), run_id, agent_id)

    def of(self, agent: Agent) -> list[str]:
        """The keys that a script is given which changes an agent's entries."""
        place = self.place(*agent)
        return [
            agent_prefix(place, *agent),
            f"{place}:agents:{encode_id(agent.run_id)}",
            f"{place}:runs",
        ]

    @property
    def declarations(self) -> list[str]:
        """The declared attributes of each bucket, which are the same unless they change."""
        return [f"{place}:attributes" for place in self.places]

    def attributes(self, agent: Agent) -> str:
        """The declared attributes, as a script reads them that changes an agent's entries."""
        return f"{self.place(*agent)}:attributes"

    def counted_of(self, agent: Agent) -> str:
        """The sorted set of counts of retrievals of an agent's entries."""
        return f"{self.place(*agent)}:counted"

    def names(self, keys: Iterable[EntryKey]) -> list[str]:
        """The keys of the hashes of some entries."""
        return [self.prefix(key.run_id, key.agent_id) + key.memory_id for key in keys]


@lru_cache(maxsize=16_384)  # each store asks for it three times
def _bucket(run_id: str, agent_id: str, buckets: int) -> int:
    spelled = f"{encode_id(run_id)}/{encode_id(agent_id)}".encode()
    return zlib.crc32(spelled) % buckets


def moving_together(prefixes: Sequence[str]) -> list[str]:
    """The keys for a script that reads whatever begins with some prefixes, and no key else.

    A cluster that moves a slot sends who asks for one key alone, which is not there, to the new
    server, where nothing or a part may be by then. Of several keys it says to ask again later.

    Args:
        prefixes: What the keys begin with, all of one slot.
    """
    return [*prefixes, f"{prefixes[-1]}steps"]
