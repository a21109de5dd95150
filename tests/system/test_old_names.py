"""Old names of this room's public attributes work, and a warning names the new one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_memory import AgentMemorySystem, MemoryConfig


@pytest.fixture
def system() -> Iterator[AgentMemorySystem]:
    with AgentMemorySystem(MemoryConfig(engine="fake", ltm_url="sqlite://")) as opened:
        yield opened


def test_engine_is_the_old_name_of_redis_engine(system: AgentMemorySystem) -> None:
    with pytest.warns(DeprecationWarning, match=r"AgentMemorySystem\.engine .* redis_engine"):
        old = system.engine
    assert old == system.redis_engine


def test_untold_versions_is_the_old_name_of_unattributed_versions(
    system: AgentMemorySystem,
) -> None:
    system.store_agent_state("ant", {"food": 1.0}, 1)
    given = system.encoders.train([{"food": float(n)} for n in range(20)], network=False)
    receipt = system.forget("ant")
    with pytest.warns(DeprecationWarning, match="unattributed_versions"):
        old = receipt.untold_versions
    assert old == receipt.unattributed_versions == (given.version,)


def test_a_report_answers_by_the_old_word_for_the_quarantine(tmp_path: Path) -> None:
    with AgentMemorySystem(MemoryConfig(path=tmp_path, engine="embedded")) as system:
        looked_at = system.check().looked_at
        with pytest.warns(DeprecationWarning, match="quarantined"):
            assert looked_at["set aside"] == looked_at["quarantined"] == 0
    with pytest.raises(KeyError):
        looked_at["nothing of the kind"]
