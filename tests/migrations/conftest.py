from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.config import Config
from sqlalchemy import Engine

from agent_memory.connections.sql import open_engine
from agent_memory.repositories.sql import schema


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without any table: SQLite's, unless the parameter says "postgresql"."""
    if getattr(request, "param", "sqlite") == "postgresql":
        made: str = request.getfixturevalue("postgresql_database")
        return made
    return f"sqlite:///{tmp_path}/ltm.db"


on_every_engine = pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = open_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def alembic_engine(engine: Engine) -> Engine:
    return engine


@pytest.fixture
def alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(schema.scripts_folder()))
    return config
