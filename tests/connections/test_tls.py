"""A memory by TLS, with certificates made here; what is wrong with them is said with its remedy."""

from __future__ import annotations

import datetime as dt
import ipaddress
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent_memory import AgentMemorySystem, MemoryConfig, Query, StoreUnavailable
from tests import engines

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)
PASSWORD = quote(engines.PASSWORD, safe="")


class Authority:
    """Signs certificates, and writes them into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ants")])
        self.file = self._written("authority", self._key, self._certificate(self._key, self._name))

    def certify(self, name: str, *, expired: bool = False) -> Path:
        """A key and its certificate for an address, in one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._certificate(key, subject, names, expired=expired)
        return self._written(f"{name}{expired}", key, certificate)

    def _certificate(
        self,
        key: ec.EllipticCurvePrivateKey,
        subject: x509.Name,
        names: x509.SubjectAlternativeName | None = None,
        *,
        expired: bool = False,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 3 * DAY)
            .not_valid_after(NOW - DAY if expired else NOW + DAY)
            .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
        )
        if names is None:
            usage = dict.fromkeys(
                ("digital_signature", "content_commitment", "key_encipherment", "crl_sign"), False
            )
            more = dict.fromkeys(
                ("data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False
            )
            signs = x509.KeyUsage(key_cert_sign=True, **usage, **more)
            builder = builder.add_extension(signs, critical=True)
        else:
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def _written(
        self, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
    ) -> Path:
        file = self._folder / f"{name}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        return file


class TlsLine:
    """Speaks TLS on a port of its own for a server that speaks none, as stunnel does."""

    def __init__(self, server: int, certificate: Path, clients_of: Path | None = None) -> None:
        self._server = server
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        if clients_of is not None:
            self._context.verify_mode = ssl.CERT_REQUIRED
            self._context.load_verify_locations(clients_of)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> TlsLine:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._hand_on, args=(client,), daemon=True).start()

    def _hand_on(self, plain: socket.socket) -> None:
        with (
            plain,
            suppress(OSError),
            self._context.wrap_socket(plain, server_side=True) as client,
            socket.create_connection(("127.0.0.1", self._server)) as server,
        ):
            while True:
                ready = [client] if client.pending() else select.select([client, server], [], [])[0]
                for one in ready:
                    said = one.recv(65536)
                    if not said:
                        return
                    (server if one is client else client).sendall(said)


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
    with TlsLine(plain, authority.certify("127.0.0.9")) as line:
        trusted: dict[str, Any] = {"ssl_ca_certs": authority.file}
        assert "for another name" in refusal(configured(line.port, tmp_path, **trusted))
    with TlsLine(plain, authority.certify("127.0.0.1", expired=True)) as line:
        assert "has expired: renew it" in refusal(configured(line.port, tmp_path, **trusted))


def test_tls_to_a_port_that_speaks_none_is_said(plain: int, tmp_path: Path) -> None:
    config = configured(plain, tmp_path)
    url = f"{config.redis_url}socket_connect_timeout=0.3&socket_timeout=0.3"
    said = refusal(config.model_copy(update={"redis_url": url}))
    assert "begin redis_url with redis://" in said
