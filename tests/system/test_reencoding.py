"""Entries whose versions were away, and entries that change while they are re-encoded."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_memory import AgentMemorySystem, Query
from agent_memory.embeddings.version_zero import VersionZero
from agent_memory.errors import EncoderNotFound
from agent_memory.values.query import Order
from tests.system.test_encoder_versions import STATES, config_of, fill

EVERYTHING = Query(run_id="default", agent_id="ant")


def widths_of(tier: Any) -> Counter[int]:
    return Counter(len(entry.embedding) for entry in tier.find(EVERYTHING))


def test_a_version_that_was_absent_is_looked_for_where_a_person_names_it(tmp_path: Path) -> None:
    table = "agent_ltm_encoder_versions"
    with AgentMemorySystem(config_of(tmp_path)) as memory:
        fill(memory, 0, 60)
        memory.train_encoder(network=False, activate=False)
    with closing(sqlite3.connect(tmp_path / "agent_memory.db")) as raw:
        (weights,) = raw.execute(f"SELECT weights FROM {table} WHERE id = 1").fetchone()  # noqa: S608
        raw.execute(f"UPDATE {table} SET weights = NULL WHERE id = 1")  # noqa: S608
        raw.commit()
        with AgentMemorySystem(config_of(tmp_path)) as memory:
            for ask in (memory.encoders.activate, memory.encoders.reencode):
                with pytest.raises(EncoderNotFound):
                    ask(1)
            assert memory._resources.encoder.registry.encoder(1) is None
            raw.execute(f"UPDATE {table} SET weights = ? WHERE id = 1", (weights,))  # noqa: S608
            raw.commit()
            assert (
                memory._resources.encoder.registry.encoder(1) is None
            )  # it was absent a moment ago
            assert memory.encoders.reencode(1) == (60, 0, 0)
            memory.encoders.activate(1)
            assert memory.encoders.current == 1


def test_what_came_down_while_its_version_was_away_is_made_as_narrow_as_the_rest(
    tmp_path: Path,
) -> None:
    config, table = config_of(tmp_path), "agent_ltm_encoder_versions"
    with AgentMemorySystem(config) as memory:
        fill(memory)
        memory.train_encoder(network=False)
        fill(memory, STATES, STATES + 100)
    with closing(sqlite3.connect(tmp_path / "agent_memory.db")) as raw:
        (weights,) = raw.execute(f"SELECT weights FROM {table} WHERE id = 1").fetchone()  # noqa: S608
        raw.execute(f"UPDATE {table} SET weights = NULL WHERE id = 1")  # noqa: S608
        raw.commit()
        with AgentMemorySystem(config) as memory:
            fill(memory, STATES + 100, STATES + 220)
        raw.execute(f"UPDATE {table} SET weights = ? WHERE id = 1", (weights,))  # noqa: S608
        raw.commit()
    with AgentMemorySystem(config) as memory:
        assert set(widths_of(memory.ltm)) == {384, 128, 32}
        memory.encoders.reencode(1)
        assert set(widths_of(memory.ltm)) == {32}
        assert memory.encoders.reencode(1) == (0, 0, 0)


def test_an_entry_stored_anew_while_it_is_reencoded_keeps_its_own_vector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with AgentMemorySystem(config_of(tmp_path)) as memory:
        fill(memory)
        memory.train_encoder(network=False)
        newest = Query(run_id="default", agent_id="ant", order=Order.NEWEST, limit=1)
        (old,) = memory.stm.find(newest)
        reembed = memory.stm.encodings.reembed

        def late(*given: Any) -> Any:
            # As when the run is cleared and run again with other results: ids come again.
            monkeypatch.undo()
            memory.stm.remove(old.key)
            vector = VersionZero().encode_one({"sugar": 50.0})
            memory.stm.add(dataclasses.replace(old, contents={"sugar": 50.0}, embedding=vector))
            return reembed(*given)

        monkeypatch.setattr(memory.stm.encodings, "reembed", late)
        memory.encoders.reencode()
        (stored,) = memory.stm.get_many([old.key])
        vector = memory._resources.encoder.registry.required(1).encode_one({"sugar": 50.0})
        assert stored.embedding is not None
        assert np.array_equal(stored.embedding, vector)
