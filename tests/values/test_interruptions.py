"""What a signal's handler raises comes out as it is, wherever it was at that moment."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import numpy as np
import pytest

from agent_memory import AgentMemorySystem, MemoryEntry, Query
from agent_memory.embeddings.features import flatten
from agent_memory.errors import InvalidEntry
from agent_memory.values import contents, plain
from agent_memory.values.interruptions import interruption_behind
from tests.faults.interrupting import Places


class Expired(Exception):
    """A program's own, raised by its alarm."""


def plainly(signum: int, frame: FrameType | None) -> NoReturn:
    raise Expired(signum, frame)


def of_anything(*_: object) -> NoReturn:
    raise Expired


def without_its_arguments(signum: int, frame: FrameType | None) -> NoReturn:
    del signum, frame
    raise Expired


def set_back(_: int, frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    raise Expired


class Alarm:
    def ring(self, _: int, frame: FrameType | None) -> NoReturn:
        del frame
        raise Expired

    __call__ = ring


def with_more(more: object, signum: int, frame: FrameType | None) -> NoReturn:
    del more, signum, frame
    raise Expired


HANDLERS: dict[str, Callable[..., NoReturn]] = {
    "function": plainly,
    "of anything": of_anything,
    "lets go of its arguments": without_its_arguments,
    "sets itself back": set_back,
    "method": Alarm().ring,
    "object": Alarm(),
    "partial": partial(with_more, 1),
}


@contextmanager
def handled(handler: Callable[..., Any]) -> Iterator[None]:
    former = signal.signal(signal.SIGALRM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, former)


class Rings(dict[str, Any]):
    """Contents that are read just as a signal comes."""

    def items(self) -> Any:
        signal.raise_signal(signal.SIGALRM)
        return super().items()


class Fails(dict[str, Any]):
    """Contents whose own code fails, in a function that is given a frame of another."""

    def items(self) -> Any:
        raise Expired


@pytest.mark.parametrize("handler", HANDLERS.values(), ids=HANDLERS)
def test_what_any_kind_of_handler_raises_comes_out_as_it_is(handler: Callable[..., Any]) -> None:
    with handled(handler), pytest.raises(Expired):
        contents.plain_contents(Rings(food=1))


def test_what_a_values_own_code_raises_is_still_refused() -> None:
    with handled(plainly), pytest.raises(InvalidEntry, match="own code fails"):
        contents.plain_contents(Fails(food=1))


class Odd:
    """Numbers and texts of classes of their own, which are made plain."""

    class Name(str):
        __slots__ = ()

    class Many(list[Any]):
        pass


def state_of(step: int) -> dict[Any, Any]:
    return {
        "step": np.int64(step),
        "name": Odd.Name("ant"),
        "seen": Odd.Many([np.float32(0.5), (step, Odd.Name("bee"))]),
        "at": {"x": step / 7, Odd.Name("y"): {step}},
    }


def make_plain() -> None:
    contents.plain_contents(state_of(1))


def pack() -> None:
    contents.unpack(contents.pack(state_of(1)))


def refuse() -> None:
    with suppress(InvalidEntry):
        contents.pack(state_of(1) | {"odd": [object()]})


def ask() -> None:
    Query(agent_id=["ant", "bee"], attributes={"at.x": (0, np.float32(1.0)), "name": ["ant"]})


ENTRY = {
    "memory_id": "0" * 32,
    "run_id": "a",
    "agent_id": 7,
    "memory_type": "state",
    "step_number": 1,
    "timestamp": 2,
}


def enter() -> None:
    MemoryEntry.from_dict(ENTRY | {"contents": state_of(1)})


def flat() -> None:
    flatten(state_of(1))


@pytest.mark.parametrize("kind", [Expired, TimeoutError, TypeError, ValueError])
@pytest.mark.parametrize("work", [make_plain, pack, refuse, ask, enter, flat])
def test_no_place_turns_an_interruption_into_a_fault_of_what_is_given(
    monkeypatch: pytest.MonkeyPatch, kind: type[Exception], work: Callable[[], None]
) -> None:
    lost: list[object] = []  # as a generator was closed, where nothing can come out
    monkeypatch.setattr(sys, "unraisablehook", lost.append)
    places = Places(work, kind)
    # What else is raised fails the test where it comes out.
    for found in places.each(29 if work is refuse else 1):
        # Python's own enums try another way when a ValueError came up.
        assert found is not None or lost or "enum.py" in places.where, places.where
        lost.clear()


def test_a_signal_that_comes_while_contents_are_made_plain_stores_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    making = plain.plain_value

    def rung(value: object) -> object:
        signal.raise_signal(signal.SIGALRM)
        return making(value)

    with AgentMemorySystem({"engine": "fake", "ltm_url": "sqlite://"}) as memory:
        monkeypatch.setattr(plain, "plain_value", rung)
        with handled(plainly), pytest.raises(Expired):
            memory.store_agent_state("ant", state_of(1), 1)
        monkeypatch.undo()
        assert memory.recall(Query()) == []


def replaced() -> BaseException | None:
    """What is behind an error of a driver that tidied up as it was interrupted."""
    try:
        try:
            signal.raise_signal(signal.SIGALRM)
        finally:
            open_what_is_not_there()
    except OSError as error:
        return interruption_behind(error)
    return None


def failed() -> BaseException | None:
    """What is behind an error that has its own reasons."""
    try:
        open_what_is_not_there()
    except OSError as error:
        return interruption_behind(error)
    return None


def open_what_is_not_there() -> None:
    Path("/not/there").read_bytes()


def test_what_took_the_place_of_an_interruption_is_told_from_what_came_after_it() -> None:
    with handled(of_anything):
        assert type(replaced()) is Expired
        try:
            signal.raise_signal(signal.SIGALRM)
        except Expired:
            # The program has caught it, and goes on.
            assert failed() is None
