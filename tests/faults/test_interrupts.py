"""A run that is interrupted at any instant, and goes on, finds all as it was promised."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

from agent_memory import AgentMemorySystem, Hit, MemoryConfig, Query, Tier
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.clients import open_redis
from agent_memory.embeddings import features as encoding
from agent_memory.embeddings.comparable import comparable
from agent_memory.embeddings.registry import EncoderRegistry
from agent_memory.repositories.in_memory import InMemoryRepository
from agent_memory.retrieval.feature_cache import FeatureCache
from agent_memory.retrieval.near_states import near_state
from agent_memory.retrieval.state_vectors import StateVectors
from agent_memory.testing import an_entry
from agent_memory.testing.acknowledged import Acknowledgements
from agent_memory.testing.tally import count
from agent_memory.values.contents import as_contents
from tests import engines
from tests.faults.interrupting import Places
from tests.faults.looking import look
from tests.faults.processes import PATIENCE, ROOT
from tests.faults.scenarios import LIMITS, contents_of
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
        kept: list[BaseException | None] = []
        # redis-py passes hundreds of places while it connects.
        apart = 1 if EVERYTHING or begins == "connected" else 7
        for interrupted in places.each(apart):
            kept.append(interrupted)
            reported = f"{len(kept)}"
            assert channel.call("ECHO", reported) == reported.encode(), places.where
        assert len(kept) > 50
        kept.clear()
        (clients,) = channel.call_all([("CLIENT", "LIST")])
        assert len(clients.splitlines()) == 1
        channel.close()


class Life:
    """What a run does between interruptions, and what it was told about its entries.

    Args:
        folder: The memory's.
        log: The acknowledgements.
    """

    def __init__(self, folder: Path, log: Path) -> None:
        self.folder, self.log = folder, log
        self.noted = Acknowledgements(log)
        self.system = opened(folder)
        self._step = 0

    def store(self, agent: str = "ant", times: int = 1) -> None:
        for _ in range(times):
            self._step += 1
            self.noted.storing(agent, self._step)
            self.system.store_agent_state(agent, contents_of(agent, self._step), self._step)
            self.noted.stored(agent, self._step)

    def recall(self) -> None:
        self.system.recall(Query(agent_id="ant", limit=9))

    def maintain(self) -> None:
        self.system.maintain()

    def forget(self) -> None:
        """Forget the oldest, which is in long-term memory."""
        (oldest,) = self.system.recall(Query(agent_id="ant", limit=1), touch=False)
        place = oldest.entry.agent_id, oldest.entry.step_number
        self.noted.forgetting([place])
        self.system.forget("ant", memory_id=oldest.entry.memory_id)
        self.noted.forgot([place])

    def goes_on(self) -> None:
        """See that nobody else is kept waiting, in another process or another thread."""
        for file in self.folder.glob("*.db"):
            with closing(sqlite3.connect(file, timeout=0.0, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                other.execute("ROLLBACK")
        with ThreadPoolExecutor(1) as another:
            another.submit(self.store, "bee").result(PATIENCE)
            another.submit(self.maintain).result(PATIENCE)

    def close(self) -> None:
        self.system.close()
        self.noted.close()


def opened(folder: Path) -> AgentMemorySystem:
    config = MemoryConfig(
        path=folder, engine="embedded", search=False, on_store_error="raise", **LIMITS
    )
    return AgentMemorySystem(config, upkeep=False)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("work", "apart"), [("store", 499), ("recall", 199), ("maintain", 299), ("forget", 997)]
)
def test_a_call_that_is_interrupted_anywhere_keeps_nobody_waiting_and_loses_nothing(
    tmp_path: Path, work: str, apart: int
) -> None:
    life = Life(tmp_path / "memory", tmp_path / "log")
    life.store(times=30)
    life.maintain()
    # What its traceback has in hand is kept with an exception, as by a notebook.
    kept: list[BaseException | None] = []
    places = Places(getattr(life, work))
    for interrupted in islice(places.each(max(apart // 20, 1) if EVERYTHING else apart), 1000):
        kept.append(interrupted)
        try:
            life.goes_on()
        except Exception as error:
            raise AssertionError(f"after an interruption at {places.where}") from error
        life.store(times=2)
        count("interruptions")
    assert len(kept) >= 5
    kept.clear()
    life.close()
    look(life.folder, life.log, f"interrupting {work}", in_place=False)


class Expired(Exception):
    """What a handler raises may be an Exception like any other."""


@pytest.mark.parametrize("how", ["singly", "in a step", "in a batch"])
def test_no_entry_is_stored_without_its_vector_where_an_exception_came_between(
    monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    rings = [False]

    def interrupted(state: object) -> object:
        if rings[0]:
            rings[0] = False
            raise Expired
        return as_contents(state)

    monkeypatch.setattr(encoding, "as_contents", interrupted)
    with AgentMemorySystem({"engine": "fake", "ltm_url": "sqlite://"}) as memory:

        def store(step: int) -> None:
            if how == "in a step":
                memory.store_step(step, {"ant": {"food": step}, "bee": {"food": step}})
            elif how == "singly":
                memory.store_agent_state("ant", {"food": step}, step)
            else:
                with memory.batch():
                    memory.store_agent_state("ant", {"food": step}, step)

        store(0)
        rings[0] = True
        with pytest.raises(Expired):
            store(1)
        assert not rings[0]
        store(2)
        entries = [hit.entry for hit in memory.recall(Query())]
        assert {entry.step_number for entry in entries} >= {0, 2}
        assert all(entry.embedding is not None for entry in entries)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_question_near_a_state_that_is_interrupted_anywhere_keeps_no_other_from_its_answer() -> (
    None
):
    tier = InMemoryRepository(Tier.STM)
    tier.add_many(
        [
            an_entry(agent_id=agent, step_number=step, contents=contents_of(agent, step))
            for agent in ("ant", "bee")
            for step in range(3)
        ]
    )
    query = Query(run_id="run", agent_id=("ant", "bee"), limit=3)
    asked, vectors = comparable(contents_of("bee", 1)), StateVectors(EncoderRegistry())
    features = FeatureCache()

    def ask() -> list[Hit]:
        return near_state(features, [tier], query, asked, lambda _, state: state, vectors)

    def ask_anew() -> None:
        nonlocal features
        features = FeatureCache()
        ask()

    expected = ask()
    assert expected[0].score == 1.0
    places = Places(ask_anew)
    kept = []  # as by a notebook, and with each all that its traceback has in hand
    with ThreadPoolExecutor(1) as another:
        for interrupted in places.each(1 if EVERYTHING else 19):
            kept.append(interrupted)
            assert another.submit(ask).result(PATIENCE) == expected, places.where
            assert ask() == expected, places.where
    assert len(kept) > 50
