from __future__ import annotations

from typing import Any

import pytest

from agent_memory import EntryKey, InvalidEntry, Stored


def test_a_stored_answer_cannot_be_changed_and_is_short() -> None:
    key = EntryKey("default", "ant", "0" * 32)
    refused: dict[str | int, Any] = {"bee": InvalidEntry("no")}
    stored = Stored((key,), refused)
    refused.clear()
    assert repr(stored) == "Stored(1 accepted, 1 refused)"
    with pytest.raises(TypeError):
        stored.refused["x"] = InvalidEntry("no")  # type: ignore[index]
