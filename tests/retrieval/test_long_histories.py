"""A history holds the contents of a bounded number of entries at once, and finds each value."""

from __future__ import annotations

import tracemalloc

import pytest

from agent_memory import AgentMemorySystem
from agent_memory.repositories.redis import path_values
from agent_memory.repositories.sql import reads
from agent_memory.testing import an_entry
from tests.engines import usually_on
from tests.memories import Opener

_AT_ONCE = 10


@pytest.fixture
def memory(open_memory: Opener, monkeypatch: pytest.MonkeyPatch) -> AgentMemorySystem:
    """A memory that reads few values at once."""
    for module in (path_values, reads):
        monkeypatch.setattr(module, "VALUES_AT_ONCE", _AT_ONCE)
    return open_memory()


@usually_on("embedded")
def test_each_value_is_found_however_many_entries_have_one_step(memory: AgentMemorySystem) -> None:
    # As many as a part has, one more, and more than twice as many.
    steps = [0] * 3 + [1] * 10 + [2] + [3] * 11 + [4] * 25 + [*range(5, 16)]
    for tier, level in ((memory.stm, 0), (memory.ltm, 2)):
        tier.add_many(
            [
                an_entry(
                    agent_id="ant", step_number=step, contents={"n": number + level / 2},
                    compression_level=level,
                )
                for number, step in enumerate(steps)
            ]
        )  # fmt: skip
    history = memory.history("ant", "n", run_id="run", memory_type=None)
    assert history.steps.tolist() == sorted(2 * steps)
    numbers = [*range(len(steps)), *range(1, len(steps) + 1)]  # in short-term memory, and below
    assert sorted(history.values.tolist()) == sorted(numbers)
    some = memory.history("ant", "n", run_id="run", memory_type=None, steps=(3, 4))
    assert some.steps.tolist() == [3] * 22 + [4] * 50


@usually_on("embedded")
@pytest.mark.parametrize("tier", ["stm", "ltm"])
def test_the_contents_of_few_entries_are_held_at_once(
    memory: AgentMemorySystem, tier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, size = 300, 20_000
    contents = [{"n": step, "text": "x" * size} for step in range(number)]
    getattr(memory, tier).add_many(
        [
            an_entry(
                agent_id="ant", step_number=step, contents=one,
                compression_level=0 if tier == "stm" else 2,
            )
            for step, one in enumerate(contents)
        ]
    )  # fmt: skip
    tracemalloc.start()
    try:
        history = memory.history("ant", "n", run_id="run", memory_type=None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert history.values.tolist() == [*range(number)]
    assert peak < number * size / 3  # a third of what all of them take
