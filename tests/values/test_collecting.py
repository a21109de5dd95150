"""The collector of garbage is held off in a block, and goes on afterwards whatever happened."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest

from agent_memory.values.collecting import collection_paused


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


def test_collection_goes_on_after_a_block_that_fails() -> None:
    with pytest.raises(ZeroDivisionError), collection_paused():
        _ = 1 / 0
    assert gc.isenabled()


def test_collection_that_is_off_stays_off() -> None:
    gc.disable()
    with collection_paused():
        pass
    assert not gc.isenabled()


def test_a_block_within_another_does_not_end_it() -> None:
    with collection_paused():
        with collection_paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_collection_goes_on_in_a_child_that_was_forked_meanwhile() -> None:
    with collection_paused():
        child = os.fork()
        if not child:
            os._exit(0 if gc.isenabled() else 1)
    assert os.waitpid(child, 0)[1] == 0
