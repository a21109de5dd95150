from __future__ import annotations

from agent_memory.connections.circuit_breaker import SHARE, Absence
from agent_memory.errors import StoreUnavailable


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def an_absence() -> tuple[Absence, Clock, Clock]:
    clock, ticks = Clock(1_000.0), Clock(0.0)
    return Absence(5.0, 60.0, clock, ticks), clock, ticks


def test_a_store_is_up_until_it_fails_and_again_once_it_returned() -> None:
    absence, _, _ = an_absence()
    assert not absence.is_away
    assert absence.is_due
    assert absence.status("it").up
    assert absence.failed(StoreUnavailable("gone")) is True
    assert absence.is_away
    assert absence.returned() is True
    assert absence.returned() is False
    assert absence.status("it").up


def test_it_is_away_since_it_first_failed_for_what_it_last_said() -> None:
    absence, clock, _ = an_absence()
    absence.failed(StoreUnavailable("gone"))
    clock.now += 30
    assert absence.failed(StoreUnavailable("still gone")) is False
    status = absence.status("it")
    assert (status.name, status.up, status.away_since, status.reason) == (
        "it", False, 1_000.0, "still gone",
    )  # fmt: skip


def test_it_is_left_alone_for_the_pause_after_each_look() -> None:
    absence, _, ticks = an_absence()
    absence.failed(StoreUnavailable("gone"))
    ticks.now = 4.9
    assert not absence.is_due
    ticks.now = 5.0
    assert absence.is_due
    absence.failed(StoreUnavailable("gone"))
    assert not absence.is_due


def test_a_look_that_takes_long_makes_the_next_wait_longer_up_to_a_bound() -> None:
    absence, _, ticks = an_absence()
    absence.failed(StoreUnavailable("slow"), took=2.0)
    ticks.now = 2.0 * SHARE - 0.1
    assert not absence.is_due
    ticks.now += 0.2
    assert absence.is_due
    absence.failed(StoreUnavailable("slower"), took=30.0)
    ticks.now += 60.0
    assert absence.is_due


def test_a_wall_clock_that_is_set_back_delays_no_look() -> None:
    absence, clock, ticks = an_absence()
    absence.failed(StoreUnavailable("gone"))
    clock.now = 0.0
    ticks.now = 5.0
    assert absence.is_due
