"""The short run of benchmarks/compression.py: sizes and bounds do not depend on the machine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.compression import TARGETS, entropy, prepared, sizes
from benchmarks.traces import Trace, boids, sugarscape
from tests.engines import parameters

ENTRIES = 10_000


@pytest.mark.parametrize("trace", parameters([sugarscape, boids], [boids]))
def test_contents_that_were_not_learned_from_are_small_and_every_number_is_within_its_bound(
    trace: Callable[[int], Trace],
) -> None:
    coded = prepared(trace(ENTRIES))
    found = sizes(coded)
    assert found.values >= 10_000
    assert found.inside == 1.0
    assert found.level_2 <= TARGETS[found.name]
    # The vector is worth having: with it, fields take less than their own entropy.
    assert found.level_2 < found.alone
    assert found.level_2 < entropy(coded.code, coded.unseen, coded.steps) + 2
