from __future__ import annotations

import gc
import itertools
import os
import re
import threading
import uuid
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agent_memory.errors import InvalidEntry
from agent_memory.values.identity import (
    MAX_NAME_LENGTH,
    MemoryIds,
    Ordinals,
    checked_agent_id,
    checked_memory_id,
    checked_run_id,
    reproducible_id,
)


def test_a_memory_id_is_a_uuid_of_version_7_with_the_time_it_was_made() -> None:
    made = MemoryIds(clock=lambda: 1_700_000_000.123)()
    parsed = uuid.UUID(made)
    assert re.fullmatch("[0-9a-f]{32}", made)
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert parsed.int >> 80 == 1_700_000_000_123


def test_ids_of_one_process_sort_in_the_order_they_were_made() -> None:
    ids = MemoryIds()
    made = [ids() for _ in range(20_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


@pytest.mark.parametrize(
    "times",
    [
        itertools.repeat(5.0),
        itertools.count(100.0, -0.5),
        itertools.cycle([3.0, 1.0]),
        itertools.repeat(-7.0),
        itertools.repeat(1e300),
    ],
    ids=["stands", "goes back", "jumps", "before 1970", "beyond all time"],
)
def test_ids_go_on_when_the_clock_does_not(times: Any) -> None:
    ids = MemoryIds(clock=lambda: next(times))
    made = [ids() for _ in range(10_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert {uuid.UUID(each).version for each in made} == {7}


def test_threads_make_different_ids_and_each_sees_its_own_ascend() -> None:
    ids = MemoryIds(clock=lambda: 5.0, random_bytes=lambda count: b"\0" * count)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: [ids() for _ in range(2_000)], range(8)))
    assert len({each for mine in made for each in mine}) == 16_000
    assert all(mine == sorted(mine) for mine in made)


def test_both_sides_of_a_fork_make_different_ids() -> None:
    ids = MemoryIds()
    ids()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, "\n".join(ids() for _ in range(1_000)).encode())
        os._exit(0)
    os.close(write)
    mine = [ids() for _ in range(1_000)]
    with os.fdopen(read) as pipe:
        theirs = pipe.read().split("\n")
    assert os.waitpid(child, 0)[1] == 0
    assert len(theirs) == 1_000
    assert not set(mine) & set(theirs)


def test_a_fork_while_another_thread_makes_an_id_does_not_hang() -> None:
    held, release = threading.Event(), threading.Event()
    ids = MemoryIds()
    lock = ids._lock

    def hold() -> None:
        with lock:
            held.set()
            release.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    child = os.fork()
    if child == 0:
        os._exit(0 if len(ids()) == 32 else 1)
    code = os.waitpid(child, 0)[1]
    release.set()
    thread.join()
    assert code == 0


def test_what_makes_ids_is_not_kept_alive_by_the_fork_hook() -> None:
    ids = MemoryIds()
    gone = weakref.ref(ids)
    del ids
    gc.collect()
    assert gone() is None


def test_reproducible_ids_are_the_same_on_every_machine() -> None:
    # Written down once: a change here would make every reproducible run a different one.
    made = reproducible_id("run", "ant", 17, "state", 0)
    assert made == _WRITTEN_DOWN
    assert reproducible_id("run", "ant", 17, "state", 0) == made
    assert uuid.UUID(made).version == 8
    assert uuid.UUID(made).variant == uuid.RFC_4122


_WRITTEN_DOWN = "0000000000118000b83125ca8ac5de3c"


def test_reproducible_ids_differ_in_each_of_what_they_are_made_of() -> None:
    parts = itertools.product(
        ("run", "run2", "ru", ""), ("ant", "nant", "a:nt", "3:ant"), (0, 1, 255, 2**48),
        ("state", "action"), (0, 1, 4095, 4096, 4097),
    )  # fmt: skip
    made = [reproducible_id(*each) for each in parts]
    assert len(set(made)) == len(made)


def test_reproducible_ids_do_not_run_names_together() -> None:
    assert reproducible_id("a", "b\0", 0, "c", 0) != reproducible_id("a", "b", 0, "\0c", 0)
    assert reproducible_id("a\0001:b", "c", 0, "d", 0) != reproducible_id(
        "a", "b\0001:c", 0, "d", 0
    )


def test_reproducible_ids_sort_by_step_and_then_by_ordinal() -> None:
    made = [
        reproducible_id("run", "ant", step, kind, ordinal)
        for step in (0, 1, 2, 1_000, 10**6)
        for ordinal, kind in enumerate(["state", "action", "interaction"] * 30)
    ]
    assert made == sorted(made)


def test_reproducible_ids_of_other_contents_differ() -> None:
    made = [
        reproducible_id("run", "ant", 17, "state", ordinal, contents)
        for ordinal, contents in itertools.product(
            (0, 1, 5_000), (b"", b"\x80", b"\x81", b"\0\x80")
        )
    ]
    assert len(set(made)) == len(made)
    assert made[0] == _WRITTEN_DOWN
    assert {uuid.UUID(each).version for each in made} == {8}


def test_ordinals_count_what_is_stored_in_the_step_an_agent_is_in() -> None:
    ordinals = Ordinals()
    assert [ordinals.next("run", "ant", step) for step in (7, 7, 8, 8, 7, 7)] == [0, 1] * 3
    assert ordinals.next("run", "bee", 7) == ordinals.next("other", "ant", 7) == 0
    ordinals.give_back("run", "ant", 7)
    ordinals.give_back("run", "ant", 8)
    assert ordinals.next("run", "ant", 7) == 1
    ordinals.forget("run", ["bee"])
    assert (ordinals.next("run", "ant", 7), ordinals.next("run", "bee", 7)) == (2, 0)
    ordinals.forget("run")
    assert (ordinals.next("run", "ant", 7), ordinals.next("other", "ant", 7)) == (0, 1)


@pytest.mark.parametrize(
    "given",
    [
        "0123456789abcdef0123456789abcdef",
        "0123456789ABCDEF0123456789ABCDEF",
        "01234567-89ab-cdef-0123-456789abcdef",
        "{01234567-89ab-cdef-0123-456789abcdef}",
        uuid.UUID("0123456789abcdef0123456789abcdef"),
    ],
)
def test_a_memory_id_has_one_canonical_form(given: Any) -> None:
    assert checked_memory_id(given) == "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("given", ["", "ant", "0" * 31, "0" * 33, "g" * 32, None, 7, b"0" * 32])
def test_what_is_no_uuid_is_refused(given: Any) -> None:
    with pytest.raises(InvalidEntry, match="memory_id"):
        checked_memory_id(given)


@pytest.mark.parametrize("check", [checked_agent_id, checked_run_id])
@pytest.mark.parametrize(
    "name", ["a", " ", "\0", "\n", "*", "{}", "\U0001f41c", "x" * MAX_NAME_LENGTH]
)
def test_a_name_may_be_any_text(check: Any, name: str) -> None:
    assert check(name) == name


@pytest.mark.parametrize("check", [checked_agent_id, checked_run_id])
@pytest.mark.parametrize(
    "name", ["", None, b"a", 1.5, True, "x" * (MAX_NAME_LENGTH + 1), "\ud800", "a\udfffb", ["a"]]
)
def test_what_is_no_name_is_refused(check: Any, name: Any) -> None:
    with pytest.raises(InvalidEntry, match=r"^(agent|run)_id"):
        check(name)


def test_only_an_agent_may_be_named_by_an_int() -> None:
    assert checked_agent_id(-3) == "-3"
    with pytest.raises(InvalidEntry):
        checked_run_id(3)
