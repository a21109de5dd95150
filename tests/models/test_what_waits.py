"""The model of short-term memory says so while entries wait that it does not see."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import redis
from redis_om import NotFoundError

from agent_memory import AgentMemorySystem, EntriesWaiting, MemoryConfig
from tests.memories import store
from tests.tiers.spooling import an_entry_of, far_spool


def test_the_model_of_short_term_memory_warns_of_what_waits(
    tmp_path: Path, client: redis.Redis, search_url: str
) -> None:
    del client  # it has emptied the server
    config = MemoryConfig(path=tmp_path, redis_url=search_url)
    with AgentMemorySystem(config) as system, contextlib.closing(far_spool(system)) as far:
        store(system, "ant", 0)
        model = system.models.StmEntry
        assert len(model.find(model.agent_id == "ant").all()) == 1
        waits = an_entry_of(system, 1)
        far.put(waits, 0.0)
        with pytest.warns(EntriesWaiting, match="recall"):
            assert len(model.find(model.agent_id == "ant").all()) == 1
        with pytest.warns(EntriesWaiting):
            assert len([*model.all_pks()]) == 1
        with pytest.warns(EntriesWaiting), pytest.raises(NotFoundError):
            model.get(waits.key)
        system.maintain()
        assert len(model.find(model.agent_id == "ant").all()) == 2
        assert model.get(waits.key).step_number == 1
