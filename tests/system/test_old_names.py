"""Old names of this room's public attributes work, and a warning names the new one."""

from __future__ import annotations

from collections.abc import Iterator

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
