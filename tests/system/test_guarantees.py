"""The page of guarantees names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_proof_that_is_named_is_there() -> None:
    page = (ROOT / "docs" / "guarantees.md").read_text()
    file, missing, seen = "", [], 0
    for named, test in re.findall(r"`([\w/.]*)::(\w+)`", page):
        file = named or file
        seen += 1
        if f"def {test}(" not in (ROOT / file).read_text():
            missing.append(f"{file}::{test}")
    assert not missing
    assert seen >= 25
