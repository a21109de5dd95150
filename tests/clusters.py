"""A Redis Cluster of three primaries, each with a replica or none, as processes of this machine."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from urllib.parse import quote

import redis

from tests.engines import PASSWORD, StoppableServer, call, tcp_client
from tests.sentinels import AT_ONCE

SLOTS = 16_384
PRIMARIES = 3

_PATIENCE = 40.0  # seconds, for what takes two on a machine that does nothing else
_SETTINGS = f"""{AT_ONCE}cluster-enabled yes
cluster-node-timeout 1500
cluster-config-file nodes.conf
masterauth "{PASSWORD}"
"""


class LocalCluster:
    """Three primaries that hold a third of the slots each.

    Args:
        folder: Where they work.
        replicas: How many replicas each has.
    """

    def __init__(self, folder: Path, replicas: int = 0) -> None:
        self._opened = ExitStack()
        self.servers = [
            self._server(folder / f"n{number}") for number in range(PRIMARIES * (1 + replicas))
        ]

    @property
    def primaries(self) -> list[StoppableServer]:
        """Those that are primaries at first."""
        return self.servers[:PRIMARIES]

    @property
    def url(self) -> str:
        """Its URL, with the password."""
        places = ",".join(f"127.0.0.1:{server.port}" for server in self.servers)
        return f"redis+cluster://:{quote(PASSWORD, safe='')}@{places}"

    @staticmethod
    def _server(folder: Path) -> StoppableServer:
        folder.mkdir()
        return StoppableServer(folder, _SETTINGS)

    def __enter__(self) -> LocalCluster:
        try:
            for server in self.servers:
                self._opened.enter_context(server)
            self._join()
        except BaseException:
            self._opened.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def _join(self) -> None:
        names = [str(_text(ask(server, "CLUSTER", "MYID"))) for server in self.servers]
        for number, server in enumerate(self.primaries):
            first, last = (SLOTS * step // PRIMARIES for step in (number, number + 1))
            ask(server, "CLUSTER", "ADDSLOTSRANGE", first, last - 1)
        for number, server in enumerate(self.servers):
            ask(server, "CONFIG", "SET", "cluster-replica-validity-factor", 0)
            if number:
                there = self.servers[0]
                ask(server, "CLUSTER", "MEET", "127.0.0.1", there.port, bus_port(there))
        wait_until(lambda: all(known(server) == len(self.servers) for server in self.servers))
        for number, server in enumerate(self.servers[PRIMARIES:]):
            ask(server, "CLUSTER", "REPLICATE", names[number % PRIMARIES])
        wait_until(lambda: all(map(is_whole, self.servers)))
        for server in self.servers[PRIMARIES:]:
            wait_until(lambda server=server: is_linked(server))

    def wait_until_whole(self, *servers: StoppableServer) -> None:
        """Wait until servers know of a primary that answers for each slot."""
        wait_until(lambda: all(map(is_whole, servers)))


def ask(server: StoppableServer, *command: object) -> object:
    """Send a command to a server of a cluster."""
    with closing(tcp_client(server.port)) as client:
        return call(client, *command)


def bus_port(server: StoppableServer) -> int:
    """On which port a server hears of the others."""
    with closing(tcp_client(server.port)) as client:
        return int(client.config_get("cluster-port")["cluster-port"])


def known(server: StoppableServer) -> int:
    """How many servers a server knows."""
    return int(_info(server, "cluster_known_nodes"))


def is_whole(server: StoppableServer) -> bool:
    """Whether a server knows of a primary that answers for each slot."""
    with suppress(redis.exceptions.ConnectionError):
        return _info(server, "cluster_state") == "ok"
    return False


def is_linked(server: StoppableServer) -> bool:
    """Whether a replica has all that its primary holds."""
    with closing(tcp_client(server.port)) as client:
        return bool(client.info("replication").get("master_link_status") == "up")


def wait_until(is_so: object) -> None:
    """Wait until something is so."""
    assert callable(is_so)
    deadline = time.monotonic() + _PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _info(server: StoppableServer, name: str) -> str:
    about = ask(server, "CLUSTER", "INFO")
    if isinstance(about, dict):
        return str(about[name])
    lines = dict(line.split(":", 1) for line in _text(about).split("\r\n") if ":" in line)
    return lines[name]


def _text(word: object) -> str:
    return word.decode() if isinstance(word, bytes) else str(word)
