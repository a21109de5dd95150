"""A count of retrievals that is interrupted anywhere, its commit included, is made once."""

from __future__ import annotations

import gc
from types import FrameType
from typing import Any

import pytest
from sqlalchemy import Engine

from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections import sql_commits
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.retrieval.access_log import AccessLog
from agent_memory.testing.samples import an_entry
from agent_memory.values.entry import Tier
from agent_memory.values.query import Hit
from tests import engines
from tests.faults.interrupting import Places
from tests.fuzzing import EVERYTHING

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class PlacesOfACommit(Places):
    """Notes how many places are passed until the driver has committed, and in all."""

    committed = 0

    def _pass(self, frame: FrameType, event: str, what: Any) -> None:
        super()._pass(frame, event, what)
        if event == "c_return" and frame.f_code.co_filename == sql_commits.__file__:
            self.committed = self._passed

    def numbers(self) -> list[int]:
        """All around the commit, and some of the others; does the work once."""
        gc.collect()
        gc.disable()  # what it finalizes would be counted, here and not where it is interrupted
        try:
            self.interrupt(10**9)
        finally:
            gc.enable()
        around = range(self.committed - 3, self.committed + 9)
        return sorted({*range(1, self._passed + 1, 1 if EVERYTHING else 29), *around})


@engines.sql_usually("sqlite_file")
def test_retrievals_whose_writing_is_interrupted_anywhere_are_counted_once(
    ltm_engine: Engine,
) -> None:
    repository = LtmRepository(ltm_engine, ContentsCodec())
    entry = an_entry()
    repository.add(entry)
    log = AccessLog([repository])
    hits = [Hit(entry, Tier.LTM)]
    log.record(hits, at=1.0)
    log.flush()  # which makes what later ones find made
    log.record(hits, at=1.0)
    places = PlacesOfACommit(log.flush)
    where = []
    for counted, number in enumerate(places.numbers(), 3):
        log.record(hits, at=1.0)
        places.interrupt(number)
        where.append(places.where)
        log.flush()
        assert repository.get(entry.key).retrieval_count == counted, places.where
    of_driver = [place for place in where if sql_commits.__file__ in place]
    assert of_driver or ltm_engine.dialect.name != "sqlite"
