"""Former names of a repository's methods work, and name the new ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent_memory.repositories.in_memory import InMemoryRepository
from agent_memory.testing import an_entry
from agent_memory.values.entry import MemoryType
from agent_memory.values.query import Query

ANT = "run", "ant"
FIRST, SECOND = (
    an_entry(step_number=step, timestamp=float(step), importance_score=step / 4, embedding=[1.0])
    for step in (1, 2)
)
KEYS = [FIRST.key, SECOND.key]

ANSWERS: dict[str, tuple[Callable[[Any], object], object]] = {
    "by_step": (lambda it: it.by_step(*ANT, 1), [FIRST]),
    "by_step_range": (lambda it: it.by_step_range(*ANT, 1, 2, limit=1), [FIRST]),
    "by_time_range": (lambda it: it.by_time_range(*ANT, 1.5, 2.5), [SECOND]),
    "recent": (lambda it: it.recent(*ANT), [SECOND, FIRST]),
    "oldest": (lambda it: it.oldest(*ANT, count=1), [FIRST]),
    "by_type": (lambda it: it.by_type(*ANT, MemoryType.STATE), [SECOND, FIRST]),
    "by_importance": (lambda it: it.by_importance(*ANT, least=0.5), [SECOND]),
    "clear_agent": (lambda it: it.clear_agent(*ANT), 2),
    "keys_of": (lambda it: it.keys_of("run", ["ant"]), KEYS),
    "reembed": (lambda it: it.reembed([FIRST]), [True]),
    "recode": (lambda it: it.recode([FIRST]), [False]),
    "vectors": (lambda it: len(it.vectors(Query(run_id="run", agent_id="ant"))), 1),
    "outdated": (lambda it: it.outdated(*ANT, 7), KEYS),
    "versions": (lambda it: it.versions(), {}),
    "code_versions": (lambda it: it.code_versions(), {}),
    "get_readable": (lambda it: it.get_readable(KEYS), [FIRST, SECOND]),
    "find_readable": (lambda it: it.find_readable([]), []),
    "agent_counts": (lambda it: list(it.agent_counts("run")), ["ant"]),
    "importances": (lambda it: it.importances(*ANT), [(KEYS[1], 0.5), (KEYS[0], 0.25)]),
    "stored_bytes": (lambda it: it.stored_bytes() > 0, True),
    "declare_attributes": (lambda it: it.declare_attributes(), None),
    "open_moves": (lambda it: it.open_moves(), []),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_former_name_answers_as_it_did_and_warns_with_the_name_of_today(name: str) -> None:
    repository = InMemoryRepository()
    repository.add_many([SECOND, FIRST])
    ask, expected = ANSWERS[name]
    with pytest.warns(DeprecationWarning, match=rf"InMemoryRepository\.{name} is deprecated; use"):
        assert ask(repository) == expected


def test_a_name_that_nothing_ever_had_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'InMemoryRepository' object has no attribute 'by'"):
        InMemoryRepository().by  # type: ignore[attr-defined]  # noqa: B018


def test_former_names_are_offered_to_nobody() -> None:
    assert not {"recent", "oldest", "reembed"} & set(dir(InMemoryRepository()))
