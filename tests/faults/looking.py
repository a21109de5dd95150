"""Looks at a memory after a fault: all that was acknowledged is there once, whole, in its place."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory import AgentMemorySystem, MemoryConfig, Query
from agent_memory.testing.acknowledged import Acknowledgements, Expected
from agent_memory.testing.redis_keys import orphans
from agent_memory.testing.wholeness import Findings, Memories, compared
from agent_memory.values.entry import MemoryEntry
from tests.faults.processes import left_behind
from tests.faults.scenarios import LIMITS, contents_of

RUN = "default"


def look(
    folder: Path,
    log: Path,
    when: str,
    *,
    clock: Callable[[], float] = time.time,
    in_place: bool = True,
) -> None:
    """Open a memory that nobody has open, tidy it once, and fail if anything is not as it should.

    Args:
        folder: The memory's.
        log: The acknowledgements.
        when: What was done before, for messages.
        clock: What time it is.
        in_place: Whether each tier must be as full as its limits allow, nothing having moved down
            or been forgotten for another reason.
    """
    noted = Acknowledgements(log)
    expected = noted.expected()
    noted.close()
    config = MemoryConfig(path=folder, engine="embedded", search=False, **LIMITS)
    with AgentMemorySystem(config, upkeep=False, clock=clock) as system:
        as_it_lies(system, expected).assert_none(f"as it lay after {when}")
        system.maintain()
        whole(system, expected).assert_none(f"after {when} and upkeep")
        _check_places(system, when, full=in_place and not expected.forgotten)
    left_behind(folder).assert_none(f"closed after {when}")


def as_it_lies(system: AgentMemorySystem, expected: Expected) -> Findings:
    """What whoever asks before any upkeep finds."""
    agents = {agent for agent, _ in expected.possible | expected.forgotten}
    found = Counter(
        (hit.entry.agent_id, hit.entry.step_number)
        for agent in agents
        for hit in system.recall(Query(agent_id=agent), touch=False)
    )
    return compared(found, expected)


def whole(system: AgentMemorySystem, expected: Expected) -> Findings:
    """What there is beneath, in every tier and every index."""
    memories = Memories(RUN, contents_of, _vectors_of(system))
    findings = memories.whole((system.stm, system.im, system.ltm), expected)
    parts: tuple[Any, ...] = (system.config.stm_config, system.config.im_config)
    findings += orphans(
        system._resources.connections.stm.client, [part.namespace for part in parts]
    )
    return findings + Findings(ghosts=tuple(_complaints(system)))


def _complaints(system: AgentMemorySystem) -> list[str]:
    """What the database says of itself, where it can be asked."""
    if system.sql_engine.dialect.name != "sqlite":
        return []
    with system.sql_engine.connect() as connection:
        return [
            str(row)
            for check in ("integrity_check", "foreign_key_check")
            for row in connection.exec_driver_sql(f"PRAGMA {check}")
            if row[0] != "ok"
        ]


def _vectors_of(system: AgentMemorySystem) -> Callable[[MemoryEntry], NDArray[np.float32] | None]:
    def vector_of(entry: MemoryEntry) -> NDArray[np.float32] | None:
        assert entry.encoder_version is not None
        (encoded,) = system._resources.encoder.compression.embed([entry], entry.encoder_version)
        return encoded.embedding

    return vector_of


def _check_places(system: AgentMemorySystem, when: str, *, full: bool) -> None:
    """Each tier is within its limits and ages, and whatever is below another is older."""
    limits = LIMITS["stm_config"]["memory_limit"], LIMITS["im_config"]["memory_limit"]
    ages = system.config.stm_config.ttl, system.config.im_config.ttl
    now = system._resources.clock()
    tiers = system.stm, system.im, system.ltm
    for agent in {name for tier in tiers for name in tier.agents(RUN)}:
        held = [tier.find(Query(run_id=RUN, agent_id=agent, limit=10_000)) for tier in tiers]
        times = [[entry.timestamp for entry in entries] for entries in held]
        for which, limit in enumerate(limits):
            young = sum(
                now - entry.timestamp < ages[which] for entries in held[which:] for entry in entries
            )
            most = min(limit, young)
            assert len(held[which]) <= limit, (when, agent, which)
            assert not full or len(held[which]) == most, (when, agent, which, young)
            assert all(now - at <= ages[which] for at in times[which]), (when, agent, which)
        for above, below in ((0, 1), (1, 2), (0, 2)):
            assert not times[above] or not times[below] or min(times[above]) > max(times[below])
