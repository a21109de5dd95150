"""The Lua scripts are made of the tables of fields and indexes, and name what they take."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent_memory.connections.redis.script import Script
from agent_memory.models.redis import FIELD_TABLE, FIELDS, INDEX_KEYS, Presence, entry_to_values
from agent_memory.repositories.redis import scripts
from agent_memory.repositories.redis.scripts.naming import OLD, lua
from agent_memory.testing import an_entry

_TEXTS = sorted(Path(scripts.__file__).parent.glob("*.py"))
_BY_NUMBER = re.compile(r"\bARGV\[|\bold\[")


def test_names_become_places() -> None:
    text = lua(
        "for i = $groups do f($now, $each.memory_id, $each.revision, i == $first) end",
        head=("agent", "now"),
        each=("memory_id", "revision"),
    )
    assert text == "for i = 3, #ARGV, 2 do f(ARGV[2], ARGV[i], ARGV[i + 1], i == 3) end"


def test_what_is_known_of_a_stored_entry_is_named_too() -> None:
    place = OLD.index("memory_type") + 1
    assert lua("old = g($old); f($old.memory_type)") == (
        f"old = g('revision', 'retrieval_count', 'attributes', 'memory_type'); f(old[{place}])"
    )


def test_a_name_that_nothing_bears_is_refused() -> None:
    with pytest.raises(KeyError, match=r"each\.nothing"):
        lua("f($each.nothing)", each=("memory_id",))


@pytest.mark.parametrize("path", _TEXTS, ids=lambda path: path.stem)
def test_no_script_takes_an_argument_by_number(path: Path) -> None:
    if path.stem != "naming":
        assert not _BY_NUMBER.search(path.read_text())


@pytest.mark.parametrize("script", [scripts.ADD, scripts.MOVE, scripts.REPLACE])
def test_every_field_and_index_of_the_tables_is_written(script: Script) -> None:
    for place, name in enumerate(FIELDS):
        argument = rf"ARGV\[i \+ {place}\]" if place else r"ARGV\[i\]"
        assert re.search(rf"'{name}', {argument}|set_attributes\(prefix, id, {argument}",
                         script.source), name  # fmt: skip
    for key in INDEX_KEYS:
        name = key.partition(":")[0]
        assert re.search(rf"append\(coming, prefix \.\. '{name}:?'", script.source), key
        assert re.search(rf"append\(going, prefix \.\. '{name}:?'", script.source), key


def test_values_stand_in_the_order_of_the_table() -> None:
    entry = an_entry(step_number=7, retrieval_count=3, revision=2, pinned=True)
    values = dict(zip(FIELDS, entry_to_values(entry, b"contents", "spelled"), strict=True))
    assert values["step_number"] == 7
    assert (values["retrieval_count"], values["revision"], values["pinned"]) == (3, 2, "1")
    assert (values["contents"], values["attributes"]) == (b"contents", "spelled")
    always = [field.name for field in FIELD_TABLE if field.presence is Presence.ALWAYS]
    assert list(FIELDS[: len(always)]) == always
    assert all(values[name] != "" for name in always)
