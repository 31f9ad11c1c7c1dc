"""Health: every cell of the table, whom a pool asks, and what follows from the answers."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from drop.workers import events as ev
from drop.workers.breaker import BreakerState
from drop.workers.health import (
    REST_SECONDS_MIN,
    TABLE,
    Health,
    HealthAction,
    HealthEvent,
    HealthState,
    step,
)
from drop.workers.slot import SlotState
from drop.workers.supervision import Supervision
from supervised import exited, gone, leave, pool, running, up, without_reports

HEALTH = Health(b"ping", b"pong", every_seconds=12.0)

# Rows are events, columns are states, cells the next state. "!": never.
EXPECTED = """
        off     resting asking  out
start   resting resting asking  out
stop    off     off     off     off
due     !       asking  !       !
nobody  !       resting !       !
late    !       !       out     !
well    !       !       resting !
wrong   !       !       out     !
lost    !       !       out     !
taken   !       !       resting !
back    !       !       !       resting
"""
HEADER, *ROWS = EXPECTED.strip("\n").splitlines()
CELLS = [
    (HealthState(column), HealthEvent(row.split()[0]), cell)
    for row in ROWS
    for column, cell in zip(HEADER.split(), row.split()[1:], strict=True)
]


def test_the_expectation_has_every_cell() -> None:
    every = set(itertools.product(HealthState, HealthEvent))
    assert {(state, event) for state, event, _ in CELLS} == every
    assert {(state, event) for state in TABLE for event in TABLE[state]} == every


@pytest.mark.parametrize(("state", "event", "expected"), CELLS)
def test_cell(state: HealthState, event: HealthEvent, expected: str) -> None:
    if expected == "!":
        with pytest.raises(AssertionError):
            step(state, event)
    else:
        assert step(state, event).state == expected


def test_the_timer_runs_while_it_rests_or_asks_and_only_then() -> None:
    timed = {HealthState.RESTING, HealthState.ASKING}
    sets = {HealthAction.REST, HealthAction.ASK}
    for state, event in itertools.product(HealthState, HealthEvent):
        cell = TABLE[state][event]
        if cell is None or cell.state is state:
            continue
        assert bool(sets & set(cell.actions)) == (cell.state in timed)
        fired = event is HealthEvent.LATE
        cancels = HealthAction.CANCEL in cell.actions
        assert cancels == (state in timed and cell.state not in timed and not fired)


# --- whom, and when ---


def asked(actions: list[ev.Action]) -> list[int]:
    return [action.slot for action in actions if isinstance(action, ev.Probe)]


def next_question(it: Supervision, now: float) -> int | None:
    (slot,) = asked(it.handle(ev.HealthTimer(), now)) or [None]
    return slot


def test_the_questions_of_a_pool_are_spread_over_its_period() -> None:
    it = pool(3, health=HEALTH)
    assert ev.SetTimer("health", 15.0) in it.handle(ev.Start(), 0.0)  # nobody yet; jitter: 1.25
    assert next_question(it, 15.0) is None
    for slot in range(3):
        up(it, slot, 16.0)
    assert it.handle(ev.HealthTimer(), 30.0) == [
        ev.Probe(0, HEALTH),
        ev.SetTimer("health", 12.0),
    ]
    assert it.handle(ev.HealthAnswer(0, "ok"), 30.0) == [ev.SetTimer("health", 5.0)]


def test_they_are_asked_in_turn_and_busy_is_as_good_as_well() -> None:
    it = running(3, health=HEALTH)
    order = []
    for _ in range(5):
        slot = next_question(it, 1.0)
        assert slot is not None
        order.append(slot)
        it.handle(ev.HealthAnswer(slot, "busy"), 1.0)
    assert order == [0, 1, 2, 0, 1]
    assert it.places.count(SlotState.RUNNING) == 3


def test_a_rest_has_a_lower_bound() -> None:
    assert HEALTH.rest_seconds(workers=1, random=0.0) == 9.0
    assert HEALTH.rest_seconds(workers=1_000_000, random=1.0) == REST_SECONDS_MIN


# --- what follows ---


def test_a_wrong_answer_costs_the_worker_its_place() -> None:
    it = running(2, health=HEALTH)
    next_question(it, 20.0)
    assert it.handle(ev.HealthAnswer(0, "wrong"), 20.0) == [
        ev.CancelTimer("health"),
        ev.RemoveWorker(0, drain=False),
        ev.Signal(0, kill=True),
    ]
    it.handle(gone(reason="removed", answered=5), 20.0)
    actions = it.handle(exited(status="killed by SIGKILL"), 20.0)
    assert it.last_error == (
        "./echo -x: answered its health check with something else (killed by SIGKILL)"
    )
    assert without_reports(actions) == [ev.SetTimer(0, 0.1)]
    assert it.slots[0].fruitless == 1  # although it had lived and answered: nobody may rely on it


def test_an_answer_that_does_not_come_within_the_period() -> None:
    it = running(2, health=HEALTH)
    next_question(it, 20.0)
    assert it.handle(ev.HealthTimer(), 32.0) == [
        ev.RemoveWorker(0, drain=False),
        ev.Signal(0, kill=True),
    ]
    it.handle(exited(status="killed by SIGKILL"), 32.0)
    assert "did not answer its health check within 12 s" in it.last_error


def test_the_timeout_of_the_pool_comes_first_where_it_is_shorter() -> None:
    it = running(2, health=HEALTH)
    next_question(it, 20.0)
    actions = it.handle(gone(reason="timeout", unanswered=1), 21.0)
    assert actions == [ev.Signal(0, kill=True), ev.CancelTimer("health")]
    it.handle(exited(status="killed by SIGKILL"), 21.0)
    assert "did not answer its health check within its timeout" in it.last_error


def test_one_place_at_a_time_is_empty_because_of_health() -> None:
    it = running(3, health=HEALTH)
    next_question(it, 20.0)
    it.handle(ev.HealthAnswer(0, "wrong"), 20.0)
    it.handle(exited(status="killed by SIGKILL"), 20.0)
    it.handle(ev.SlotTimer(0), 20.1)
    assert it.places.count(SlotState.RUNNING) == 2
    assert ev.SetTimer("health", 5.0) in up(it, 0, 20.2)  # it is back: they are asked again
    assert next_question(it, 25.0) == 1


def test_a_function_that_is_never_well_opens_the_breaker() -> None:
    it = running(2, health=HEALTH)
    for now in (20.0, 30.0, 40.0):
        it.handle(ev.HealthTimer(), now)
        slot = it._examination.slot
        assert slot is not None
        it.handle(ev.HealthAnswer(slot, "wrong"), now)
        it.handle(exited(slot, "killed by SIGKILL"), now)
        if it.slots[slot].state is SlotState.BACKOFF:
            it.handle(ev.SlotTimer(slot), now)
            up(it, slot, now)
    assert it.breaker.state is BreakerState.OPEN
    assert it.places.count(SlotState.RUNNING) == 1  # is left alone, and serves
    assert it.refusal is None


def test_answers_to_health_checks_are_no_sign_that_the_function_works() -> None:
    it = running(1, health=HEALTH)
    for _ in range(3):
        next_question(it, 1.0)
        it.handle(ev.HealthAnswer(0, "ok"), 1.0)
    it.handle(exited(), 2.0)
    it.handle(gone(answered=0, unanswered=1), 2.0)  # the dataplane counts messages alone
    assert it.slots[0].answered == 0
    assert it.slots[0].fruitless == 1


def test_answers_to_messages_count_however_often_the_worker_was_asked() -> None:
    it = running(1, health=HEALTH)
    for _ in range(3):
        next_question(it, 1.0)
        it.handle(ev.HealthAnswer(0, "ok"), 1.0)
    it.handle(exited(), 2.0)
    it.handle(gone(answered=2, unanswered=1), 2.0)
    assert it.slots[0].answered == 2
    assert it.slots[0].fruitless == 0


def test_a_worker_that_is_replaced_while_it_is_asked_has_not_failed() -> None:
    it = running(2, health=HEALTH)
    next_question(it, 20.0)
    actions = it.handle(ev.Renew(frozenset({0})), 20.0)
    assert ev.SetTimer("health", 15.0) in actions
    assert it.handle(ev.HealthAnswer(0, "wrong"), 20.0) == []
    leave(it, 0, 20.0)
    assert next_question(it, 25.0) == 1


def test_a_place_that_is_given_up_holds_up_nobody() -> None:
    it = running(2, health=HEALTH)
    next_question(it, 20.0)
    it.handle(ev.HealthAnswer(0, "ok"), 20.0)
    next_question(it, 21.0)
    it.handle(ev.HealthAnswer(1, "wrong"), 21.0)
    it.handle(ev.Update(dataclasses.replace(it.policy, workers=1), replace=False), 21.0)
    assert ev.SetTimer("health", 15.0) in it.handle(exited(1, "killed by SIGKILL"), 21.0)


def test_an_old_worker_is_asked_what_its_own_version_answers() -> None:
    it = running(2, health=HEALTH)
    new = Health(b"ping", b"pong 2", every_seconds=12.0)
    policy = dataclasses.replace(it.policy, health=new)
    it.handle(ev.Update(policy, replace=True), 1.0)
    assert ev.Probe(1, HEALTH) in it.handle(ev.HealthTimer(), 1.0)  # 0 is being replaced
    it.handle(ev.HealthAnswer(1, "ok"), 1.0)
    leave(it, 0, 1.0)
    up(it, 0, 1.0)
    assert ev.Probe(0, new) in it.handle(ev.HealthTimer(), 2.0)


def test_another_question_for_the_same_version_is_asked_of_all() -> None:
    it = running(2, health=HEALTH)
    new = dataclasses.replace(HEALTH, every_seconds=20.0)
    it.handle(ev.Update(dataclasses.replace(it.policy, health=new), replace=False), 1.0)
    assert it.handle(ev.HealthTimer(), 1.0) == [ev.Probe(0, new), ev.SetTimer("health", 20.0)]


def test_health_ends_with_the_flow_key_and_with_the_pool() -> None:
    it = running(2, health=HEALTH)
    policy = dataclasses.replace(it.policy, health=None)
    assert it.handle(ev.Update(policy, replace=False), 1.0) == [ev.CancelTimer("health")]
    it = running(2, health=HEALTH)
    next_question(it, 1.0)
    assert ev.CancelTimer("health") in it.handle(ev.Stop(10.0), 1.0)
    assert it.handle(ev.HealthAnswer(0, "wrong"), 1.0) == []
