"""Exported files: whole or not there, and imported with nothing lost, changed or half done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_memory import (
    AgentMemorySystem,
    EncodingError,
    EntryConflict,
    InvalidEntry,
    MemoryConfig,
    Query,
    RunConflict,
    StoreReadOnly,
    StoreUnavailable,
)
from agent_memory.testing.storing import everything

pytest.importorskip("pyarrow")

RUNS = ["default", "x/y"]
STEPS = 12


def opened(folder: Path, name: str, **settings: Any) -> AgentMemorySystem:
    limits = {"stm_config": {"memory_limit": 4}, "im_config": {"memory_limit": 4}}
    url = f"sqlite:///{folder / name}.db"
    return AgentMemorySystem(MemoryConfig(engine="fake", ltm_url=url, **limits, **settings))


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[AgentMemorySystem]:
    """Two runs with entries in all tiers, of contents that formats lack."""
    with opened(tmp_path, "first") as first:
        for run in RUNS:
            for step in range(STEPS):
                contents = {
                    "text": ("", 'a"\n,', "x\0")[step % 3],
                    "at": (step, np.float32(0.5)),
                    "mixed": step if step % 2 else {"deep": [b"\xff", float("nan")]},
                    "seed": 2**127 + step,
                }
                assert first.run(run).store_agent_state("a,b\n", contents, step)
        first.maintain()
        yield first


def entries(memory: AgentMemorySystem) -> list[Any]:
    return [
        (tier.tier, entry)
        for tier in (memory.stm, memory.im, memory.ltm)
        for run in RUNS
        for entry in everything(tier, run)
    ]


@pytest.mark.parametrize("partition_by", [None, "run_id"])
@pytest.mark.parametrize("kind", ["parquet", "jsonl", "csv"])
def test_what_was_exported_is_imported_to_the_bit(
    memory: AgentMemorySystem, tmp_path: Path, kind: Any, partition_by: Any
) -> None:
    reported: list[tuple[int, int]] = []
    receipt = memory.export(
        tmp_path / f"ants.{kind}",
        runs=RUNS,
        format=kind,
        partition_by=partition_by,
        progress=lambda done, of: reported.append((done, of)),
    )
    assert (receipt.entries, reported[-1]) == (2 * STEPS, (2 * STEPS, 2 * STEPS))
    assert receipt.stored_bytes == sum(file.stat().st_size for file in receipt.files)
    assert not [*tmp_path.glob(".*")]
    with opened(tmp_path, "second") as second:
        imported = second.import_(receipt.path)
        assert (imported.stored, imported.present, imported.verified) == (2 * STEPS, 0, True)
        assert entries(second) == entries(memory)
        again = second.import_(receipt.path)
        assert (again.stored, again.present) == (0, 2 * STEPS)


def test_an_import_that_was_cut_short_goes_on(memory: AgentMemorySystem, tmp_path: Path) -> None:
    file = memory.export(tmp_path / "ants.parquet").path
    with opened(tmp_path, "second") as second:
        second.import_(file)
        second.forget(query=Query(agent_id="a,b\n", steps=(0, 4)))
        second.ltm.remove_many(second.ltm.keys("default", "a,b\n"))
        receipt = second.import_(file)
        assert receipt.verified
        assert receipt.stored + receipt.present == STEPS
        assert receipt.stored >= 4


def test_a_file_that_is_there_is_replaced_by_force_alone(
    memory: AgentMemorySystem, tmp_path: Path
) -> None:
    file = tmp_path / "ants.csv"
    file.write_text("mine")
    with pytest.raises(InvalidEntry, match=r"force=True \(--force\) replaces it"):
        memory.export(file)
    assert file.read_text() == "mine"
    assert memory.export(file, force=True).entries == STEPS
    folder = memory.export(tmp_path / "ants", partition_by="run_id").path
    assert memory.export(folder, partition_by="run_id", runs=RUNS, force=True).entries == 2 * STEPS
    assert len([*folder.iterdir()]) == 2
    assert not [*tmp_path.glob(".*")]


def test_a_file_that_cannot_be_written_leaves_nothing(
    memory: AgentMemorySystem, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    for write, name in ((memory.export, "ants.parquet"), (memory.backup, "ants.backup")):
        with pytest.raises(StoreUnavailable, match="file is a file: name another folder") as failed:
            write(tmp_path / "file" / "folder" / name)
        assert "as it was before" not in str(failed.value)  # nothing was

    def stop(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreUnavailable, match="No space left"):
        memory.export(tmp_path / "ants.jsonl", progress=stop)
    assert not [*tmp_path.glob("*ants*")]


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_damaged_row_is_named_and_nothing_is_stored(
    memory: AgentMemorySystem, tmp_path: Path, kind: Any
) -> None:
    file = memory.export(tmp_path / f"ants.{kind}").path
    stored = bytearray(file.read_bytes())
    stored[-60] = ord("B" if stored[-60] == ord("A") else "A")
    file.write_bytes(stored)
    with opened(tmp_path, "second") as second:
        with pytest.raises(EncodingError, match=rf"ants.{kind}, row {STEPS}: .*checksum"):
            second.import_(file)
        assert entries(second) == []


def test_a_changed_cell_and_a_cut_file_are_told(memory: AgentMemorySystem, tmp_path: Path) -> None:
    file = memory.export(tmp_path / "ants.jsonl").path
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows[2]["step_number"] = 77
    file.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(EncodingError, match=r"row 3: step_number is 77, and 2 in its exact"):
        memory.import_(file)
    file.write_text(file.read_text()[:-100])
    parquet = memory.export(tmp_path / "ants.parquet").path
    parquet.write_bytes(parquet.read_bytes()[:-9])
    for cut in (parquet, tmp_path / "other.jsonl"):
        cut.parent.joinpath("other.jsonl").write_text('{"exact": ')
        with pytest.raises(EncodingError, match="after row 0: the file is damaged"):
            memory.import_(cut)
    with pytest.raises(StoreUnavailable, match="no export"):
        memory.import_(tmp_path / "nowhere.csv")
    bare = tmp_path / "bare.csv"
    bare.write_text("tier,step_number\nSTM,1\n")
    with pytest.raises(EncodingError, match="row 1: there is no column 'exact'"):
        memory.import_(bare)


def test_another_entry_under_an_id_is_replaced_by_force_alone(
    memory: AgentMemorySystem, tmp_path: Path
) -> None:
    file = memory.export(tmp_path / "ants.parquet", Query(agent_id="a,b\n", steps=(11, 11))).path
    with opened(tmp_path, "second") as second:
        second.import_(file)
        [held] = everything(second.stm, "default")
        second.stm.replace(_with(held, {"other": 1}))
        with pytest.raises(EntryConflict, match=r"row 1: another entry .* nothing was stored"):
            second.import_(file)
        assert second.import_(file, force=True).verified
        assert everything(second.stm, "default") == [held]


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "csv"])
def test_what_is_recorded_of_runs_goes_with_their_entries(tmp_path: Path, kind: Any) -> None:
    parameters = {"ants": 20, "share": 0.5}
    with opened(tmp_path, "first") as first:
        with first.run("walk", parameters=parameters, seed=2**100) as walk:
            assert walk.store_agent_state("ant", {"food": 1}, 0)
            assert walk.store_agent_state("bee", {"food": 1}, 0)
        fork = first.run("fork", parent="walk", fork_step=0)
        assert fork.store_agent_state("ant", {"food": 2}, 1)
        assert first.run("bare").store_agent_state("ant", {"food": 3}, 0)
        file = first.export(tmp_path / f"ants.{kind}", runs=["walk", "fork", "bare"]).path
        wanted = first.runs()
    with opened(tmp_path, "second") as second:
        assert second.import_(file).runs == ("fork", "walk")
        for run, was in zip(second.runs(), wanted, strict=True):
            assert run == _on_the_day_of(was, run)
        assert second.import_(file).runs == ()


def _on_the_day_of(run: Any, other: Any) -> Any:
    return replace(run, created_at=other.created_at)


def test_a_run_that_was_begun_otherwise_here_is_replaced_by_force_alone(tmp_path: Path) -> None:
    with opened(tmp_path, "first") as first:
        walk = first.run("walk", parameters={"ants": 20}, seed=1)
        assert walk.store_agent_state("ant", {"food": 1}, 0)
        walk.end_run("failed")
        file = first.export(tmp_path / "ants.jsonl", runs=["walk"]).path
    with opened(tmp_path, "second") as second:
        second.run("walk", parameters={"ants": 20}, seed=2)
        with pytest.raises(RunConflict, match="'walk' is recorded with other parameters"):
            second.import_(file)
        assert second.runs()[0].total == 0
        assert second.import_(file, force=True).runs == ("walk",)
        (run,) = second.runs()
        assert (run.seed, run.status, run.total) == (1, "failed", 1)


@pytest.mark.parametrize(
    "cell",
    [
        *("{", "[]", "[" * 100_000, '{"parameters": 1, "status": "running"}', '{"parameters": {}}'),
        '{"parameters": {"ants": NaN}, "status": "running"}',
        '{"parameters": {"\\ud800": 1}, "status": "running"}',
        '{"parameters": {"ants": {"$packed": "AAAA"}}, "status": "running"}',
    ],
    ids=range(8),
)
def test_a_damaged_record_of_a_run_is_named(
    memory: AgentMemorySystem, tmp_path: Path, cell: str
) -> None:
    file = memory.export(tmp_path / "ants.jsonl").path
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows[1]["run"] = cell
    file.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(EncodingError, match="row 2: its record of the run"):
        memory.import_(file)


def _with(entry: Any, contents: Any) -> Any:
    values = entry.to_dict()
    return type(entry).from_dict(values | {"contents": contents})


def test_what_was_forgotten_here_stays_forgotten_until_it_is_released(
    memory: AgentMemorySystem, tmp_path: Path
) -> None:
    file = memory.export(tmp_path / "ants.parquet").path
    keys = memory.ltm.keys("default", "a,b\n")
    memory.ltm.forget(keys, 1.0)
    receipt = memory.import_(file)
    assert (receipt.forgotten, receipt.stored) == (len(keys), 0)
    assert receipt.verified
    assert memory.ltm.count("default") == 0


@pytest.mark.parametrize("name", ["ants.xyz", "ants.csv.gz", "ants.v2"])
def test_an_ending_that_is_no_format_is_refused_with_the_way_out(
    memory: AgentMemorySystem, tmp_path: Path, name: str
) -> None:
    with pytest.raises(InvalidEntry, match=r"ends in none of \.parquet, \.jsonl, \.csv.*format="):
        memory.export(tmp_path / name)
    assert not (tmp_path / name).exists()
    assert memory.export(tmp_path / name, format="csv").entries > 0
    assert memory.export(tmp_path / "by.run", partition_by="run_id").entries > 0
    upper = memory.export(tmp_path / "ants.JSONL").path
    assert upper.read_text().startswith("{")
    assert memory.import_(upper).verified


def test_a_report_is_a_page_by_its_name(memory: AgentMemorySystem, tmp_path: Path) -> None:
    with pytest.raises(InvalidEntry, match=r"ends in \.pdf.*name it \.html"):
        memory.report(tmp_path / "ants.pdf")
    assert not (tmp_path / "ants.pdf").exists()


def test_bad_arguments_are_refused(memory: AgentMemorySystem, tmp_path: Path) -> None:
    for wrong in ({"format": "xlsx"}, {"partition_by": "mood"}, {"nested": "deep"}):
        with pytest.raises(InvalidEntry, match=next(iter(wrong))):
            memory.export(tmp_path / "ants", **wrong)  # type: ignore[arg-type]
    (tmp_path / "ants.xlsx").write_text("")
    with pytest.raises(InvalidEntry, match="ends in none of"):
        memory.import_(tmp_path / "ants.xlsx")
    file = memory.export(tmp_path / "ants", format="csv").path
    assert memory.import_(file).present == STEPS
    config = memory.config
    with AgentMemorySystem(config, read_only=True) as reader, pytest.raises(StoreReadOnly):
        reader.import_(file)
