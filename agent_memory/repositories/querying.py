"""What every engine does with a query itself."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import islice
from typing import Protocol

from agent_memory.values.attributes import meets
from agent_memory.values.checks import MAX_STEP
from agent_memory.values.entry import MemoryEntry
from agent_memory.values.query import Order, Query, agent_of, run_of

__all__ = ["after_step", "agent_of", "agents_of", "answering", "run_of"]


class HasAgents(Protocol):
    """A tier, or a tier as questions see it."""

    def agents(self, run_id: str) -> list[str]:
        """The agents that have entries in a run, sorted."""


def agents_of(tiers: Iterable[HasAgents], run_id: str) -> list[str]:
    """The agents that have entries of a run in any tier, sorted."""
    return sorted({agent_id for tier in tiers for agent_id in tier.agents(run_id)})


def answering(entries: Iterable[MemoryEntry], query: Query) -> list[MemoryEntry]:
    """Those entries that meet a query's conditions on attributes, up to its limit.

    Args:
        entries: Those that answer it else, in its order; no more are looked at than are needed.
        query: What is asked.
    """
    if query.attributes:
        entries = (entry for entry in entries if meets(entry.contents, query.attributes))
    return list(islice(entries, None if query.limit is None else min(query.limit, sys.maxsize)))


def after_step(run_id: str, step: int, agents: Iterable[str]) -> list[Query]:
    """Queries for the entries of each of some agents, by step, whose step is later than one."""
    if step >= MAX_STEP:
        return []
    steps = None if step < 0 else (step + 1, MAX_STEP)
    return [
        Query(run_id=run_id, agent_id=agent_id, steps=steps, order=Order.STEP)
        for agent_id in dict.fromkeys(agents)
    ]
