"""A folder or file that goes from under an open memory is noticed, and loses nothing silently."""

from __future__ import annotations

import contextlib
import multiprocessing
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent_memory import (
    AgentMemorySystem,
    MemoryConfig,
    MemoryStoreError,
    Query,
    StoreReplaced,
)
from agent_memory.testing.samples import an_entry
from agent_memory.tiers.spool import Spool

SMALL = {"memory_limit": 3}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "memory"


def config(folder: Path) -> MemoryConfig:
    return MemoryConfig(
        path=folder, search=False, on_store_error="raise", stm_config=SMALL, im_config=SMALL
    )


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[AgentMemorySystem]:
    memory = AgentMemorySystem(config(folder))
    try:
        yield memory
    finally:
        with contextlib.suppress(MemoryStoreError):
            memory.close()


def delete(folder: Path) -> None:
    shutil.rmtree(folder)


def move(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))


def replace(folder: Path) -> None:
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    shutil.rmtree(folder)
    copy.rename(folder)


def delete_the_servers_files(folder: Path) -> None:
    shutil.rmtree(folder / "redis")


@pytest.mark.parametrize("go", [delete, move, replace, delete_the_servers_files])
def test_a_folder_that_goes_is_noticed_by_the_next_call(
    folder: Path, go: Callable[[Path], None]
) -> None:
    with opened(folder) as memory:
        assert memory.store_agent_state("ant", {"food": 0}, 0)
        go(folder)
        for call in (
            lambda: memory.store_agent_state("ant", {"food": 1}, 1),
            lambda: memory.recall(Query(agent_id="ant")),
            memory.maintain,
            lambda: AgentMemorySystem(config(folder)).store_agent_state("ant", {"food": 1}, 1),
        ):
            with pytest.raises(StoreReplaced, match="open it again"):
                call()
    assert not (folder / "agent_memory.db-spool").exists()


def _store(folder: Path, stored: object, gone: object, answers: object) -> None:
    with opened(folder) as memory:
        memory.store_agent_state("ant", {"food": 0}, 0)
        stored.set()  # type: ignore[attr-defined]
        gone.wait(60)  # type: ignore[attr-defined]
        try:
            memory.store_agent_state("ant", {"food": 1}, 1)
        except MemoryStoreError as error:
            answers.put(type(error).__name__)  # type: ignore[attr-defined]
        else:
            answers.put("acknowledged")  # type: ignore[attr-defined]


def test_another_process_notices_too(folder: Path) -> None:
    context = multiprocessing.get_context("spawn")
    stored, gone, answers = context.Event(), context.Event(), context.SimpleQueue()
    process = context.Process(target=_store, args=(folder, stored, gone, answers))
    process.start()
    assert stored.wait(60)
    shutil.rmtree(folder)
    with opened(folder) as memory:
        assert memory.store_agent_state("bee", {"food": 5}, 0)
        gone.set()
        assert answers.get() == "StoreReplaced"
        process.join(60)
        assert len(memory.recall(Query(agent_id="bee"))) == 1


@pytest.mark.parametrize("replaced", [False, True])
def test_a_database_that_goes_alone_takes_no_entry_with_it(folder: Path, replaced: bool) -> None:
    with opened(folder) as memory:
        for step in range(20):
            assert memory.store_agent_state("ant", {"food": step}, step)
        memory.maintain()
        above = memory.im.count("default")
        for file in folder.glob("agent_memory.db*"):
            file.rename(folder / f"kept-{file.name}")
        if replaced:
            with contextlib.closing(sqlite3.connect(folder / "agent_memory.db")) as connection:
                connection.execute("CREATE TABLE somebody_elses (it INTEGER)")
        for step in range(20, 40):
            assert memory.store_agent_state("ant", {"food": step}, step)
        with pytest.raises(StoreReplaced, match="replaced" if replaced else "deleted or moved"):
            memory.maintain()
        assert memory.im.count("default") >= above
    for file in folder.glob("agent_memory.db*"):
        file.unlink()
    for file in folder.glob("kept-*"):
        file.rename(folder / file.name.removeprefix("kept-"))
    with opened(folder) as memory:
        memory.maintain()
        steps = sorted(hit.entry.step_number for hit in memory.recall(Query(agent_id="ant")))
        assert steps == list(range(40))


def test_a_question_to_a_database_that_went_is_refused(tmp_path: Path) -> None:
    file, query = tmp_path / "ltm.db", Query(run_id="run", agent_id="ant")
    with AgentMemorySystem(MemoryConfig(engine="fake", ltm_url=f"sqlite:///{file}")) as memory:
        memory.ltm.add(an_entry(run_id="run", agent_id="ant", compression_level=2))
        asked: tuple[Callable[[], object], ...] = (
            lambda: memory.ltm.find(query),
            lambda: memory.ltm.values_at(query, "food"),
        )
        assert all(ask() for ask in asked)
        file.rename(tmp_path / "elsewhere.db")
        for ask in asked:
            with pytest.raises(StoreReplaced):
                ask()
        (tmp_path / "elsewhere.db").rename(file)


def test_a_spool_that_goes_is_told_of_and_the_next_one_keeps_entries(tmp_path: Path) -> None:
    file = tmp_path / "spool"
    with contextlib.closing(Spool(file, "store", 10**7)) as spool:
        spool.put(an_entry(step_number=1), 1.0)
        for left in tmp_path.iterdir():
            left.unlink()
        with pytest.raises(StoreReplaced, match="was deleted, moved or replaced"):
            spool.put(an_entry(step_number=2), 2.0)
        spool.put(an_entry(step_number=2), 2.0)
    with contextlib.closing(Spool(file, "store", 10**7)) as again:
        assert len(again.waiting(9)) == 1


def test_a_folder_that_was_moved_is_not_made_again_for_what_waits(tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    folder.mkdir()
    spool = Spool(folder / "memory.db-spool", "store", 2**20)
    move(folder)
    with pytest.raises(StoreReplaced, match="folder of the spool"):
        spool.put(an_entry(), 1.0)
    assert not folder.exists()
    folder.with_name("elsewhere").rename(folder)
    spool.put(an_entry(), 1.0)
    assert spool.status().entries == 1
    spool.close()
