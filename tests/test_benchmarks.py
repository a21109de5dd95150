"""The ratios of ``make bench-quick``: what counts as a loss, and what is committed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import plots
from benchmarks.measuring import Figure, Quartiles
from benchmarks.quick import SUBJECTS, Subject, compared
from benchmarks.results import FILE, Row, committed, is_lost, parts, table, written

PAGE = FILE.parents[1] / "docs" / "benchmarks.md"
KNOWN = Quartiles(1.8, 2.0, 2.4)


@pytest.mark.parametrize(
    ("now", "lost"),
    [
        (Quartiles(2.9, 3.2, 4.0), False),  # a quarter of the rounds lost less than a third
        (Quartiles(3.1, 3.2, 4.0), True),
        (Quartiles(0.9, 1.0, 1.1), False),
    ],
)
def test_a_third_is_lost_where_most_of_the_rounds_lost_it(now: Quartiles, lost: bool) -> None:
    assert is_lost(now, KNOWN) is lost
    # Committed rounds that were as slow were no loss then.
    assert not is_lost(now, Quartiles(1.8, 2.0, 9.0))


def _figure(name: str, low: float) -> Figure:
    return Figure(name, "2x", "1x", True, "", Quartiles(low, low, low))


def test_a_loss_counts_once_it_was_seen_twice() -> None:
    rounds = iter([[("steady", 2.0), ("noisy", 9.0), ("slow", 9.0)],
                   [("steady", 9.0), ("noisy", 2.0), ("slow", 9.0)]])  # fmt: skip

    def measured() -> Iterator[Figure]:
        return (_figure(*one) for one in next(rounds))

    known = {name: Row(name, "", "", KNOWN) for name in ("steady", "noisy", "slow")}
    failed = compared({"all": Subject(measured, "")}, known)
    assert [row.name for row in failed] == ["slow"]
    assert next(rounds, None) is None


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    row = Row.of(_figure("a store", 1.25), "synced")
    file = tmp_path / "results.json"
    written([row], "quick", file)
    written([], "peers", file)
    assert committed("quick", file) == {"a store": row}
    assert parts(file) == ["quick", "peers"]


def test_what_is_committed_has_a_row_of_each_kind_of_durability() -> None:
    rows = committed("quick").values()
    assert {row.durability for row in rows} == {one.durability for one in SUBJECTS.values()}


@pytest.mark.parametrize("part", parts())
def test_the_page_shows_what_is_committed(part: str) -> None:
    """Else run `python -m benchmarks.plots`, and put the table it prints into the page."""
    picture = f"benchmarks-{part}.svg"
    drawn, page = (plots.PICTURES / picture).read_text(), PAGE.read_text()
    assert f"pictures/{picture}" in page
    room = float(re.search(r"translate\((\d+),", drawn)[1])  # type: ignore[index]  # left of it
    assert table(committed(part).values()) in page
    for name in committed(part):
        for half in re.split(r",? against", name):
            assert half.strip().replace("&", "&amp;") in drawn
            assert len(half) * 6 < room, "a wide font would be cut off"
