"""A backup holds a whole memory, and gives it back on any engine."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from agent_memory import (
    AgentMemorySystem,
    EncodingError,
    EntryConflict,
    EntryKey,
    MemoryConfig,
    MemoryEntry,
    MemoryNotEmpty,
    Order,
    Query,
    StoreUnavailable,
)
from agent_memory.system.backups.file import FORMAT, Backup
from agent_memory.testing.samples import HOSTILE_CONTENTS
from agent_memory.tiers.waiting import LastMoment
from tests import engines
from tests.memories import Opener
from tests.system.assets import make_backup

ASSETS = Path(make_backup.__file__).parent
LIMITS: dict[str, Any] = {
    "stm_config": {"memory_limit": 6},
    "im_config": {"memory_limit": 5},
    "cleanup_interval": 1,
}
AGENTS = ("ant", "b|e:{e} *")
RUNS = ("default", "other")


def contents_of(step: int) -> dict[str, Any]:
    rng = random.Random(step)
    return {"step": step, "mood": f"m{step % 3}", "energy": rng.uniform(0, 100), "x": rng.random()}


def fill(system: AgentMemorySystem, first: int = 0, last: int = 20) -> None:
    for step in range(first, last):
        for agent in AGENTS:
            assert system.store_agent_state(agent, contents_of(step), step)
            assert system.run("other").store_agent_action(agent, contents_of(step), step)


def remembered(system: AgentMemorySystem) -> list[tuple[str, MemoryEntry]]:
    return [
        (tier.tier.name, entry)
        for tier in (system.stm, system.im, system.ltm)
        for run in RUNS
        for agent in AGENTS
        for entry in tier.find(Query(run_id=run, agent_id=agent, order=Order.STEP))
    ]


@pytest.fixture
def target(tmp_path: Path) -> dict[str, Any]:
    return {"engine": "embedded", "path": tmp_path / "target", "search": False}


def opened(config: dict[str, Any]) -> AgentMemorySystem:
    # Nothing moves: what was restored is to be looked at where it was put.
    return AgentMemorySystem(MemoryConfig(**config, **LIMITS), upkeep=False)


def test_names_with_any_character_are_restored_as_they_were(
    open_memory: Opener, tmp_path: Path, target: dict[str, Any]
) -> None:
    system = open_memory(**LIMITS)
    names = ("a\0b", "a\x01b", "a\x01\x01b")
    for run in names:
        for step in range(20):
            assert system.run(run).store_agent_state(run, contents_of(step), step)

    def of_names(opened: AgentMemorySystem) -> list[list[MemoryEntry]]:
        return [
            [hit.entry for hit in opened.run(name).recall(Query(agent_id=name), touch=False)]
            for name in names
        ]

    assert system.check().findings == ()
    system.backup(tmp_path / "saved")
    before = of_names(system)
    assert [len(entries) for entries in before] == [20, 20, 20]
    AgentMemorySystem.restore(tmp_path / "saved", MemoryConfig(**target, **LIMITS))
    with opened(target) as again:
        assert of_names(again) == before


def test_a_memory_on_any_engine_is_restored_into_another_folder_as_it_was(
    open_memory: Opener, tmp_path: Path, target: dict[str, Any]
) -> None:
    system = open_memory(**LIMITS, indexed_attributes=("mood",))
    fill(system)
    hit = system.recall(Query(agent_id="ant", limit=1))[0]
    system.pin("ant", system.ltm.keys("default", "ant")[2].memory_id)
    system.pin("ant", system.stm.keys("default", "ant")[2].memory_id)
    system.maintain()
    assert system.ltm.get(hit.entry.key).retrieval_count == 1
    system.forget("ant", memory_id=system.stm.keys("default", "ant")[0].memory_id)
    before = remembered(system)
    receipt = system.backup(tmp_path / "saved")
    assert sum(receipt.entries.values()) == len(before) == 79
    restored = AgentMemorySystem.restore(tmp_path / "saved", target)
    assert restored.verified
    assert restored.entries == receipt.entries
    with opened(target) as found:
        assert remembered(found) == before
        assert found.check().findings == ()
        assert found.stm._declared.all_paths() == ("mood",)  # type: ignore[attr-defined]


def test_a_folder_is_restored_into_a_server_and_from_there_into_a_folder(
    tmp_path: Path, tcp_port: int, target: dict[str, Any]
) -> None:
    engines.tcp_client(tcp_port).flushall()
    password = quote(engines.PASSWORD, safe="")
    server = {"redis_url": f"redis://:{password}@127.0.0.1:{tcp_port}", "path": tmp_path / "there"}
    with AgentMemorySystem({"path": tmp_path / "here", "engine": "embedded", **LIMITS}) as system:
        fill(system)
        before = remembered(system)
        system.backup(tmp_path / "one")
    assert AgentMemorySystem.restore(tmp_path / "one", server).verified
    with opened(server) as system:
        assert remembered(system) == before
        system.backup(tmp_path / "two")
    assert AgentMemorySystem.restore(tmp_path / "two", target).verified
    with opened(target) as system:
        assert remembered(system) == before


def test_versions_codes_and_coded_contents_are_restored(
    tmp_path: Path, target: dict[str, Any]
) -> None:
    source = {"engine": "embedded", "path": tmp_path / "source", "search": False}
    with AgentMemorySystem({**source, **LIMITS}) as system:
        fill(system, 0, 60)
        trained = system.train_encoder([contents_of(step) for step in range(400)])
        fill(system, 60, 90)
        before = remembered(system)
        assert any(entry.error_bounds for _, entry in before)
        assert any(entry.error_bounds is None and tier == "LTM" for tier, entry in before)
        receipt = system.backup(tmp_path / "saved")
        assert trained.version in receipt.versions
    assert AgentMemorySystem.restore(tmp_path / "saved", target).verified
    with opened(target) as found:
        assert remembered(found) == before
        assert found._resources.encoder.registry.current.version == trained.version
        assert found._resources.encoder.codes.current == trained.version
        assert found.check().findings == ()


def test_hostile_contents_come_back_bit_by_bit(tmp_path: Path, target: dict[str, Any]) -> None:
    source = {"engine": "embedded", "path": tmp_path / "source", "search": False}
    with AgentMemorySystem(source) as system:
        for step, contents in enumerate(HOSTILE_CONTENTS):
            system.store_agent_state("ant", contents, step)
        before = remembered(system)
        assert system.check().findings == ()
        system.backup(tmp_path / "saved")
    assert AgentMemorySystem.restore(tmp_path / "saved", target).verified
    with opened(target) as found:
        assert remembered(found) == before


def test_what_waits_in_the_spool_is_saved_too(tmp_path: Path, target: dict[str, Any]) -> None:
    source = {"engine": "embedded", "path": tmp_path / "source", "search": False}
    with AgentMemorySystem(source) as system:
        fill(system, 0, 3)
        before = remembered(system)
        (entry, *_), spool = (
            system.stm.find(Query(run_id="default", agent_id="ant", limit=10)),
            system._resources.intake._spool,
        )
        system.stm.remove(entry.key)
        assert spool is not None
        spool.put(entry, system._resources.clock())
        assert system.backup(tmp_path / "saved").entries["spool"] == 1
        # Forgotten after it was spooled: it waits, and is not saved.
        system.ltm.forget([entry.key], 2e9, 2e9)
        assert system.backup(tmp_path / "without").forgotten == 1
        # ... and spooled again since, by a clock that was set back.
        spool.done([one.number for one in spool.all_waiting()])
        spool.put(entry, 1.0, LastMoment(system.ltm.moment(), is_sure=True))
        assert system.backup(tmp_path / "again").entries["spool"] == 1
    assert AgentMemorySystem.restore(tmp_path / "saved", target).verified
    with opened(target) as found:
        assert sorted(remembered(found), key=str) == sorted(before, key=str)


def test_what_cannot_be_read_is_saved_with_its_bytes(
    tmp_path: Path, target: dict[str, Any]
) -> None:
    source = {"engine": "embedded", "path": tmp_path / "source", "search": False}
    with AgentMemorySystem(source) as system:
        fill(system, 0, 3)
        name = system.stm.keys("default", "ant")[0].memory_id
        client = system._resources.connections.stm.client
        client.hset(f"agent_memory:stm:{{default/ant}}:{name}", "contents", b"\x91damaged")
        receipt = system.backup(tmp_path / "saved")
        assert (receipt.unreadable, receipt.entries["stm"]) == (1, 11)
    assert AgentMemorySystem.restore(tmp_path / "saved", target).unreadable == 1
    with opened(target) as found:
        assert found.check().looked_at["quarantined"] == 1


def test_a_memory_that_is_not_empty_is_refused_unless_told(
    tmp_path: Path, target: dict[str, Any]
) -> None:
    with opened(target) as system:
        fill(system, 0, 2)
        system.backup(tmp_path / "saved")
        before = remembered(system)
        fill(system, 2, 3)
        after = remembered(system)
        system.forget("ant", memory_id=before[0][1].memory_id)
    with pytest.raises(MemoryNotEmpty, match="into_existing"):
        AgentMemorySystem.restore(tmp_path / "saved", target)
    receipt = AgentMemorySystem.restore(tmp_path / "saved", target, into_existing=True)
    assert receipt.verified
    with opened(target) as system:
        assert remembered(system) == after


def test_other_versions_under_the_same_number_are_refused(
    tmp_path: Path, target: dict[str, Any]
) -> None:
    source = {"engine": "embedded", "path": tmp_path / "source", "search": False}
    with AgentMemorySystem(source) as system:
        system.encoders.train([contents_of(step) for step in range(300)])
        system.backup(tmp_path / "saved")
    with opened(target) as system:
        system.encoders.train([{"other": float(step)} for step in range(300)])
    with pytest.raises(EntryConflict, match="versions 1 of"):
        AgentMemorySystem.restore(tmp_path / "saved", target, into_existing=True)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    config = {"engine": "embedded", "path": folder / "source", "search": False}
    with AgentMemorySystem(config) as system:
        fill(system, 0, 5)
        system.backup(folder / "saved")
    return folder / "saved"


def test_a_backup_that_is_cut_off_or_damaged_is_refused_before_anything_is_written(
    saved: Path, tmp_path: Path, target: dict[str, Any]
) -> None:
    raw, chance = saved.read_bytes(), random.Random(3)
    damaged = tmp_path / "damaged"
    cut = [raw[:length] for length in (0, 10, 52, 4096, len(raw) // 2, len(raw) - 1)]
    flips = []
    for _ in range(200):
        flipped = bytearray(raw)
        flipped[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        flips.append(bytes(flipped))
    for bad in (*cut, *flips, raw + b"x"):
        damaged.write_bytes(bad)
        with pytest.raises(EncodingError):
            AgentMemorySystem.restore(damaged, target)
    assert not Path(target["path"]).exists()
    with pytest.raises(StoreUnavailable):
        AgentMemorySystem.restore(tmp_path / "nowhere", target)


@pytest.mark.parametrize("made_by", range(1, FORMAT + 1))
def test_a_backup_of_every_format_is_restored_whole(made_by: int, target: dict[str, Any]) -> None:
    receipt = AgentMemorySystem.restore(ASSETS / f"format_{made_by}.backup", target)
    assert receipt.verified
    assert receipt.entries == {"spool": 0, "stm": 4, "im": 4, "ltm": 4}
    with opened(target) as found:
        for entry in make_backup.entries(made_by):
            hit = found.fetch(entry.agent_id, entry.memory_id)
            assert hit is not None
            assert (hit.entry.contents, hit.entry.pinned) == (entry.contents, entry.pinned)
        keys = [EntryKey("default", agent, make_backup.FORGOTTEN) for agent in ("ant", "bee")]
        assert found.ltm.forgotten(keys) == dict.fromkeys(keys if made_by < 2 else keys[:1])
        assert found.check().findings == ()
        (run,) = found.runs()
        begun = make_backup.BEGUN if made_by >= 3 else {"parameters": {}, "seed": None}
        assert {"parameters": run.parameters, "seed": run.seed} == begun
        assert run.status == ("finished" if made_by >= 3 else "running")


def test_a_backup_of_a_newer_version_is_refused(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copy(saved, tmp_path / "copy")
    monkeypatch.setattr("agent_memory.system.backups.file.FORMAT", 0)
    with pytest.raises(EncodingError, match="newer"):
        Backup(Path(copy))


def test_a_backup_that_fails_leaves_the_one_before(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path(shutil.copy(saved, tmp_path / "file"))
    before = file.read_bytes()

    def fail(*_: object) -> None:
        raise StoreUnavailable("away")

    config = {"engine": "embedded", "path": tmp_path / "source", "search": False}
    with AgentMemorySystem(config) as system:
        monkeypatch.setattr("agent_memory.system.backups.saving._Saving.long_term", fail)
        with pytest.raises(StoreUnavailable):
            system.backup(file)
        with pytest.raises(StoreUnavailable, match="cannot be written"):
            system.backup(file / "beneath")
    assert file.read_bytes() == before
    assert {found.name for found in tmp_path.iterdir()} == {"file", "source"}
