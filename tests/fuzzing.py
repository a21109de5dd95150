"""How many cases tests that fuzz try, in one place, and that they are counted.

``AGENT_MEMORY_TEST_KILLS`` scales them, as it scales the kills: ``make faults`` tries many more.
"""

from __future__ import annotations

import importlib.util
import os
from importlib import import_module

from hypothesis import HealthCheck, settings

_USUAL_KILLS = 20
_TALLY = "agent_memory.testing.tally"


def cases(usual: int) -> int:
    """How many cases to try where so many are usual."""
    asked = int(os.environ.get("AGENT_MEMORY_TEST_KILLS", str(_USUAL_KILLS)))
    return max(1, usual * asked // _USUAL_KILLS)


def fuzzed(usual: int) -> settings:
    """Settings of Hypothesis for a test that tries so many cases usually."""
    return settings(
        max_examples=cases(usual),
        deadline=None,
        derandomize="AGENT_MEMORY_TEST_KILLS" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )


def count_case() -> None:
    """Count a case that was fuzzed, where cases are counted."""
    if importlib.util.find_spec(_TALLY) is not None:
        import_module(_TALLY).count("fuzzed cases")
