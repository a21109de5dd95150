"""How often tests kill and how many cases they try, in one place, and that cases are counted.

``AGENT_MEMORY_TEST_KILLS`` scales both: ``make test`` asks for few, ``make faults`` for 300.
``AGENT_MEMORY_TEST_EXAMPLES`` scales how many examples a property is tried with.
"""

from __future__ import annotations

import os

from agent_memory.testing.tally import count

_USUAL_KILLS = 20
EXAMPLES = int(os.environ.get("AGENT_MEMORY_TEST_EXAMPLES", "50"))
"""How many examples a property is tried with that sets no number."""
KILLS = int(os.environ.get("AGENT_MEMORY_TEST_KILLS", str(_USUAL_KILLS)))
"""About how many kills a file of such tests comes to."""
EVERYTHING = KILLS >= 300
"""Whether each point is to be tried, and not a sample of them."""


def cases(usual: int) -> int:
    """How many cases to try where so many are usual."""
    return max(1, usual * KILLS // _USUAL_KILLS)


def count_case() -> None:
    """Count a case that was fuzzed; ``make faults`` tells how many."""
    count("fuzzed cases")


def examples(usual: int) -> int:
    """Of so many examples half in ``make test``, and twice as many in ``make test-long``."""
    return max(1, usual * EXAMPLES // 100)
