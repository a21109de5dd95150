"""How many cases tests that fuzz try, in one place, and that they are counted.

``AGENT_MEMORY_TEST_KILLS`` scales them, as it scales the kills: ``make faults`` tries many more.
"""

from __future__ import annotations

import os

from agent_memory.testing.tally import count

_USUAL_KILLS = 20


def cases(usual: int) -> int:
    """How many cases to try where so many are usual."""
    asked = int(os.environ.get("AGENT_MEMORY_TEST_KILLS", str(_USUAL_KILLS)))
    return max(1, usual * asked // _USUAL_KILLS)


def count_case() -> None:
    """Count a case that was fuzzed; ``make faults`` tells how many."""
    count("fuzzed cases")
