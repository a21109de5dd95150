from __future__ import annotations

from agent_memory.connections.circuit_breaker import SHARE, CircuitBreaker
from agent_memory.errors import StoreUnavailable, WritesRefused


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def a_breaker() -> tuple[CircuitBreaker, Clock, Clock]:
    clock, ticks = Clock(1_000.0), Clock(0.0)
    return CircuitBreaker(5.0, 60.0, clock, ticks), clock, ticks


def test_a_store_is_up_until_it_fails_and_again_once_it_returned() -> None:
    breaker, _, _ = a_breaker()
    assert not breaker.is_away
    assert breaker.is_due
    assert breaker.status("it").up
    assert breaker.failed(StoreUnavailable("gone")) is True
    assert breaker.is_away
    assert breaker.returned() is True
    assert breaker.returned() is False
    assert breaker.status("it").up


def test_it_is_away_since_it_first_failed_for_what_it_last_said() -> None:
    breaker, clock, _ = a_breaker()
    breaker.failed(StoreUnavailable("gone"))
    clock.now += 30
    assert breaker.failed(StoreUnavailable("still gone")) is False
    status = breaker.status("it")
    assert (status.name, status.up, status.away_since, status.reason) == (
        "it", False, 1_000.0, "still gone",
    )  # fmt: skip


def test_it_is_left_alone_for_the_pause_after_each_look() -> None:
    breaker, _, ticks = a_breaker()
    breaker.failed(StoreUnavailable("gone"))
    ticks.now = 4.9
    assert not breaker.is_due
    ticks.now = 5.0
    assert breaker.is_due
    breaker.failed(StoreUnavailable("gone"))
    assert not breaker.is_due


def test_a_look_that_takes_long_makes_the_next_wait_longer_up_to_a_bound() -> None:
    breaker, _, ticks = a_breaker()
    breaker.failed(StoreUnavailable("slow"), took=2.0)
    ticks.now = 2.0 * SHARE - 0.1
    assert not breaker.is_due
    ticks.now += 0.2
    assert breaker.is_due
    breaker.failed(StoreUnavailable("slower"), took=30.0)
    ticks.now += 60.0
    assert breaker.is_due


def test_a_wall_clock_that_is_set_back_delays_no_look() -> None:
    breaker, clock, ticks = a_breaker()
    breaker.failed(StoreUnavailable("gone"))
    clock.now = 0.0
    ticks.now = 5.0
    assert breaker.is_due


def test_a_silent_server_is_up_once_it_answers_anything() -> None:
    breaker, _, _ = a_breaker()
    breaker.failed(StoreUnavailable("gone"))
    assert breaker.is_silent
    breaker.answered()
    assert not breaker.is_away


def test_a_server_that_takes_no_writes_is_away_until_it_takes_one_and_may_be_asked() -> None:
    breaker, _, _ = a_breaker()
    assert breaker.refused(WritesRefused("out of memory")) is True
    breaker.answered()
    assert breaker.is_away
    assert not breaker.is_silent
    assert breaker.is_due
    assert breaker.reason == "out of memory"
    breaker.returned()
    assert breaker.reason == ""
