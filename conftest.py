"""Runs the examples of README, docs and docstrings as tests, each file in a folder of its own."""

from __future__ import annotations

import os
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from sybil import Sybil
from sybil.document import PythonDocStringDocument
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser
from sybil.parsers.rest import DocTestParser
from sybil.sybil import SybilCollection

from agent_memory import AgentMemorySystem, MemoryConfig, Query
from agent_memory.connections.deployment import REDIS_URL_VARIABLE
from agent_memory.connections.embedded.server import server_binary
from tests.models import servers


def _enter_own_folder(namespace: dict[str, Any]) -> None:
    namespace["_left"] = Path.cwd()
    os.chdir(mkdtemp(prefix="agent-memory-docs-"))


def _leave_own_folder(namespace: dict[str, Any]) -> None:
    os.chdir(namespace["_left"])


def _enter_with_query_engine(namespace: dict[str, Any]) -> None:
    _enter_own_folder(namespace)
    namespace["_servers"] = ExitStack()
    try:
        url = namespace["_servers"].enter_context(servers.server(server_binary(), modules=True))
    except servers.NotInstalled:
        namespace["query_engine"] = False
    else:
        namespace["query_engine"] = True
        os.environ[REDIS_URL_VARIABLE] = url


def _leave_with_query_engine(namespace: dict[str, Any]) -> None:
    os.environ.pop(REDIS_URL_VARIABLE, None)
    namespace["_servers"].close()
    _leave_own_folder(namespace)


def _enter_with_extras(namespace: dict[str, Any]) -> None:
    """Say which packages are there, and let Minari write into the page's folder."""
    _enter_own_folder(namespace)
    for package in ("gymnasium", "minari", "pettingzoo"):
        namespace[package] = find_spec(package) is not None
    namespace["_datasets"] = os.environ.get(_DATASETS)


def _leave_with_extras(namespace: dict[str, Any]) -> None:
    os.environ.pop(_DATASETS, None)
    if namespace["_datasets"] is not None:
        os.environ[_DATASETS] = namespace["_datasets"]
    _leave_own_folder(namespace)


def _enter_with_memory(namespace: dict[str, Any]) -> None:
    """What the examples of docstrings find: a memory in which ``ant-1`` has stored ten states."""
    _enter_own_folder(namespace)
    memory = AgentMemorySystem(MemoryConfig(engine="fake", ltm_url="sqlite:///ltm.db"))
    for step in range(10):
        memory.store_agent_state("ant-1", {"food": step / 2, "at": (step, 3)}, step)
    namespace.update(memory=memory, Query=Query)


def _leave_with_memory(namespace: dict[str, Any]) -> None:
    namespace["memory"].close()
    _leave_own_folder(namespace)


_NEEDS_QUERY_ENGINE = "docs/querying.md"
_NEED_EXTRAS = ("docs/gymnasium.md", "docs/pettingzoo.md")
_DATASETS = "MINARI_DATASETS_PATH"
_HAS_FRAMES = all(map(find_spec, ("duckdb", "pandas", "polars", "pyarrow")))
_NEED_FRAMES = () if _HAS_FRAMES else ("docs/analysis.md", "agent_memory/system/frames/*.py")
_HAS_PICTURES = all(map(find_spec, ("altair", "vl_convert", "starlette", "uvicorn")))
_NEED_PICTURES = (
    ()
    if _HAS_PICTURES
    else ("docs/explorer.md", "agent_memory/system/pictures/*.py", "agent_memory/explorer/*.py")
)

pytest_plugins = ["agent_memory.testing.tally"]

_plain = Sybil(
    parsers=[PythonCodeBlockParser()],
    patterns=["README.md", "docs/*.md"],
    excludes=[_NEEDS_QUERY_ENGINE, *_NEED_EXTRAS, *_NEED_FRAMES, *_NEED_PICTURES],
    setup=_enter_own_folder,
    teardown=_leave_own_folder,
)
_with_query_engine = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=[_NEEDS_QUERY_ENGINE],
    setup=_enter_with_query_engine,
    teardown=_leave_with_query_engine,
)
_with_extras = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=_NEED_EXTRAS,
    setup=_enter_with_extras,
    teardown=_leave_with_extras,
)
_docstrings = Sybil(
    parsers=[DocTestParser()],
    # A pattern's "**" stands for one folder only before Python 3.13.
    patterns=["agent_memory/*.py", "agent_memory/*/*.py", "agent_memory/*/*/*.py"],
    excludes=[*_NEED_FRAMES, *_NEED_PICTURES],
    document_types={".py": PythonDocStringDocument},
    setup=_enter_with_memory,
    teardown=_leave_with_memory,
)
pytest_collect_file = SybilCollection(
    (_plain, _with_query_engine, _with_extras, _docstrings)
).pytest()
