from __future__ import annotations

import copy
import importlib
import logging
import traceback
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

import agent_memory.config
from agent_memory.config import (
    AutoencoderConfig,
    MemoryConfig,
    RedisIMConfig,
    RedisSTMConfig,
    SQLiteLTMConfig,
)
from agent_memory.connections.deployment import Deployment, deployment
from agent_memory.errors import ConfigError, MemoryStoreError
from agent_memory.values.urls import without_password
from tests.system import settings_page

_SECRET = "hunter2"


def test_the_promised_defaults() -> None:
    config = MemoryConfig()
    stm, im, ltm, encoder = (
        config.stm_config, config.im_config, config.ltm_config, config.autoencoder_config
    )  # fmt: skip
    assert stm == RedisSTMConfig(
        host="localhost", port=6379, db=0, password=None, ttl=86400, memory_limit=1000,
        namespace="agent_memory:stm", max_age_steps=None,
    )  # fmt: skip
    assert im == RedisIMConfig(
        host="localhost", port=6379, db=0, password=None, ttl=604800, memory_limit=10000,
        compression_level=1, namespace="agent_memory:im", max_age_steps=None,
    )  # fmt: skip
    assert ltm == SQLiteLTMConfig(
        db_path="agent_memory.db", compression_level=2, batch_size=1_000, table_prefix="agent_ltm"
    )
    assert encoder == AutoencoderConfig(
        input_dim=64, stm_dim=384, im_dim=128, ltm_dim=32, learning_rate=0.001, batch_size=32,
        epochs=100, model_path=None, use_neural_embeddings=True, hidden_layers=[512, 256],  # type: ignore[arg-type]  # a list serves
    )  # fmt: skip
    assert (config.cleanup_interval, config.memory_priority_decay) == (100, 0.95)
    assert (config.enable_memory_hooks, config.logging_level) == (True, "INFO")
    assert (config.engine, config.path, config.redis_url, config.ltm_url) == ("auto", *[None] * 3)
    assert (config.run_id, config.durability, config.clock) == ("default", "everysec", "wall")


@pytest.mark.parametrize("search", ["auto", True, False])
def test_query_engine_is_left_to_the_folder_asked_for_or_declined(search: object) -> None:
    assert MemoryConfig().search == "auto"
    assert MemoryConfig(search=search).search is search


@pytest.mark.parametrize("search", ["yes", "true", 2, None])
def test_what_says_neither_yes_nor_no_to_the_query_engine_is_refused(search: object) -> None:
    with pytest.raises(ConfigError, match="search"):
        MemoryConfig(search=search)


def test_nested_dicts_become_parts() -> None:
    config = MemoryConfig(
        stm_config={"memory_limit": 50},
        ltm_config={"db_path": "x.db"},
        autoencoder_config={"hidden_layers": [8]},
    )
    assert config.stm_config == RedisSTMConfig(memory_limit=50)
    assert config.ltm_config.db_path == "x.db"
    assert config.autoencoder_config.hidden_layers == (8,)
    assert config.im_config == RedisIMConfig()


def test_connection_params_are_what_a_client_needs() -> None:
    part = RedisSTMConfig(host="there", port=7, db=2, password=_SECRET)
    assert part.connection_params == {
        "host": "there", "port": 7, "db": 2, "password": _SECRET,
    }  # fmt: skip


def test_equal_configurations_are_one_key_and_none_can_be_changed() -> None:
    part = RedisSTMConfig(memory_limit=50)
    config = MemoryConfig(stm_config=part, indexed_attributes=["role"])
    same = MemoryConfig(stm_config={"memory_limit": 50}, indexed_attributes=("role",))
    assert config == same
    assert hash(config) == hash(same)
    assert config != MemoryConfig()
    assert copy.deepcopy(config) == config
    with pytest.raises(ValueError, match="frozen"):
        config.run_id = "other"
    with pytest.raises(ValueError, match="frozen"):
        config.stm_config.memory_limit = 7


_BAD: list[tuple[dict[str, Any], str]] = [
    ({"stm_confg": {}}, r"stm_confg: is not a known key \(did you mean stm_config\?\)$"),
    ({"stm_config": {"memry_limit": 5}}, r"memry_limit: .* \(did you mean memory_limit\?\)$"),
    ({"im_config": {"a": {"b": 1}}}, "im_config.*a: is not a known key"),
    ({"ltm_config": {"path": "x"}}, "ltm_config.*path: is not a known key"),
    ({"autoencoder_config": {"dim": 1}}, "autoencoder_config.*dim: is not a known key"),
    ({"one": 1, "two": 2}, "one: is not a known key; two: is not a known key$"),
    ({"stm_config": 5}, "stm_config"),
    ({"stm_config": None}, "stm_config"),
    ({"stm_config": {"port": 0}}, "port"),
    ({"stm_config": {"port": 65536}}, "port"),
    ({"stm_config": {"host": ""}}, "host"),
    ({"stm_config": {"db": -1}}, "db"),
    ({"stm_config": {"ttl": 0}}, "ttl"),
    ({"stm_config": {"memory_limit": 0}}, "memory_limit"),
    ({"stm_config": {"memory_limit": "many"}}, "memory_limit"),
    ({"stm_config": {"memory_limit": 1.5}}, "memory_limit"),
    ({"stm_config": {"max_age_steps": 0}}, "max_age_steps"),
    *(({"stm_config": {"namespace": bad}}, "namespace") for bad in ("", "a b", "a{b", "}", "a\0")),
    ({"im_config": {"compression_level": 3}}, "compression_level"),
    ({"ltm_config": {"db_path": ""}}, "db_path"),
    ({"ltm_config": {"batch_size": 0}}, "batch_size"),
    *(({"ltm_config": {"table_prefix": bad}}, "table_prefix")
      for bad in ("", "a b", "1a", "a;--", "a" * 41, "\u00e4", "a\n")),
    ({"autoencoder_config": {"learning_rate": 0}}, "learning_rate"),
    ({"autoencoder_config": {"learning_rate": float("inf")}}, "learning_rate"),
    ({"autoencoder_config": {"hidden_layers": [0]}}, "hidden_layers"),
    ({"autoencoder_config": {"model_path": "/no/such/file"}}, "model_path: there is no file"),
    ({"cleanup_interval": 0}, "cleanup_interval"),
    *(({"memory_priority_decay": bad}, "memory_priority_decay") for bad in (0, 1.1, float("nan"))),
    ({"demote_first": "newest"}, "demote_first"),
    ({"engine": "mongodb"}, "engine"),
    ({"durability": "never"}, "durability"),
    ({"clock": "sundial"}, "clock"),
    ({"on_store_error": "ignore"}, "on_store_error"),
    ({"logging_level": "LOUD"}, "logging_level"),
    ({"run_id": ""}, "run_id"),
    ({"run_id": "\ud800"}, "run_id"),
    ({"max_entry_bytes": 0}, "max_entry_bytes"),
    ({"redis_url": "localhost:6379"}, "redis_url.*redis://"),
    ({"redis_url": "http://localhost"}, "redis_url.*redis://"),
    ({"redis_url": ""}, "redis_url.*redis://"),
    ({"engine": "embedded", "redis_url": "redis://there"}, "engine='embedded'"),
    ({"engine": "fake", "stm_config": {"host": "there"}, "im_config": {"host": "there"}},
     "engine='fake'"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "complaint"), _BAD, ids=lambda value: f"{value!r}"[:50])
def test_what_cannot_be_used_is_refused_by_name(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as refusal:
        MemoryConfig(**values)
    assert isinstance(refusal.value, ValueError)
    assert isinstance(refusal.value, MemoryStoreError)


@pytest.mark.parametrize("field", ["host", "port", "password"])
def test_short_term_and_intermediate_memory_on_different_servers_are_refused(field: str) -> None:
    there: dict[str, Any] = {"host": "there", "port": 7, "password": _SECRET}
    other: dict[str, Any] = there | {field: 8 if field == "port" else "elsewhere"}
    with pytest.raises(ConfigError, match="different servers") as refusal:
        MemoryConfig(stm_config=there, im_config=other)
    assert _SECRET not in str(refusal.value)
    MemoryConfig(stm_config=there, im_config=there | {"db": 1})


def test_short_term_and_intermediate_memory_in_one_namespace_are_refused() -> None:
    with pytest.raises(ConfigError, match="namespace"):
        MemoryConfig(stm_config={"namespace": "mine"}, im_config={"namespace": "mine"})  # fmt: skip


def test_a_server_named_twice_is_refused() -> None:
    there: Any = {"host": "there"}
    with pytest.raises(ConfigError, match="twice"):
        MemoryConfig(redis_url="redis://there", stm_config=there, im_config=there)


def test_comparing_vectors_in_the_server_is_no_more_and_warns() -> None:
    with pytest.warns(DeprecationWarning, match="vector_cache_bytes"):
        config = MemoryConfig(similarity="server")
    assert config == MemoryConfig()


def test_the_level_of_logging_may_be_written_small_and_touches_no_logger() -> None:
    before = logging.getLogger().level, logging.getLogger("agent_memory").level
    assert MemoryConfig(logging_level="debug").logging_level == "debug"
    assert (logging.getLogger().level, logging.getLogger("agent_memory").level) == before


_WITH_SECRET: list[dict[str, Any]] = [
    {"stm_config": {"password": _SECRET}, "im_config": {"password": _SECRET}},
    {"redis_url": f"redis://user:{_SECRET}@there:1/0"},
    {"redis_url": f"redis://:{_SECRET}/@there"},
    {"redis_url": f"unix:///socket?password={_SECRET}"},
    {"ltm_url": f"postgresql://user:{_SECRET}@there/db"},
]


@pytest.mark.parametrize("values", _WITH_SECRET, ids=lambda values: next(iter(values)))
def test_no_secret_shows_in_any_text(values: dict[str, Any]) -> None:
    config = MemoryConfig(**values)
    where = deployment(config, {})
    for shown in (config, config.stm_config, where):
        assert _SECRET not in f"{shown!r} {shown!s} {shown}"
    assert _SECRET in f"{where.redis_url} {where.ltm_url}"


@pytest.mark.parametrize(
    "values",
    [
        *({**values, "nope": 1} for values in _WITH_SECRET),
        *({**values, "run_id": ""} for values in _WITH_SECRET),
        {"stm_config": {"password": [_SECRET]}},
        {"stm_config": {"password": _SECRET, "nope": 1}},
        {"stm_config": {"password": _SECRET}},
        {"redis_url": f"user:{_SECRET}@there:6379"},
        {"redis_url": f":{_SECRET}@there"},
        {"redis_url": f"http://:{_SECRET}@there"},
        {"redis_url": [f"redis://:{_SECRET}@there"]},
        {"redis_url": f"redis://:{_SECRET}@there", "engine": "fake"},
    ],
    ids=lambda values: f"{values!r}"[:60],
)
def test_no_secret_shows_in_any_error(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as refusal:
        MemoryConfig(**values)
    assert _SECRET not in "".join(traceback.format_exception(refusal.value))
    assert _SECRET not in repr(refusal.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://there:6379/0", "redis://there:6379/0"),
        ("redis://:secret@there:6379", "redis://:***@there:6379"),
        ("redis://me:secret@there", "redis://me:***@there"),
        ("redis://me:se:cr@et@there", "redis://me:***@there"),
        ("redis://me:sec/ret@there/1", "redis://me:***@there/1"),
        ("redis://secret@there", "redis://:***@there"),
        ("unix:///run/a.sock?db=1&password=secret&x=1", "unix:///run/a.sock?db=1&password=***&x=1"),
        ("postgresql+psycopg://me:secret@there/db", "postgresql+psycopg://me:***@there/db"),
        ("postgresql://me:se?cr@et@there/db", "postgresql://me:***@there/db"),
        ("postgresql://there/db?password=a@secret", "postgresql://***"),
        ("postgresql+psycopg://me:pw@there/db?x=1&options=a@secret", "postgresql+psycopg://***"),
        (
            "postgresql://me:pw@there/db?password=secret",
            "postgresql://me:***@there/db?password=***",
        ),
        ("sqlite:////tmp/a@b/x.db", "sqlite:////tmp/a@b/x.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("me:secret@there:6379", "***@there:6379"),
        ("the embedded server in /tmp/a@b", "the embedded server in /tmp/a@b"),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


_REDIS, _LTM = "AGENT_MEMORY_REDIS_URL", "AGENT_MEMORY_LTM_URL"
_THERE: Any = {"host": "there", "port": 7, "password": "p@s:s/w%"}
_PARTS_URL = "redis://:p%40s%3As%2Fw%25@there:7"


@pytest.mark.parametrize(
    ("values", "environ", "engine", "redis_url"),
    [
        ({}, {}, "embedded", None),
        ({}, {_REDIS: ""}, "embedded", None),
        ({}, {_REDIS: "redis://env"}, "redis", "redis://env"),
        ({"redis_url": "redis://code"}, {}, "redis", "redis://code"),
        ({"redis_url": "redis://code"}, {_REDIS: "redis://env"}, "redis", "redis://code"),
        ({"redis_url": "unix:///a.sock"}, {}, "redis", "unix:///a.sock"),
        ({"stm_config": _THERE, "im_config": _THERE}, {}, "redis", _PARTS_URL),
        ({"stm_config": _THERE, "im_config": _THERE}, {_REDIS: "redis://env"}, "redis", _PARTS_URL),
        ({"stm_config": {"db": 3}}, {}, "embedded", None),
        ({"stm_config": {"host": "::1"}, "im_config": {"host": "::1"}}, {}, "redis",
         "redis://[::1]:6379"),
        ({"engine": "redis"}, {}, "redis", "redis://localhost:6379"),
        ({"engine": "redis"}, {_REDIS: "redis://env"}, "redis", "redis://env"),
        ({"engine": "embedded"}, {_REDIS: "redis://env"}, "embedded", None),
        ({"engine": "fake"}, {_REDIS: "redis://env"}, "fake", None),
    ],
    ids=lambda value: f"{value!r}"[:40],
)  # fmt: skip
def test_the_engine_is_settled_from_code_then_environment_then_default(
    values: dict[str, Any], environ: dict[str, str], engine: str, redis_url: str | None
) -> None:
    settled = deployment(MemoryConfig(**values), environ)
    assert (settled.engine, settled.redis_url) == (engine, redis_url)


@pytest.mark.parametrize(
    "url",
    ["redis://there/2", f"rediss://me:{_SECRET}@there:7/2", "redis://there?db=2", "unix:///a?db=2"],
)
def test_a_database_that_the_url_would_overrule_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="redis_url names database 2") as refusal:
        MemoryConfig(redis_url=url, stm_config={"db": 3})
    assert _SECRET not in str(refusal.value)
    with pytest.raises(ConfigError, match=r"\$AGENT_MEMORY_REDIS_URL names database 2"):
        deployment(MemoryConfig(im_config={"db": 3}), {_REDIS: url})
    deployment(MemoryConfig(engine="embedded", im_config={"db": 3}), {_REDIS: url})
    for fine in ({"db": 2}, {}):
        MemoryConfig(redis_url=url, stm_config=fine)
    MemoryConfig(redis_url="unix:///a/2", stm_config={"db": 3})
    MemoryConfig(redis_url="redis://there/", stm_config={"db": 3})


@pytest.mark.parametrize("url", ["localhost:6379", "http://there", f"me:{_SECRET}@there"])
def test_a_bad_url_in_the_environment_is_refused_by_the_variables_name(url: str) -> None:
    with pytest.raises(ConfigError, match=r"\$AGENT_MEMORY_REDIS_URL") as refusal:
        deployment(MemoryConfig(), {_REDIS: url})
    assert _SECRET not in str(refusal.value)


@pytest.mark.parametrize(
    ("values", "environ", "path"),
    [
        ({}, {}, "agent_memory_data"),
        ({}, {"AGENT_MEMORY_PATH": ""}, "agent_memory_data"),
        ({}, {"AGENT_MEMORY_PATH": "from_env"}, "from_env"),
        ({"path": "from_code"}, {"AGENT_MEMORY_PATH": "from_env"}, "from_code"),
        ({"path": Path("/absolute")}, {}, "/absolute"),
        ({"path": "~/at_home"}, {}, "~/at_home"),
    ],
)
def test_the_folder_is_settled_and_absolute(
    values: dict[str, Any], environ: dict[str, str], path: str
) -> None:
    settled = deployment(MemoryConfig(**values), environ)
    assert settled.path == Path(path).expanduser().absolute()


@pytest.mark.parametrize(
    ("values", "environ", "expected"),
    [
        ({}, {}, "sqlite:////data/agent_memory.db"),
        ({"ltm_config": {"db_path": "deep/x.db"}}, {}, "sqlite:////data/deep/x.db"),
        ({"ltm_config": {"db_path": "/else/x.db"}}, {}, "sqlite:////else/x.db"),
        ({"ltm_config": {"db_path": ":memory:"}}, {}, "sqlite:///:memory:"),
        ({}, {_LTM: "postgresql://env/db"}, "postgresql://env/db"),
        ({}, {_LTM: ""}, "sqlite:////data/agent_memory.db"),
        ({"ltm_url": "sqlite:///code.db"}, {_LTM: "postgresql://env/db"}, "sqlite:///code.db"),
    ],
)
def test_long_term_memory_is_settled_from_code_then_environment_then_the_folder(
    values: dict[str, Any], environ: dict[str, str], expected: str
) -> None:
    assert deployment(MemoryConfig(path="/data", **values), environ).ltm_url == expected


@pytest.mark.parametrize(
    "name", ["what?", "50%", "a%20b", "a#b", "a b", "a@b:c", "\u00e4", "a&b=c"]
)
def test_any_folder_name_leads_to_the_file_in_it(name: str) -> None:
    url = deployment(MemoryConfig(path=f"/data/{name}"), {}).ltm_url
    assert make_url(url).database == f"/data/{name}/agent_memory.db"
    assert not make_url(url).query


def test_a_deployment_reads_the_environment_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_MEMORY_PATH", "/from/the/process")
    monkeypatch.delenv(_REDIS, raising=False)
    settled = deployment(MemoryConfig())
    assert isinstance(settled, Deployment)
    assert settled.path == Path("/from/the/process")


@pytest.mark.parametrize(
    "name",
    [
        *("DEFAULT_FOLDER", "Deployment", "deployment", "without_password"),
        *("LTM_URL_VARIABLE", "PATH_VARIABLE", "REDIS_URL_VARIABLE"),
    ],
)
def test_names_that_moved_out_of_config_are_given_with_a_warning_that_says_where_to(
    name: str,
) -> None:
    with pytest.warns(DeprecationWarning, match=f"config.{name} moved: import it from") as warned:
        found = getattr(agent_memory.config, name)
    home = importlib.import_module(str(warned[0].message).rpartition(" ")[2])
    assert found is getattr(home, name)


def test_config_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = agent_memory.config.nothing  # type: ignore[attr-defined]


def test_the_page_of_all_settings_is_what_the_configuration_says() -> None:
    assert settings_page.PAGE.read_text() == settings_page.page(), (
        "python -m tests.system.settings_page"
    )
