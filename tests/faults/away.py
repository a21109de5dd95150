"""What tests of outages look at: a clock of their own, what is stored, what waits."""

from __future__ import annotations

from agent_memory import AgentMemorySystem, Order, Query
from agent_memory.connections.redis.cluster_channel import ClusterChannel
from tests.engines import StoppableServer


class Ticks:
    """A clock that stands still unless it is moved on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def come_back(server: StoppableServer, system: AgentMemorySystem) -> None:
    """Start the server again, and let the system ask it at once.

    Refusing a connection takes long on a busy machine, and a server that kept its callers waiting
    is left alone for ten times as long: longer than it takes to come back.
    """
    server.start()
    end_pauses(system)


def end_pauses(system: AgentMemorySystem) -> None:
    """Let the system ask its server at once, or those of its cluster."""
    channel = system._resources.connections.stm
    channel.breaker.pause.end()
    if isinstance(channel, ClusterChannel):
        channel.servers.end_pauses()


def store(system: AgentMemorySystem, *steps: int, agent: str = "ant") -> None:
    for step in steps:
        assert system.store_agent_state(agent, {"step": step}, step)


def steps_of(system: AgentMemorySystem, agent: str = "ant") -> list[int]:
    """The steps that an agent remembers; fails when a tier holds what another holds too."""
    hits = system.recall(Query(agent_id=agent, order=Order.STEP), touch=False)
    steps = [hit.entry.step_number for hit in hits]
    stored = stored_steps(system, agent)
    assert len(steps) == len(stored) or waiting(system)
    assert {*stored} <= {*steps}
    return steps


def stored_steps(system: AgentMemorySystem, agent: str = "ant") -> list[int]:
    """The steps that tiers hold of an agent; fails when a tier holds what another holds too."""
    query = Query(run_id=system.config.run_id, agent_id=agent)
    found = [entry for tier in (system.stm, system.im, system.ltm) for entry in tier.find(query)]
    assert len({entry.key for entry in found}) == len(found)
    return sorted(entry.step_number for entry in found)


def waiting(system: AgentMemorySystem) -> int:
    spool = system.status.spool
    assert spool is not None
    return spool.entries
