"""The mutants still fit the package: each edit finds its text once, and each test is there."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.promise)
def test_a_mutant_finds_its_text_once_and_its_tests(mutant: Mutant) -> None:
    for edit in mutant.edits:
        edited, text = edit.applied(ROOT)
        assert text != edited.read_text()
        ast.parse(text)
    for test in mutant.tests:
        file, *_, name = test.partition("[")[0].split("::")
        # The contract of repositories stands in the package.
        places = [ROOT / file, *(ROOT / "agent_memory" / "testing").glob("*.py")]
        assert any(f"def {name}(" in place.read_text() for place in places), test


def test_a_promise_is_broken_once() -> None:
    assert not [promise for promise, n in Counter(m.promise for m in MUTANTS).items() if n > 1]
