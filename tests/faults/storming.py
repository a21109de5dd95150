"""A life of a memory whose calls are interrupted at random instants, as by Ctrl-C or an alarm."""

from __future__ import annotations

import logging
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import Any

from _pytest import unraisableexception
from sqlalchemy import create_engine, text

from agent_memory import AgentMemorySystem, MemoryConfig, Query
from agent_memory.system.closed import CLOSED
from agent_memory.testing.acknowledged import Acknowledgements
from agent_memory.testing.tally import count
from tests.faults.processes import PATIENCE
from tests.faults.scenarios import LIMITS, contents_of

AGENTS = ("ant", "bee")


class Expired(Exception):
    """What a program's alarm raises."""


RAISED = (KeyboardInterrupt, SystemExit, RuntimeError, Expired)
"""What handlers raise. ``os.path.exists`` takes OSError and ValueError for its own answer."""
_SPARED = frozenset({logging.__file__, unraisableexception.__file__})
_SOONEST = 0.00002  # seconds until an interruption
_WEIGHTS = {
    "store": 12, "store_step": 4, "recall": 6, "near": 3, "maintain": 6, "forget": 3, "change": 6,
    "train": 1, "reencode": 1, "reopen": 3, "check": 1,
}  # fmt: skip


class Interrupter:
    """Raises in the main thread at a random instant of some work.

    Args:
        chance: Gives random numbers.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._raises: BaseException | None = None
        self._took: dict[str, float] = {}
        self.interrupted = 0
        self.where = ""

    def __enter__(self) -> Interrupter:
        self._former = signal.signal(signal.SIGALRM, self._ring)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._former)

    def do(self, what: str, work: Callable[[], object]) -> bool:
        """Do some work; gives whether it came to its end. What it raises by itself comes out."""
        usual = self._took.get(what, 0.005)
        mine = self._chance.choice(RAISED)("interrupted")
        begun = time.monotonic()
        self._raises = mine
        try:
            try:
                after = max(self._chance.uniform(0.0, 1.3 * usual), _SOONEST)
                signal.setitimer(signal.ITIMER_REAL, after)
                work()
            finally:
                self._raises = None
                signal.setitimer(signal.ITIMER_REAL, 0)
        except BaseException as error:
            if error is not mine:
                raise
            self.interrupted += 1
            count("interruptions")
            return False
        self._took[what] = 0.8 * usual + 0.2 * (time.monotonic() - begun)
        return True

    def in_time(self, work: Callable[[], object]) -> None:
        """Do some work without interruptions, and fail where it does not end."""
        self._raises = AssertionError(f"hangs after an interruption at {self.where}")
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
        try:
            work()
        finally:
            self._raises = None
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _ring(self, _: int, frame: FrameType | None) -> None:
        raised = self._raises
        if raised is None:
            return
        # Python's logging takes its locks in Python: whoever is interrupted there keeps them. What
        # pytest does with an exception of a destructor is no part of what is tested.
        found = frame
        while found is not None:
            if found.f_code.co_filename in _SPARED:
                signal.setitimer(signal.ITIMER_REAL, 0.0002)
                return
            found = found.f_back
        self._raises = None
        if frame is not None:
            code = frame.f_code
            self.where = f"{code.co_qualname} ({code.co_filename}:{frame.f_lineno})"
        raise raised


class Storm:
    """A memory, what was acknowledged of it, and what is done to it at random.

    Args:
        folder: The memory's.
        log: The file of acknowledgements.
        seed: Of all that is random.
        options: Of the configuration.
    """

    def __init__(self, folder: Path, log: Path, seed: int, **options: Any) -> None:
        self.folder = folder
        self.noted = Acknowledgements(log)
        self._options = options
        self._chance = random.Random(seed)
        self._interrupter = Interrupter(self._chance)
        self._step = 0
        self._there: list[tuple[str, int]] = []
        self.system = self._opened()

    def _opened(self) -> AgentMemorySystem:
        config = MemoryConfig(
            path=self.folder, engine="embedded", search=False, on_store_error="raise",
            **LIMITS, **self._options,
        )  # fmt: skip
        return AgentMemorySystem(config, upkeep=False)

    def rage(self, seconds: float) -> int:
        """Do one thing after the other, interrupted; gives how many interruptions there were."""
        for what in _WEIGHTS:  # once in peace, so that all modules are there
            getattr(self, what)()
        self._calm()
        names, weights = [*_WEIGHTS], [*_WEIGHTS.values()]
        until = time.monotonic() + seconds
        with self._interrupter as interrupter:
            while time.monotonic() < until:
                for what in self._chance.choices(names, weights, k=5):
                    interrupter.do(what, getattr(self, what))
                    interrupter.in_time(self._open_again)
                interrupter.in_time(self._calm)
        return interrupter.interrupted

    def close(self) -> None:
        self.system.close()
        self.noted.close()

    # -- what is done -------------------------------------------------------------------------

    def store(self, agent: str = "") -> None:
        agent = agent or self._chance.choice(AGENTS)
        self._step += 1
        step = self._step
        self.noted.storing(agent, step)
        self.system.store_agent_state(agent, contents_of(agent, step), step)
        self.noted.stored(agent, step)
        self._there.append((agent, step))

    def store_step(self) -> None:
        self._step += 1
        step, herd = self._step, ("ant", "bee", "cow")
        for agent in herd:
            self.noted.storing(agent, step)
        self.system.store_step(step, {agent: contents_of(agent, step) for agent in herd})
        for agent in herd:
            self.noted.stored(agent, step)

    def recall(self) -> None:
        self.system.recall(Query(agent_id=self._chance.choice(AGENTS), limit=20))

    def near(self) -> None:
        self.system.recall(Query(agent_id="ant", limit=3), near=contents_of("ant", self._step))

    def maintain(self) -> None:
        self.system.maintain()

    def forget(self) -> None:
        self._step += 1
        guest, step = f"guest {self._step}", self._step
        self.noted.storing(guest, step)
        self.system.store_agent_state(guest, contents_of(guest, step), step)
        self.noted.forgetting([(guest, step)])
        assert self.system.forget(guest).verified
        self.noted.forgot([(guest, step)])

    def change(self) -> None:
        if not self._there:
            return
        agent, step = self._chance.choice(self._there[-40:])
        (hit,) = self.system.recall(Query(agent_id=agent, steps=(step, step)), touch=False)
        self.noted.changing(agent, step)
        self.system.set_importance(agent, hit.entry.memory_id, self._chance.random())
        self.noted.changed(agent, step)

    def train(self) -> None:
        self.system.train_encoder(network=False, contents=False)

    def reencode(self) -> None:
        self.system.encoders.reencode()

    def reopen(self) -> None:
        self.system.close()
        self.system = self._opened()

    def check(self) -> None:
        self.system.check()

    # -- what must be so after each interruption -----------------------------------------------

    def _open_again(self) -> None:
        """Open it, if it was closed when the interruption came."""
        if self.system._resources is CLOSED:
            self.system.close()
            self.system = self._opened()

    def _calm(self) -> None:
        """See that the memory is of use, and nobody else is kept waiting."""
        self._open_again()
        self.store()
        with ThreadPoolExecutor(1) as another:
            another.submit(self.store, "bee").result(PATIENCE)
            another.submit(self.maintain).result(PATIENCE)
        if "ltm_url" in self._options:
            self._nothing_is_open()
            return
        for file in self.folder.glob("*.db"):
            with closing(sqlite3.connect(file, timeout=0.0, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                other.execute("ROLLBACK")

    def _nothing_is_open(self) -> None:
        """See that PostgreSQL knows of no transaction of this process that is under way."""
        engine = create_engine(self._options["ltm_url"])
        try:
            with engine.connect() as connection:
                left = connection.execute(
                    text(
                        "SELECT state, query FROM pg_stat_activity WHERE datname ="
                        " current_database() AND xact_start IS NOT NULL"
                        " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
                    )
                ).all()
        finally:
            engine.dispose()
        assert not left, (left, self._interrupter.where)
