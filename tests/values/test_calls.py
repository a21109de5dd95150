"""A call that does not fit says which argument was meant, and is an error of this package."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from agent_memory import (
    AgentMemoryAPI,
    AgentMemorySystem,
    ConfigError,
    InvalidCall,
    InvalidEntry,
    Query,
    Rank,
    between,
    install_memory_hooks,
)
from agent_memory.values.calls import explains_call, explains_calls


@pytest.fixture(scope="module")
def memory() -> Iterator[Any]:
    with AgentMemorySystem({"engine": "fake"}) as system:
        yield system


ANY: Any = Query
CALLS: list[tuple[Callable[[Any], object], str]] = [
    (lambda _: ANY(step=5), "^Query: there is no argument step; write steps="),
    (lambda _: ANY("ant-1"), "^Query: .*'ant-1': write agent_id='ant-1'; there are agent_id, "),
    (lambda _: ANY(type="state"), "write memory_type="),
    (lambda _: ANY(where={}), "write attributes="),
    (lambda _: ANY(near={}), r"near: it goes beside the query, as in recall\("),
    (lambda m: m.statistics("agent"), "^statistics: .*write by='agent'"),
    (lambda m: m.run("a", params={}), "^run: .*no argument params; write parameters="),
    (lambda m: m.run("a", name="b"), "^run: name is given twice"),
    (lambda m: m.recall(agent="a"), "no argument agent; write agent_id="),
    (
        lambda _: replace(ANY(), stp=1),
        "no argument stp; write steps=...; there are agent_id",
    ),
    (lambda m: m.store_agent_state("a", {}, 1, agent=1), "no argument agent; there are priority"),
    (lambda m: AgentMemoryAPI.retrieve_recent_states(m, "a", limit=3), "write count="),  # type: ignore[call-arg]
    (lambda m: m.recall({"a"}, {"x": 1}, limit=3), "^recall: .*one too many, .*write near="),
    (lambda m: m.store_agent_state("a", {}, step=1), "write step_number="),
    (lambda m: m.maintain(1), "one too many, 1: leave it out; there are none"),
    (lambda m: m.export(), "^export: path must be given"),
    (lambda m: m.encoders.train(epoch=3), "^train: .*write epochs="),
    (lambda _: AgentMemorySystem.open(), "^open: path must be given"),  # type: ignore[call-arg]
    (lambda _: AgentMemorySystem({}, True), "^AgentMemorySystem: .*write read_only=True"),  # type: ignore[call-arg]
    (lambda _: Rank(relevanc=1), "^Rank: .*write relevance="),  # type: ignore[call-arg]
    (lambda _: between(1), "^between: greatest must be given"),  # type: ignore[call-arg]
]


@pytest.mark.parametrize(("call", "said"), CALLS)
def test_a_call_that_does_not_fit_says_what_was_meant(
    memory: Any, call: Callable[[Any], object], said: str
) -> None:
    with pytest.raises(InvalidCall, match=said) as refused:
        call(memory)
    # Whoever caught Python's own error, or this package's of other arguments, still does.
    assert isinstance(refused.value, TypeError)
    assert isinstance(refused.value, InvalidEntry)


def test_an_unknown_keyword_of_a_hook_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no argument stat; write state="):
        install_memory_hooks(stat="x")  # type: ignore[call-overload]


def test_an_error_from_within_a_call_that_fits_stays_what_it_is() -> None:
    def outer(number: int, **others: object) -> int:
        return inner(number, **others)

    def inner(number: int) -> int:
        return number + None  # type: ignore[operator]

    with pytest.raises(TypeError, match="unsupported operand") as own:
        explains_call(inner)(1)
    assert not isinstance(own.value, InvalidCall)
    with pytest.raises(TypeError, match="unexpected keyword") as within:
        explains_call(outer)(1, other=2)
    assert not isinstance(within.value, InvalidCall)


def test_signatures_and_kinds_of_methods_stay() -> None:
    class Plain:
        def __init__(self, *, size: int = 1) -> None:
            self.size = size

        @classmethod
        def made(cls, size: int) -> Plain:
            return cls(size=size)

        @property
        def double(self) -> int:
            return 2 * self.size

    before = inspect.signature(Plain), inspect.signature(Plain.made)
    same = explains_calls()(Plain)
    assert same is Plain
    assert (inspect.signature(Plain), inspect.signature(Plain.made)) == before
    assert Plain.made(4).double == 8
    with pytest.raises(InvalidCall, match=r"^Plain: .*write size="):
        Plain(sice=3)  # type: ignore[call-arg]
