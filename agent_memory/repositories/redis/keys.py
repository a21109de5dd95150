"""The names of a tier's keys on a Redis server."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from agent_memory.models.redis import agent_prefix, encode_id
from agent_memory.values.entry import EntryKey


class Agent(NamedTuple):
    """The agent of a run, which is what a script call is about."""

    run_id: str
    agent_id: str


@dataclass(frozen=True, slots=True)
class KeySpace:
    """The keys of one tier.

    Attributes:
        namespace: What every key begins with.
    """

    namespace: str

    @property
    def runs(self) -> str:
        """The set of runs that have entries."""
        return f"{self.namespace}:runs"

    @property
    def moving(self) -> str:
        """The hash of open moves."""
        return f"{self.namespace}:moving"

    @property
    def counted(self) -> str:
        """The sorted set of counts of retrievals whose answers may not have come."""
        return f"{self.namespace}:counted"

    @property
    def workers(self) -> str:
        """The sorted set of workers that share the upkeep, by when their leases run out."""
        return f"{self.namespace}:workers"

    def agents(self, run_id: str) -> str:
        """The sorted set of a run's agents that have entries."""
        return f"{self.namespace}:agents:{encode_id(run_id)}"

    def prefix(self, run_id: str, agent_id: str) -> str:
        """What the keys of an agent's entries and of their indexes begin with."""
        return agent_prefix(self.namespace, run_id, agent_id)

    def of(self, agent: Agent) -> list[str]:
        """The keys that a script is given which changes an agent's entries."""
        return [self.prefix(*agent), self.agents(agent.run_id), self.runs]

    def names(self, keys: Iterable[EntryKey]) -> list[str]:
        """The keys of the hashes of some entries."""
        return [self.prefix(key.run_id, key.agent_id) + key.memory_id for key in keys]
