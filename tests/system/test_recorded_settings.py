"""A folder records the settings that it was last opened with, and upkeep goes by them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent_memory import AgentMemorySystem, ConfigError, EncodingError, MemoryConfig
from tests import engines


def test_open_and_upkeep_go_by_the_recorded_limits(tmp_path: Path) -> None:
    config = MemoryConfig(
        path=tmp_path,
        search=False,
        stm_config={"memory_limit": 20, "max_age_steps": 500},
        im_config={"ttl": 7_000_000},
        ltm_config={"table_prefix": "ants", "batch_size": 50},
        cleanup_interval=1_000,
        demote_first="least_important",
        tolerances={"food": {"level_1": 0.01, "level_2": 0.1, "relative": False}, "kind": "exact"},
        indexed_attributes=("food",),
    )
    with AgentMemorySystem(config, upkeep=False) as memory:
        for step in range(60):
            memory.store_agent_state("ant", {"food": step}, step)
    with AgentMemorySystem.open(tmp_path, upkeep=False) as memory:
        opened = memory.config
        for name in ("cleanup_interval", "demote_first", "tolerances", "indexed_attributes"):
            assert getattr(opened, name) == getattr(config, name)
        assert opened.stm_config == config.stm_config
        assert opened.im_config == config.im_config
        assert opened.ltm_config.batch_size == 50
        memory.maintain()
        assert memory.stm.count("default", "ant") == 20


def test_a_later_opening_changes_the_settings_and_not_how_the_folder_was_made(
    tmp_path: Path,
) -> None:
    AgentMemorySystem(MemoryConfig(path=tmp_path, search=False)).close()
    made = json.loads((tmp_path / "memory.json").read_text())
    AgentMemorySystem(MemoryConfig(path=tmp_path, search=False, cleanup_interval=7)).close()
    changed = json.loads((tmp_path / "memory.json").read_text())
    assert json.loads(changed.pop("settings")) == {"cleanup_interval": 7}
    assert made | changed == made
    with AgentMemorySystem.open(tmp_path, read_only=True) as memory:
        assert memory.config.cleanup_interval == 7


@pytest.mark.parametrize("settings", ["{", "[]", '{"stm_config": 3}'])
def test_damaged_settings_are_a_typed_error(tmp_path: Path, settings: str) -> None:
    AgentMemorySystem(MemoryConfig(path=tmp_path, search=False)).close()
    record = json.loads((tmp_path / "memory.json").read_text())
    (tmp_path / "memory.json").write_text(json.dumps(record | {"settings": settings}))
    with pytest.raises(EncodingError, match="settings"):
        AgentMemorySystem.open(tmp_path)


@pytest.mark.parametrize(
    "memory_config",
    engines.parameters(
        [name for name in engines.MEMORY_ENGINES if name != "fakeredis"],
        ("embedded", "tcp and postgresql"),
    ),
    indirect=True,
)
def test_a_memory_is_opened_with_the_widths_it_was_made_with(memory_config: dict[str, Any]) -> None:
    narrow = {"stm_dim": 64, "im_dim": 16, "ltm_dim": 8}
    made = MemoryConfig(**memory_config, autoencoder_config=narrow)
    with AgentMemorySystem(made) as memory:
        assert memory.store_agent_state("ant", {"food": 1.0}, 0)
    for read_only in (False, True):
        for name, widths in (("stm_dim", {}), ("ltm_dim", narrow | {"ltm_dim": 4})):
            other = MemoryConfig(**memory_config, autoencoder_config=widths)
            with pytest.raises(ConfigError, match=rf"{name}: .* was made with \d+ and is opened"):
                AgentMemorySystem(other, read_only=read_only)
    with AgentMemorySystem(made) as memory:
        assert memory.ltm.count("default") + memory.stm.count("default") == 1


@pytest.mark.parametrize(
    "memory_config",
    engines.parameters(
        [name for name in engines.MEMORY_ENGINES if name != "fakeredis"],
        ("embedded", "tcp and postgresql"),
    ),
    indirect=True,
)
@pytest.mark.parametrize(("made", "other"), [("steps", "wall"), ("wall", "steps")])
def test_a_memory_is_opened_with_the_clock_it_was_made_with(
    memory_config: dict[str, Any], made: str, other: str
) -> None:
    drops: dict[str, Any] = {"on_expiry": "drop", "stm_config": {"ttl": 1_000}}
    with AgentMemorySystem(MemoryConfig(**memory_config, **drops, clock=made)) as memory:
        memory.store_agent_state("ant", {"food": 1}, 3)
    for read_only in (False, True):
        with pytest.raises(ConfigError, match=f"clock: .*'{made}'"):
            AgentMemorySystem(
                MemoryConfig(**memory_config, **drops, clock=other), read_only=read_only
            )
    with AgentMemorySystem(MemoryConfig(**memory_config, **drops, clock=made)) as memory:
        assert memory.count(agent_id="ant") == 1
