"""An entry that the tier below cannot store stays, is reported, and keeps no other from moving."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent_memory import AgentMemorySystem, InvalidEntry, MemoryConfig, Query, Tier
from agent_memory.errors import EncodingError, StoreUnavailable
from agent_memory.repositories.redis.entries import HashMapper
from agent_memory.repositories.sql.entries import RowMapper
from agent_memory.tiers.consolidation import Moves
from agent_memory.values.check_report import Kind

BELOW: dict[Tier, Any] = {Tier.IM: (HashMapper, "encode"), Tier.LTM: (RowMapper, "to_row")}


def kept(system: AgentMemorySystem) -> list[int]:
    return [held.entries for _, held in sorted(system.statistics().items())]


def fail_below(
    monkeypatch: pytest.MonkeyPatch, tier: Tier, error: type[Exception], step: int
) -> None:
    """Let storing the entry of a step in a tier fail, as a value does that nobody thought of."""
    mapper, name = BELOW[tier]
    working = getattr(mapper, name)

    def failing(self: Any, entry: Any, *more: Any) -> Any:
        if entry.step_number == step and entry.compression_level > 0:
            raise error("nobody has thought of it")
        return working(self, entry, *more)

    monkeypatch.setattr(mapper, name, failing)


@pytest.fixture
def config(tmp_path: Path) -> MemoryConfig:
    limit = {"memory_limit": 2}
    return MemoryConfig(
        path=tmp_path, engine="fake", stm_config=limit, im_config=limit, cleanup_interval=10**6
    )


@pytest.mark.parametrize("tier", BELOW)
@pytest.mark.parametrize("error", [InvalidEntry, EncodingError, TypeError, OverflowError])
def test_an_entry_that_cannot_be_stored_below_keeps_no_other(
    config: MemoryConfig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tier: Tier,
    error: type[Exception],
) -> None:
    with AgentMemorySystem(config, upkeep=False) as system, caplog.at_level(logging.ERROR):
        for step in range(30):
            system.store_agent_state("ant", {"step": step}, step)
        fail_below(monkeypatch, tier, error, step=5)
        assert system.maintain().refused == 1
        assert kept(system) == ([3, 2, 25] if tier is Tier.IM else [2, 3, 25])
        system.store_agent_state("ant", {"step": 30}, 30)
        assert system.maintain() == Moves(1, 1, 0, 1)
        # It answers as before, and is reported once.
        [hit] = system.recall(Query(agent_id="ant", steps=(5, 5)))
        assert hit.tier < tier
        [noted] = [one.getMessage() for one in caplog.records if "cannot store" in one.getMessage()]
        assert hit.entry.memory_id in noted
        [stuck] = system.check(repair=True).findings
        assert stuck.kind is Kind.STUCK
        assert hit.entry.memory_id in stuck.place
        assert "nobody has thought of it" in stuck.means
        monkeypatch.undo()
        assert system.check().sound
        assert system.maintain().refused == 0
        assert kept(system) == [2, 2, 27]


def test_a_check_tells_of_entries_that_cannot_move_down(
    open_memory: Callable[..., AgentMemorySystem],
) -> None:
    """Whoever checks need not be who tried to move them, and nothing has to be due."""
    system = open_memory()
    system.store_agent_state("ant", {"step": 0}, 0)
    [hit] = system.recall(Query(agent_id="ant"), touch=False)
    beyond = replace(hit.entry, revision=2**63 - 1, embedding=None, encoder_version=None)
    for tier in (system.stm, system.im):
        tier.add(replace(beyond, memory_id=uuid.uuid4().hex, compression_level=int(tier.tier)))
    report = system.check()
    # Intermediate memory can hold such a revision, and long-term memory cannot.
    assert [(one.kind, one.place.partition(",")[0]) for one in report.findings] == [
        (Kind.STUCK, "IM")
    ]
    [stuck] = report.findings
    assert "revision: 9223372036854775807 is beyond" in stuck.means
    assert not stuck.repaired
    assert not report.sound
    [entry] = system.im.find(Query(run_id="default", agent_id="ant"))
    system.forget("ant", memory_id=entry.memory_id)
    assert system.check().sound


def test_what_is_wrong_with_the_store_is_raised(
    config: MemoryConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with AgentMemorySystem(config, upkeep=False) as system:
        for step in range(9):
            system.store_agent_state("ant", {"step": step}, step)
        fail_below(monkeypatch, Tier.LTM, StoreUnavailable, step=3)
        with pytest.raises(StoreUnavailable):
            system.maintain()
        monkeypatch.undo()
        assert system.maintain().refused == 0
        assert kept(system) == [2, 2, 5]
