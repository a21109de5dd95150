"""A memory by TLS, with certificates made here; what is wrong with them is said with its remedy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from agent_memory import AgentMemorySystem, ConfigError, MemoryConfig, Query, StoreUnavailable
from tests import engines
from tests.tls import Authority, TlsLine

PASSWORD = quote(engines.PASSWORD, safe="")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def plain(tcp_port: int) -> Iterator[int]:
    with engines.tcp_client(tcp_port) as client:
        client.flushall()
        yield tcp_port
        client.flushall()


def configured(port: int, folder: Path, *, scheme: str = "rediss", **options: Any) -> MemoryConfig:
    asked = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in options.items())
    url = f"{scheme}://:{PASSWORD}@127.0.0.1:{port}?{asked}"
    return MemoryConfig(redis_url=url, path=folder, on_store_error="raise")


def refusal(config: MemoryConfig) -> str:
    with pytest.raises(StoreUnavailable) as refused:
        AgentMemorySystem(config)
    assert PASSWORD not in str(refused.value)
    assert engines.PASSWORD not in str(refused.value)
    return str(refused.value)


def test_a_memory_is_served_by_tls(authority: Authority, plain: int, tmp_path: Path) -> None:
    with TlsLine(plain, authority.certify("127.0.0.1"), clients_of=authority.file) as line:
        ours = authority.certify("127.0.0.2")
        certified: dict[str, Any] = {"ssl_certfile": ours, "ssl_keyfile": ours}
        config = configured(line.port, tmp_path, ssl_ca_certs=authority.file, **certified)
        with AgentMemorySystem(config) as memory:
            for step in range(3):
                memory.store_step(
                    step, {f"ant-{number}": {"text": "x" * 2_000} for number in range(50)}
                )
            memory.maintain()
            assert len(memory.recall(Query(agent_id=None, steps=(1, 1)))) == 50
            assert memory.check().sound
        without = refusal(configured(line.port, tmp_path, ssl_ca_certs=authority.file))
        assert "?ssl_certfile=FILE&ssl_keyfile=FILE" in without or "cannot be reached" in without


def test_a_certificate_that_does_not_fit_is_refused_with_what_to_do(
    authority: Authority, plain: int, tmp_path: Path
) -> None:
    with TlsLine(plain, authority.certify("127.0.0.1")) as line:
        assert "?ssl_ca_certs=FILE" in refusal(configured(line.port, tmp_path))
        by_plain = refusal(configured(line.port, tmp_path, scheme="redis"))
        assert "does not answer" in by_plain
        assert "begin redis_url with rediss:// if its port speaks TLS" in by_plain
    with TlsLine(plain, authority.certify("127.0.0.9")) as line:
        trusted: dict[str, Any] = {"ssl_ca_certs": authority.file}
        assert "for another name" in refusal(configured(line.port, tmp_path, **trusted))
    with TlsLine(plain, authority.certify("127.0.0.1", expired=True)) as line:
        assert "has expired: renew it" in refusal(configured(line.port, tmp_path, **trusted))


def test_files_of_certificates_that_are_none_are_named(
    authority: Authority, plain: int, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate")
    ours, other = authority.certify("127.0.0.2"), authority.certify("127.0.0.3")
    for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_ca_path"):
        missing: dict[str, Any] = {name: tmp_path / "none.pem"}
        config = configured(plain, tmp_path, **missing)
        with pytest.raises(ConfigError, match=f"redis_url: {name} in .* can be read"):
            AgentMemorySystem(config)
    with TlsLine(plain, authority.certify("127.0.0.1")) as line:
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"ssl_ca_certs": empty}, "ssl_ca_certs holds no certificate in PEM"),
            ({"ssl_certfile": empty}, "ssl_certfile or ssl_keyfile holds none in PEM"),
            ({"ssl_certfile": ours, "ssl_keyfile": other}, "ssl_keyfile is not that of"),
        ]
        for options, complaint in wrong:
            assert complaint in refusal(configured(line.port, tmp_path, **options))


def test_tls_to_a_port_that_speaks_none_is_said(plain: int, tmp_path: Path) -> None:
    config = configured(plain, tmp_path)
    url = f"{config.redis_url}socket_connect_timeout=0.3&socket_timeout=0.3"
    said = refusal(config.model_copy(update={"redis_url": url}))
    assert "begin redis_url with redis://" in said
