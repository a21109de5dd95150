"""How much contents would need is known before any of them is copied."""

from __future__ import annotations

from typing import Any

import pytest

from agent_memory.values.extent import TooMuch, measure


def test_lists_that_share_their_parts_count_each_time_they_are_met() -> None:
    value: list[Any] = [1]
    for _ in range(16):
        value = [value, value]
    parts = 2**17 - 2 + 2**16
    with pytest.raises(TooMuch):
        measure({"v": value}, parts, 100)
    assert measure({"v": value}, parts + 10, 100).is_plain
