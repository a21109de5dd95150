"""Serves the page on this machine alone, until it is asked to stop."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import uvicorn

from agent_memory.errors import ConfigError
from agent_memory.explorer.answers import Answers
from agent_memory.explorer.application import application
from agent_memory.system.memory_system import AgentMemorySystem
from agent_memory.system.pictures.scripts import vega_script

USUAL_PORT: Final = 8765


@dataclass(frozen=True, slots=True)
class Explorer:
    """A page that is ready to be served.

    Attributes:
        url: Its address, with its token.
        server: What serves it; ``run`` does so until Ctrl-C, or until ``should_exit`` is set.
        listening: Where it listens.
    """

    url: str
    server: uvicorn.Server
    listening: socket.socket

    def run(self) -> None:
        """Serve until Ctrl-C, SIGTERM, or ``server.should_exit``."""
        self.server.run(sockets=[self.listening])


@contextmanager
def explorer(memory: AgentMemorySystem, place: str, port: int | None = None) -> Iterator[Explorer]:
    """Make the page of a memory; its address is on this machine alone.

    Args:
        memory: The memory, opened read-only.
        place: Where it is, for people.
        port: The port; 0: one that is free. None: the usual one, or one that is free.

    Raises:
        ConfigError: The port is taken, or may not be used.
    """
    vega_script()  # takes seconds where it is not kept; the first to open the page need not wait
    token = secrets.token_urlsafe(24)
    with _listening(port) as listening:
        served = application(Answers(memory, place), token)
        config = uvicorn.Config(served, log_level="error", lifespan="off", access_log=False)
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/{token}/"
        yield Explorer(address, uvicorn.Server(config), listening)


def _listening(port: int | None) -> socket.socket:
    if port is None:
        try:
            return _bound(USUAL_PORT)
        except OSError:
            return _bound(0)
    try:
        return _bound(port)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"port {port} cannot be used ({error}); name another one, or 0 for one that is free"
        ) from error


def _bound(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Taken again at once after a page was closed; a port on which another listens is refused.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("127.0.0.1", port))
        made.listen(128)
    except BaseException:
        made.close()
        raise
    return made
