"""The contract of repositories as tests, and entries to test with; needs pytest and hypothesis.

Both come with the ``dev`` extra. A repository of your own is held to the contract like this:

    from agent_memory.testing import RepositoryContract

    class TestMyRepository(RepositoryContract):
        @pytest.fixture
        def repository(self):
            return MyRepository(...)    # empty

A long-term one, which also remembers what was forgotten, takes ``LongTermContract``; one
that entries leave when they come of age takes ``ShortLivedContract``.

To test with faults: ``IoPoints`` reports each point between two I/O steps, so that a process or a
server can be killed there; ``Acknowledgements`` logs what was acknowledged to a process, and
outlives it; ``Memories.whole`` and ``orphans`` compare all entries of the tiers with it; the plugin
``agent_memory.testing.tally`` counts what was done and what was met.
"""

import pytest

# Without this a failing assert of the contract would not show its values; it must come first.
_PARTS = (
    *(
        "apart",
        "asking",
        "changing",
        "finding",
        "forgetting",
        "keeping",
        "many",
        "moving",
        "sharing",
    ),
    "storing",
)
pytest.register_assert_rewrite(f"{__name__}.stateful", *(f"{__name__}.{part}" for part in _PARTS))

from agent_memory.testing.acknowledged import Acknowledgements, Expected  # noqa: E402
from agent_memory.testing.contract import (  # noqa: E402
    LongTermContract,
    RepositoryContract,
    ShortLivedContract,
)
from agent_memory.testing.exact import same  # noqa: E402
from agent_memory.testing.points import IoPoints  # noqa: E402
from agent_memory.testing.redis_keys import orphans  # noqa: E402
from agent_memory.testing.samples import (  # noqa: E402
    HOSTILE_CONTENTS,
    HOSTILE_NAMES,
    UNSTORABLE_CONTENTS,
    a_memory_id,
    an_entry,
)
from agent_memory.testing.wholeness import Findings, Memories  # noqa: E402

__all__ = [
    "HOSTILE_CONTENTS",
    "HOSTILE_NAMES",
    "UNSTORABLE_CONTENTS",
    "Acknowledgements",
    "Expected",
    "Findings",
    "IoPoints",
    "LongTermContract",
    "Memories",
    "RepositoryContract",
    "ShortLivedContract",
    "a_memory_id",
    "an_entry",
    "orphans",
    "same",
]
