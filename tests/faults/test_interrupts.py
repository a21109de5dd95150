"""A run that is interrupted at any instant, and goes on, finds all as it was promised."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.clients import open_redis
from tests import engines
from tests.faults.interrupting import Interrupted, Places
from tests.faults.processes import ROOT
from tests.fuzzing import EVERYTHING

pytestmark = pytest.mark.faults

PACKING = """
import signal, time
from agent_memory.connections.redis.commands import SafePacker, packed_command

class Interrupted(Exception):
    pass

def interrupt(*_):
    raise Interrupted

signal.signal(signal.SIGALRM, interrupt)
words = ("NAME", *range(1000), *(number / 7 for number in range(1000)))
until, times = time.monotonic() + 1.5, 0
while time.monotonic() < until:
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0003)
        for pack in (packed_command, lambda words: SafePacker().pack(*words)) * 20:
            pack(words)
    except Interrupted:
        times += 1
print(times)
"""


def test_a_command_that_is_interrupted_while_it_is_packed_ends_no_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PACKING], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, (signal.Signals(-done.returncode), done.stderr)
    assert int(done.stdout) > 100


# Those of connections that were interrupted while they connected are closed by Python itself.
@pytest.mark.filterwarnings("ignore:.*unclosed <socket:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("begins", ["connected", "not connected"])
def test_a_request_that_is_interrupted_anywhere_leaves_no_half_read_answer(
    tmp_path: Path, begins: str
) -> None:
    with engines.StoppableServer(tmp_path) as server:
        client = open_redis(server.url)
        channel = RedisChannel(client, "a server")

        def ask() -> None:
            if begins == "not connected":
                channel._disconnect_idle()
            assert channel.call_all([("ECHO", "asked"), ("ECHO", 1.5)]) == [b"asked", b"1.5"]

        places = Places(ask)
        kept: list[Interrupted | None] = []
        # redis-py passes thousands of places while it connects.
        apart = 1 if EVERYTHING or begins == "connected" else 37
        for interrupted in places.each(apart):
            kept.append(interrupted)
            reported = f"{len(kept)}"
            assert channel.call("ECHO", reported) == reported.encode(), places.where
        assert len(kept) > 50
        kept.clear()
        (clients,) = channel.call_all([("CLIENT", "LIST")])
        assert len(clients.splitlines()) == 1
        channel.close()
