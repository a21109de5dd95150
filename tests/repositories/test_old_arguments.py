"""Arguments go by their old names too, and a warning names the new one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.sql import open_engine
from agent_memory.repositories.sql import schema
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.testing import an_entry


@pytest.fixture
def sql_engine() -> Iterator[Engine]:
    engine = open_engine("sqlite://")
    schema.ensure(engine)
    yield engine
    engine.dispose()


def test_engine_is_the_old_name_of_a_repositorys_sql_engine(sql_engine: Engine) -> None:
    old: Any = LtmRepository
    with pytest.warns(DeprecationWarning, match="use sql_engine="):
        repository = old(engine=sql_engine, codec=ContentsCodec())
    entry = an_entry()
    repository.add(entry)
    assert repository.get(entry.key) == entry


@pytest.mark.parametrize("ask", [schema.ensure, schema.check, schema.current, schema.check_tables])
def test_engine_is_the_old_name_of_the_schemas_sql_engine(
    sql_engine: Engine, ask: Callable[..., object]
) -> None:
    with pytest.warns(DeprecationWarning, match="use sql_engine="):
        old = ask(engine=sql_engine)
    assert old == ask(sql_engine)


def test_engine_or_url_is_the_old_name_of_what_is_upgraded(sql_engine: Engine) -> None:
    with pytest.warns(DeprecationWarning, match="use sql_engine_or_url="):
        schema.downgrade(engine_or_url=sql_engine, revision="base")  # type: ignore[call-arg]
    with pytest.warns(DeprecationWarning, match="use sql_engine_or_url="):
        schema.upgrade(engine_or_url=sql_engine)  # type: ignore[call-arg]
    assert schema.current(sql_engine) == schema.HEAD
