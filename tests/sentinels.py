"""A primary and its replica that three Sentinels watch, as processes of this machine."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import redis

from tests.engines import PASSWORD, StoppableServer, call, tcp_client

NAME = "ants"

AT_ONCE = "repl-diskless-sync-delay 0\n"
"""A setting of servers that give a new replica what they hold without waiting for more of them."""

_PATIENCE = 30.0  # seconds, for what takes one on a machine that does nothing else
_OF_SENTINELS = """sentinel monitor {name} 127.0.0.1 {port} 2
sentinel auth-pass {name} "{password}"
sentinel sentinel-pass "{password}"
sentinel down-after-milliseconds {name} {down_after}
sentinel failover-timeout {name} 5000
"""


class WatchedPair:
    """A primary and its replica that three Sentinels watch.

    Args:
        folder: Where they work.
        down_after: After how many milliseconds of silence the primary is taken for dead.
    """

    def __init__(self, folder: Path, down_after: int = 1_000) -> None:
        self._opened = ExitStack()
        self._folder = folder
        self._down_after = down_after
        secret = f'{AT_ONCE}masterauth "{PASSWORD}"\n'
        self.primary = self._server("a", secret)
        self.replica = self._server("b", f"replicaof 127.0.0.1 {self.primary.port}\n{secret}")
        self.sentinels: list[StoppableServer] = []

    @property
    def url(self) -> str:
        """The URL of the primary by its Sentinels."""
        secret = quote(PASSWORD, safe="")
        places = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://:{secret}@{places}/{NAME}?sentinel_password={secret}"

    def _server(self, name: str, more: str = "", *arguments: str) -> StoppableServer:
        folder = self._folder / name
        folder.mkdir()
        return StoppableServer(folder, more, *arguments)

    def __enter__(self) -> WatchedPair:
        try:
            self._opened.enter_context(self.primary)
            self._opened.enter_context(self.replica)
            wait_until_linked(self.replica)
            more = _OF_SENTINELS.format(
                name=NAME,
                port=self.primary.port,
                password=PASSWORD.replace("\\", "\\\\"),
                down_after=self._down_after,
            )
            for number in range(3):
                sentinel = self._server(f"s{number}", more, "--sentinel")
                self._opened.enter_context(sentinel)
                self.sentinels.append(sentinel)
            self.wait_until_watched()
        except BaseException:
            self._opened.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def wait_until_watched(self) -> None:
        """Wait until the Sentinels know each other and a replica that is up to date."""
        deadline = time.monotonic() + _PATIENCE
        while not all(map(_knows_all, self.sentinels)):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def wait_for_failover(self, primary: StoppableServer) -> None:
        """Wait until a server is the primary by what all Sentinels say."""
        deadline = time.monotonic() + _PATIENCE
        while {named_by(sentinel) for sentinel in self.sentinels} != {primary.port}:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def wait_until_linked(replica: StoppableServer) -> None:
    """Wait until a replica has all that its primary holds."""
    deadline = time.monotonic() + _PATIENCE
    while not _is_linked(replica):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _is_linked(replica: StoppableServer) -> bool:
    with closing(tcp_client(replica.port)) as client:
        try:
            return bool(client.info("replication").get("master_link_status") == "up")
        except redis.exceptions.ConnectionError:
            return False  # a Sentinel has just made it one, and ended its connections


def named_by(sentinel: StoppableServer) -> int:
    """The port of the primary by what a Sentinel says."""
    with closing(tcp_client(sentinel.port)) as client:
        return int(call(client, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1])


def _knows_all(sentinel: StoppableServer) -> bool:
    """Whether a Sentinel knows both others, and a replica that it could make the primary."""
    with closing(tcp_client(sentinel.port)) as client:
        about = _named(call(client, "SENTINEL", "MASTER", NAME))
        replicas = [_named(found) for found in call(client, "SENTINEL", "REPLICAS", NAME)]
    return about["num-other-sentinels"] == "2" and [
        found["slave-repl-offset"] != "0" and found["flags"] == "slave" for found in replicas
    ] == [True]


def _named(words: Any) -> dict[str, str]:
    pairs = words.items() if isinstance(words, dict) else zip(words[::2], words[1::2], strict=True)
    return {_text(name): _text(value) for name, value in pairs}


def _text(word: object) -> str:
    return word.decode() if isinstance(word, bytes) else str(word)
