from __future__ import annotations

import pytest

from agent_memory.connections.outages import Outages
from agent_memory.errors import InvalidEntry, StoreUnavailable


class Store:
    def __init__(self) -> None:
        self.away: set[str] = set()

    def write(self) -> str:
        return self._answer("write")

    def read(self) -> str:
        return self._answer("read")

    def _answer(self, call: str) -> str:
        if call in self.away:
            raise StoreUnavailable(f"{call}: away")
        return call


def test_an_outage_is_logged_when_it_begins_and_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outages, store = Outages(), Store()
    store.away = {"write", "read"}
    for _ in range(3):
        assert outages.guard(None, store.write) is None
        assert outages.guard([], store.read) == []
    assert outages.ongoing
    store.away = set()
    for _ in range(3):
        assert outages.guard(None, store.write) == "write"
        assert outages.guard([], store.read) == "read"
    assert not outages.ongoing
    assert outages.failures == 6
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_calls_that_go_well_do_not_end_the_outage_of_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outages, store = Outages(), Store()
    store.away = {"read"}
    for _ in range(5):
        outages.guard(None, store.write)
        outages.guard(None, store.read)
    assert outages.ongoing
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_an_outage_is_counted_and_raised_when_so_asked() -> None:
    outages, store = Outages("raise"), Store()
    store.away = {"read"}
    with pytest.raises(StoreUnavailable, match="away"):
        outages.guard(None, store.read)
    assert outages.failures == 1


def test_bad_input_is_no_outage() -> None:
    def refuse() -> None:
        raise InvalidEntry("bad")

    outages = Outages()
    with pytest.raises(InvalidEntry):
        outages.guard(None, refuse)
    assert outages.failures == 0
