"""The compose file: what it sets is what a memory reads, and what keeps entries."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import typer
import yaml
from sqlalchemy import make_url

from agent_memory import AgentMemorySystem, MemoryConfig
from agent_memory.cli.commands import app
from agent_memory.connections import deployment as places
from agent_memory.connections.deployment import deployment
from tests import engines
from tests.clusters import wait_until

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FILES = sorted(DEPLOY.glob("compose*.yaml"))
PASSWORDS = {"REDIS_PASSWORD": "a1redis", "POSTGRES_PASSWORD": "b2postgres"}
VARIABLES = {value for name, value in vars(places).items() if name.endswith("_VARIABLE")}

_VARIABLE = re.compile(r"\$\{(\w+)(?::(?:-([^}]*)|\?([^}]*)))?\}")
_PINNED = re.compile(r"[\w./-]+:\d+\.\d+\S*|[\w./-]+@sha256:[0-9a-f]{64}")


def services(file: Path, environ: Mapping[str, str] = PASSWORDS) -> dict[str, Any]:
    """The services of a file, with variables as ``docker compose`` puts them in."""

    def value(found: re.Match[str]) -> str:
        name, default, needed = found.groups()
        if needed is not None and name not in environ:
            raise LookupError(needed)
        return environ.get(name, default or "")

    text = "\n".join(
        line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")
    )
    whole = yaml.safe_load(_VARIABLE.sub(value, text))
    for service in whole["services"].values():
        service["whole"] = whole
    return dict(whole["services"])


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def file(request: pytest.FixtureRequest) -> Path:
    given: Path = request.param
    return given


def test_images_are_pinned(file: Path) -> None:
    images = [one["image"] for one in services(file).values() if "image" in one]
    built = re.findall(r"(?m)^FROM (\S+)", (DEPLOY / "Dockerfile").read_text())
    assert built
    assert all(_PINNED.fullmatch(image) for image in images + built)


def test_passwords_come_from_the_environment_alone(file: Path) -> None:
    for name in PASSWORDS:
        with pytest.raises(LookupError, match="set the password"):
            services(file, {one: value for one, value in PASSWORDS.items() if one != name})
    for service in yaml.safe_load(file.read_text())["services"].values():
        for name, given in service.get("environment", {}).items():
            assert given.startswith("${") or not name.endswith(("PASSWORD", "AUTH"))


def test_services_wait_for_healthy_ones_and_their_volumes_are_named(file: Path) -> None:
    every = services(file)
    once = {name for name, service in every.items() if service["restart"] == "no"}
    for name, service in every.items():
        assert name in once or service["healthcheck"]["test"]
        for other, waits in service.get("depends_on", {}).items():
            state = "completed_successfully" if other in once else "healthy"
            assert waits == {"condition": f"service_{state}"}
            assert other in every
        for volume in service.get("volumes", ()):
            assert volume.partition(":")[0] in service["whole"]["volumes"]


def test_a_worker_is_given_what_a_memory_reads(file: Path) -> None:
    every = services(file)
    workers = [one for one in every.values() if "build" in one]
    assert workers
    for worker in workers:
        environ = worker["environment"]
        assert environ.keys() <= VARIABLES
        where = deployment(MemoryConfig(), environ)
        assert where.engine == "redis"
        assert where.redis_url is not None
        for url, password in zip((where.redis_url, where.ltm_url), PASSWORDS.values(), strict=True):
            user, _, places = url.partition("://")[2].partition("/")[0].rpartition("@")
            assert {place.partition(":")[0] for place in places.split(",")} <= every.keys()
            assert user.partition(":")[2] == password
        database = every[str(make_url(where.ltm_url).host)]["environment"]
        assert make_url(where.ltm_url).username == database["POSTGRES_USER"]
        assert make_url(where.ltm_url).database == database["POSTGRES_DB"]
        command, *options = worker["command"]
        parsed = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
        assert parsed.make_context(command, options).params["watch"]


def test_its_server_keeps_entries(tmp_path: Path) -> None:
    """Started with the same words, it is no server that may lose entries by its settings."""
    program, *words = services(DEPLOY / "compose.yaml")["redis"]["command"]
    assert program == "redis-server"
    words[words.index(PASSWORDS["REDIS_PASSWORD"])] = engines.PASSWORD
    with engines.tcp_server(tmp_path, engines.genuine_redis(), arguments=words) as port:
        url = f"redis://:{quote(engines.PASSWORD, safe='')}@127.0.0.1:{port}"
        config = {"redis_url": url, "path": tmp_path / "memory", "strict_server": True}
        with AgentMemorySystem(config) as memory, engines.tcp_client(port) as client:
            memory.store_agent_state("ant-1", {"food": 1}, 0)
            assert memory.count(agent_id="ant-1") == 1
            assert client.config_get("maxmemory")["maxmemory"] == str(4 << 30)


def test_the_servers_of_its_cluster_keep_entries(tmp_path: Path) -> None:
    """One of them, started with the same words and given all slots, serves a strict memory."""
    every = services(DEPLOY / "compose.cluster.yaml")
    servers = {name: one for name, one in every.items() if name.startswith("redis-")}
    assert len(servers) == 6
    words: list[str] = []
    for name, server in servers.items():
        assert server["hostname"] == name
        assert name in every["cluster"]["depends_on"]
        assert name in every["cluster"]["command"][-1]
        shell, how, line, _, *words = server["command"]  # the same of each
        assert [shell, how] == ["sh", "-ec"]
        assert line.startswith('exec docker-entrypoint.sh redis-server "$$@" ')
    given = [engines.PASSWORD if word == PASSWORDS["REDIS_PASSWORD"] else word for word in words]
    given += ["--cluster-announce-hostname", "localhost"]
    with (
        engines.tcp_server(tmp_path, engines.genuine_redis(), arguments=given) as port,
        engines.tcp_client(port) as client,
    ):
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
        wait_until(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok")
        url = f"redis+cluster://:{quote(engines.PASSWORD, safe='')}@127.0.0.1:{port}"
        config = {"redis_url": url, "path": tmp_path / "memory", "strict_server": True}
        with AgentMemorySystem(config) as memory:
            memory.store_step(0, {f"ant-{number}": {"food": 1} for number in range(9)})
            assert memory.count(agent_id="ant-1") == 1
            assert memory.status.short_term.up


def test_the_image_holds_what_the_package_is_built_of() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    copied = {name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]}
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project, wheel = whole["project"], whole["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {project["readme"], *project["license-files"], *wheel["packages"]}
    needed |= {*wheel["force-include"], "pyproject.toml", "constraints.txt"}
    assert copied == needed
    kept = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert {f"!{name}" for name in copied} <= {*kept}
    assert all((ROOT / name).exists() for name in copied)
    (asked,) = re.findall(r"'\.\[([\w,]+)\]'", "\n".join(lines))
    assert {*asked.split(",")} <= project["optional-dependencies"].keys()
