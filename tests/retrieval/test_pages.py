"""Pages of an answer: each entry once, whatever is stored, moved or forgotten between two pages."""

from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent_memory import (
    AgentMemorySystem,
    Hit,
    Hits,
    InvalidEntry,
    MemoryConfig,
    Order,
    Query,
    between,
    one_of,
)
from agent_memory.testing import an_entry
from agent_memory.testing.questions import random_query
from agent_memory.testing.samples import a_memory_id
from tests.engines import usually_on
from tests.memories import Opener, any_path, laid_out


def pages(
    memory: AgentMemorySystem, query: Query, meanwhile: Callable[[], object] = lambda: None
) -> Iterator[Hits]:
    """The pages of an answer up to the empty one, with something done after each."""
    page = memory.recall(query, touch=False)
    while page:
        yield page
        meanwhile()
        page = memory.recall(query, after=page.next, touch=False)


@any_path
@pytest.mark.parametrize("seed", range(1))
def test_the_pages_of_any_question_are_the_answer_of_the_reference(
    open_memory: Opener, seed: int
) -> None:
    rng = random.Random(seed)
    memory = open_memory()
    reference = laid_out(memory, rng)
    for _ in range(8):
        query = replace(random_query(rng), limit=rng.choice((2, 5, 9, 60)))
        found = [hit.entry for page in pages(memory, query) for hit in page]
        assert found == reference.find(replace(query, limit=None)), query


@usually_on("embedded", "tcp and postgresql")
@pytest.mark.parametrize("order", [Order.STEP, Order.NEWEST, Order.IMPORTANCE])
def test_pages_neither_skip_nor_double_while_entries_come_move_and_go(
    open_memory: Opener, order: Order
) -> None:
    rng = random.Random(str(order))
    memory = open_memory()
    tiers = memory.stm, memory.im, memory.ltm
    # All of one importance and few of each time: the ends of pages lie among equals.
    there = {
        entry.memory_id: entry
        for entry in (
            an_entry(
                memory_id=a_memory_id(number), run_id="run", step_number=number // 7,
                timestamp=float(number // 7), importance_score=0.5,
            )
            for number in range(32)
        )
    }  # fmt: skip
    for entry in there.values():
        rng.choice(tiers).add(entry)
    forgotten, came = set[str](), set[str]()

    def meanwhile() -> None:
        for memory_id in rng.sample(sorted(there.keys() - forgotten), 6):
            entry = there[memory_id]
            for above, below in ((memory.im, memory.ltm), (memory.stm, memory.im)):
                for copied in above.get_many([entry.key]):
                    below.add(copied)
                    above.remove(copied.key)
        doomed = there[rng.choice(sorted(there.keys() - forgotten))]
        memory.ltm.forget([doomed.key], at=0.0)
        memory.stm.remove(doomed.key)
        memory.im.remove(doomed.key)
        forgotten.add(doomed.memory_id)
        new = an_entry(
            memory_id=a_memory_id(1_000 + len(came)), run_id="run", importance_score=0.5,
            step_number=rng.randrange(7), timestamp=float(rng.randrange(7)),
        )  # fmt: skip
        memory.stm.add(new)
        came.add(new.memory_id)

    query = Query(run_id="run", agent_id="ant", order=order, limit=3)
    found = [hit.entry.memory_id for page in pages(memory, query, meanwhile) for hit in page]
    assert len(found) == len(set(found))
    assert there.keys() - forgotten <= set(found) <= there.keys() | came


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[AgentMemorySystem]:
    with AgentMemorySystem(MemoryConfig(engine="fake", path=tmp_path)) as memory:
        for step in range(10):
            memory.store_agent_state("ant", {"food": step % 3, "mood": f"m{step}"}, step)
            memory.run("other").store_agent_state("ant", {"food": step}, step)
        yield memory


def steps(hits: list[Hit]) -> list[int]:
    return [hit.entry.step_number for hit in hits]


def test_a_cursor_is_text_that_holds_where_its_entry_was_forgotten(
    memory: AgentMemorySystem,
) -> None:
    first = memory.recall(agent_id="ant", limit=4)
    assert isinstance(first.next, str)
    assert first.next.isascii()
    memory.forget(query=Query(agent_id="ant", steps=(2, 4)))
    assert steps(memory.recall(agent_id="ant", limit=3, after=first.next)) == [5, 6, 7]
    assert steps(memory.recall(agent_id="ant", after=first.next)) == [5, 6, 7, 8, 9]
    assert memory.recall(agent_id="ant", limit=0, after=first.next) == []


def test_an_answer_without_limit_or_hits_has_no_cursor(memory: AgentMemorySystem) -> None:
    assert memory.recall(agent_id="ant").next is None
    assert memory.recall(agent_id="nobody", limit=3).next is None
    assert memory.recall(agent_id="ant", limit=3, near={"food": 1}).next is None
    assert memory.recall(agent_id="ant", limit=3, rank="freshness").next is None


def test_hits_are_a_list_that_can_be_copied_pickled_and_cut(memory: AgentMemorySystem) -> None:
    hits = memory.recall(agent_id="ant", limit=4)
    for copied in (copy.copy(hits), pickle.loads(pickle.dumps(hits))):  # noqa: S301 - our own
        assert copied == hits
        assert copied.next == hits.next
    assert type(hits[1:]) is list
    assert hits == [*hits]
    last = hits.next
    hits.pop()
    assert hits.next == last, "what was found decides, not what became of the list"


def test_a_question_spelled_otherwise_is_the_same(memory: AgentMemorySystem) -> None:
    asked: dict[str, Any] = {"mood": one_of({"m1", "m3", "m5"}), "food": between(0, 9)}
    first = memory.recall(agent_id="ant", limit=1, attributes=asked, order="oldest")
    again = dict(reversed([("mood", one_of("m5", "m3", "m1")), ("food", between(0, 9))]))
    second = memory.recall(agent_id=["ant"], run_id="default", attributes=again, after=first.next)
    assert steps(first) + steps(second) == [1, 3, 5]


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"agent_id": None}, "another query"),
        ({"run_id": "other"}, "another query"),
        ({"order": Order.NEWEST}, "another query"),
        ({"steps": (0, 5)}, "another query"),
        ({"attributes": {"food": 1}}, "another query"),
        ({"pinned": False}, "another query"),
        ({"after": "nonsense"}, "damaged"),
        ({"after": "ä" * 20}, "damaged"),
        ({"after": ""}, "hits.next"),
        ({"after": 7}, "hits.next"),
        ({"after": "x" * 200_000}, "hits.next"),
        ({"near": {"food": 1}}, "larger limit"),
        ({"rank": "freshness"}, "larger limit"),
        ({"diverse": 0.5}, "larger limit"),
    ],
)
def test_a_cursor_of_another_question_is_refused(
    memory: AgentMemorySystem, changed: dict[str, Any], wanted: str
) -> None:
    first = memory.recall(agent_id="ant", limit=4)
    asked: dict[str, Any] = {"agent_id": "ant", "limit": 4, "after": first.next} | changed
    with pytest.raises(InvalidEntry, match=wanted):
        memory.recall(**asked)


def test_any_damage_to_a_cursor_is_noticed(memory: AgentMemorySystem) -> None:
    cursor = memory.recall(agent_id="ant", limit=4).next
    assert cursor is not None
    for place in range(0, len(cursor) - 1, 5):
        damaged = cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :]
        with pytest.raises(InvalidEntry, match="after"):
            memory.recall(agent_id="ant", limit=4, after=damaged)
