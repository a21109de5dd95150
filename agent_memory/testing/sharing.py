"""Promises of sharing: threads lose no write, and both sides of a fork go on."""

from __future__ import annotations

import os
import signal
import threading
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from agent_memory.errors import EntryConflict
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.outcomes import Added
from agent_memory.testing.samples import an_entry
from agent_memory.testing.storing import everything
from agent_memory.values.query import Query

_T = TypeVar("_T")


def _at_once(work: Callable[[int], _T], threads: int = 4) -> list[_T]:
    """Do the work in several threads that start together; gives what each returned."""
    gate = threading.Barrier(threads)

    def run(number: int) -> _T:
        gate.wait(timeout=30)
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))


class SharingContract:
    """Several threads, several processes."""

    def test_threads_that_add_the_same_keys_store_each_once(
        self, repository: MemoryRepository
    ) -> None:
        entries = [an_entry(agent_id=f"agent {place % 3}") for place in range(60)]
        outcomes = _at_once(lambda number: repository.add_many(entries[:: 1 - 2 * (number % 2)]))
        counted = Counter(outcome for outcomes_of_one in outcomes for outcome in outcomes_of_one)
        assert counted == {Added.STORED: 60, Added.PRESENT: 180}
        assert set(everything(repository)) == set(entries)

    def test_threads_lose_no_retrieval(self, repository: MemoryRepository) -> None:
        entry = an_entry()
        repository.add(entry)
        _at_once(lambda _: [repository.touch({entry.key: 1}, at=2.0) for _ in range(25)])
        assert repository.get(entry.key).retrieval_count == 100

    def test_of_threads_that_change_the_same_revision_one_succeeds(
        self, repository: MemoryRepository
    ) -> None:
        entry = an_entry()
        repository.add(entry)

        def change(number: int) -> bool:
            try:
                repository.replace(replace(entry, contents={"by": number}))
            except EntryConflict:
                return False
            return True

        won = _at_once(change)
        assert won.count(True) == 1
        stored = repository.get(entry.key)
        assert stored == replace(entry, contents={"by": won.index(True)}, revision=1)

    def test_of_threads_that_remove_an_entry_one_finds_it(
        self, repository: MemoryRepository
    ) -> None:
        entries = [an_entry() for _ in range(20)]
        repository.add_many(entries)
        keys = [entry.key for entry in entries]
        assert sum(_at_once(lambda _: repository.remove_many(keys))) == 20
        assert repository.runs() == []

    def test_a_touch_beside_a_move_is_moved_or_keeps_the_entry(
        self, repository: MemoryRepository
    ) -> None:
        entries = [an_entry() for _ in range(30)]
        repository.add_many(entries)
        keys = [entry.key for entry in entries]

        def work(number: int) -> list[bool]:
            if number == 0:
                return [bool(gone) for gone in repository.remove_copied(entries)]
            return [not repository.touch({key: 1}, at=2.0) for key in keys]

        removed, touched = _at_once(work, threads=2)
        for key, is_gone, was_there in zip(keys, removed, touched, strict=True):
            # Exactly one of the two came first, and the other noticed.
            assert is_gone != was_there
            assert [entry.retrieval_count for entry in repository.get_many([key])] == [
                1
            ] * was_there

    def test_readers_beside_writers_see_whole_entries(self, repository: MemoryRepository) -> None:
        entries = [an_entry(contents={"place": place}) for place in range(40)]
        by_id = {entry.memory_id: entry for entry in entries}

        def work(number: int) -> None:
            if number < 2:
                for _ in range(3):
                    repository.add_many(entries)
                    repository.clear_agents("run", ["ant"])
            for _ in range(20):
                for found in repository.find(Query(run_id="run", agent_id="ant", limit=40)):
                    assert found == by_id[found.memory_id]

        _at_once(work)

    def test_both_sides_of_a_fork_go_on(self, repository: MemoryRepository) -> None:
        before, in_child, after = an_entry(), an_entry(), an_entry()
        repository.add(before)

        def child() -> None:
            assert repository.get(before.key) == before
            assert repository.add(in_child) is Added.STORED
            assert repository.get(in_child.key) == in_child

        assert _forked(child) == 0
        repository.add(after)
        assert repository.get_many([before.key, after.key]) == [before, after]
        assert repository.count("run") == len(everything(repository))

    def test_a_fork_while_other_threads_write_does_not_hang(
        self, repository: MemoryRepository
    ) -> None:
        done = threading.Event()

        def write() -> None:
            while not done.is_set():
                repository.add(an_entry())

        entry = an_entry(agent_id="bee")
        repository.add(entry)
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(write)
            try:
                codes = [_forked(lambda: repository.get(entry.key)) for _ in range(3)]
            finally:
                done.set()
            writing.result()
        assert codes == [0, 0, 0]


def _forked(work: Callable[[], object], seconds: int = 5) -> int:
    """Do the work in a forked process; gives its exit code, or minus the signal that ended it."""
    with warnings.catch_warnings():
        # Python 3.12 warns of forks beside threads, which is what these tests are about.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(seconds)
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - must not return into the test runner's copy
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
