"""A count of retrievals that is interrupted anywhere, its commit included, is made once."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from agent_memory.compression.levels import ContentsCodec
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.retrieval.access_log import AccessLog
from agent_memory.testing.samples import an_entry
from agent_memory.values.entry import Tier
from agent_memory.values.query import Hit
from tests import engines
from tests.faults.interrupting import Places

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@engines.sql_usually("sqlite_file")
def test_retrievals_whose_writing_is_interrupted_anywhere_are_counted_once(
    ltm_engine: Engine,
) -> None:
    repository = LtmRepository(ltm_engine, ContentsCodec())
    entry = an_entry()
    repository.add(entry)
    log = AccessLog([repository])
    places = Places(log.flush)
    at_commit = 0
    log.record([Hit(entry, Tier.LTM)], at=1.0)
    for counted, interrupted in enumerate(places.each(), 1):
        at_commit += "c_return commit" in places.where
        log.flush()
        assert interrupted is None or counted == repository.get(entry.key).retrieval_count, (
            places.where
        )
        log.record([Hit(entry, Tier.LTM)], at=1.0)
    assert at_commit == 1
