"""The crash-loop breaker: every cell of its table, and how it counts and waits."""

from __future__ import annotations

import itertools

import pytest

from drop.workers.breaker import (
    TABLE,
    Breaker,
    BreakerAction,
    BreakerEvent,
    BreakerLimits,
    BreakerState,
)

LIMITS = BreakerLimits(
    fruitless_max=3,
    window_seconds=60.0,
    open_seconds=4.0,
    open_seconds_max=30.0,
    proven_seconds=5.0,
)


def breaker(random: float = 1.0) -> Breaker:
    return Breaker(LIMITS, lambda: random)


def opened() -> Breaker:
    it = breaker()
    assert it.ended(0.0, fruitful=False, hopeless=True) is BreakerAction.OPEN
    return it


def test_every_cell_is_filled() -> None:
    assert {(state, event) for state in TABLE for event in TABLE[state]} == set(
        itertools.product(BreakerState, BreakerEvent)
    )


@pytest.mark.parametrize(
    ("state", "event", "after", "action"),
    [
        ("closed", "fruitless", "closed", None),
        ("closed", "limit", "open", "open"),
        ("closed", "fruitful", "closed", None),
        ("closed", "reset", "closed", None),
        ("open", "fruitless", "open", None),
        ("open", "limit", "open", None),
        ("open", "fruitful", "closed", "close"),
        ("open", "timer", "trial", "try"),
        ("open", "reset", "closed", "close"),
        ("trial", "fruitless", "open", "open"),
        ("trial", "limit", "open", "open"),
        ("trial", "fruitful", "closed", "close"),
        ("trial", "timer", "closed", "close"),
        ("trial", "reset", "closed", "close"),
    ],
)
def test_cell(state: str, event: str, after: str, action: str | None) -> None:
    assert TABLE[BreakerState(state)][BreakerEvent(event)] == (after, action)


def test_a_closed_breaker_has_no_timer() -> None:
    with pytest.raises(AssertionError):
        breaker().timer()


def test_opens_at_the_limit_and_not_before() -> None:
    it = breaker()
    assert [it.ended(now, fruitful=False) for now in (0.0, 1.0, 2.0)] == [
        None,
        None,
        BreakerAction.OPEN,
    ]


def test_an_answer_forgives_what_came_before() -> None:
    it = breaker()
    it.ended(0.0, fruitful=False)
    it.ended(0.0, fruitful=False)
    it.ended(0.0, fruitful=True)
    assert it.ended(0.0, fruitful=False) is None
    assert it.state is BreakerState.CLOSED


def test_failures_spread_over_more_than_the_window_do_not_open() -> None:
    it = breaker()
    assert {it.ended(now * 31.0, fruitful=False) for now in range(10)} == {None}


def test_a_command_that_cannot_be_executed_opens_at_once() -> None:
    assert opened().state is BreakerState.OPEN


def test_each_failed_trial_doubles_the_wait_up_to_the_maximum() -> None:
    it = opened()
    waits = []
    for _ in range(5):
        waits.append(it.wait_seconds())
        assert it.timer() is BreakerAction.TRY
        assert it.wait_seconds() == LIMITS.proven_seconds
        assert it.ended(0.0, fruitful=False) is BreakerAction.OPEN
    assert waits == [4.0, 8.0, 16.0, 30.0, 30.0]


def test_closing_starts_the_waits_from_the_beginning() -> None:
    it = opened()
    it.timer()
    it.ended(0.0, fruitful=False)
    it.timer()
    assert it.timer() is BreakerAction.CLOSE
    it.ended(0.0, fruitful=False, hopeless=True)
    assert it.wait_seconds() == 4.0


def test_the_wait_is_spread() -> None:
    it = breaker(random=0.0)
    it.ended(0.0, fruitful=False, hopeless=True)
    assert it.wait_seconds() == 3.0
