"""The supervision of a pool of kind exec: every cell of its table, its back-off, what it says."""

from __future__ import annotations

import pytest

from drop.workers import events as ev
from drop.workers.exec_supervision import (
    BACKOFF_SECONDS,
    TABLE,
    Asked,
    Configure,
    Event,
    ExecSupervision,
    Resume,
    State,
)

POLICY = ev.Policy(pool="upper", command="tr a-z A-Z", log="/logs/upper.log")

WAYS: dict[State, list[Event]] = {
    State.NEW: [],
    State.UP: [Event.START],
    State.FAILING: [Event.START, Event.FAILED],
    State.TRIAL: [Event.START, Event.FAILED, Event.TIMER],
    State.DRAINING: [Event.START, Event.STOP],
    State.STOPPED: [Event.KILL],
}


def in_state(state: State, random: float = 1.0) -> ExecSupervision:
    it = ExecSupervision(POLICY, lambda: random)
    for event in WAYS[state]:
        it.handle(event, error="no such program", grace_seconds=3.0)
    assert it.state is state
    return it


def told(event: str, actions: list[Asked]) -> list[str]:
    return [each.text for each in actions if isinstance(each, ev.Report) and each.event == event]


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_every_cell(state: State, event: Event) -> None:
    it, cell = in_state(state), TABLE[state][event]
    if cell is None:
        with pytest.raises(AssertionError, match=f"a {state} pool cannot get {event}"):
            it.handle(event)
        return
    actions = it.handle(event, error="no such program", grace_seconds=3.0)
    assert it.state is cell.state
    left_failing = state is State.FAILING and cell.state is not State.FAILING
    assert (ev.CancelTimer("pool") in actions) is (
        left_failing or (cell.state is State.STOPPED and state is not State.STOPPED)
    )
    assert (it.refusal is not None) is any(
        (
            it.state in (State.FAILING, State.TRIAL),
            it.state is State.DRAINING and (event is Event.FAILED or state in _REFUSING),
            it.state is State.STOPPED and state in _REFUSING,
        )
    )


_REFUSING = (State.FAILING, State.TRIAL)


def test_a_timer_runs_exactly_where_one_is_waited_for() -> None:
    """Whatever happens, a state that a timer leads out of has one, and no other state has."""
    for state in State:
        for event in Event:
            it = in_state(state)
            if TABLE[state][event] is None:
                continue
            waits = state in (State.FAILING, State.DRAINING)
            if event is Event.TIMER:
                waits = False
            for action in it.handle(event, error="x", grace_seconds=1.0):
                if isinstance(action, ev.SetTimer):
                    waits = True
                elif isinstance(action, ev.CancelTimer):
                    waits = False
            assert waits is (it.state in (State.FAILING, State.DRAINING)), (state, event)


def test_it_starts_and_drains() -> None:
    it = in_state(State.NEW)
    assert it.handle(Event.START) == [Configure()]
    assert it.handle(Event.STOP, grace_seconds=7.0) == [
        ev.DrainPool(),
        ev.SetTimer("pool", 7.0),
    ]
    assert it.handle(Event.DRAINED) == [ev.CancelTimer("pool"), ev.PoolStopped()]
    assert it.handle(Event.STOP) == it.handle(Event.KILL) == []


def test_the_grace_ends() -> None:
    it = in_state(State.DRAINING)
    assert it.handle(Event.TIMER) == [ev.CancelTimer("pool"), ev.PoolStopped()]


def test_a_failed_start_is_refused_reported_and_tried_again() -> None:
    it = in_state(State.UP)
    actions = it.handle(Event.FAILED, error="tr: cannot execute")
    refusal = "it cannot be started: tr: cannot execute; its log: /logs/upper.log"
    assert actions == [
        ev.Refuse(refusal),
        ev.Report("error", "spawn_failed", "tr: cannot execute; tried again in 1.0 s"),
        ev.SetTimer("pool", BACKOFF_SECONDS),
    ]
    assert (it.refusal, it.last_error) == (refusal, "tr: cannot execute")
    assert it.handle(Event.TIMER) == [ev.CancelTimer("pool"), Resume()]
    assert it.refusal == refusal  # until it is known to work
    actions = it.handle(Event.WORKS)
    assert ev.Refuse(None) in actions
    assert told("spawn_works", actions) == ["tr a-z A-Z: can be started again"]
    assert it.refusal is None


@pytest.mark.parametrize(("random", "least"), [(0.0, 0.5), (1.0, 1.0)])
def test_the_back_off_doubles_up_to_its_bound_and_half_is_chance(
    random: float, least: float
) -> None:
    it = in_state(State.UP, random)
    seconds = []
    for _ in range(12):
        actions = it.handle(Event.FAILED, error="x")
        seconds += [each.seconds for each in actions if isinstance(each, ev.SetTimer)]
        it.handle(Event.TIMER)
    most = POLICY.backoff_seconds_max
    assert seconds == [least * min(most, BACKOFF_SECONDS * 2.0**n) for n in range(12)]


@pytest.mark.parametrize("state", [State.FAILING, State.TRIAL])
def test_an_update_forgets_the_failures_and_claims_nothing(state: State) -> None:
    it = in_state(state)
    actions = it.handle(Event.UPDATE)
    assert [each for each in actions if not isinstance(each, ev.CancelTimer)] == [
        ev.Refuse(None),
        Configure(),
    ]
    actions = it.handle(Event.FAILED, error="still")
    assert ev.SetTimer("pool", BACKOFF_SECONDS) in actions  # counted from the start


def test_one_that_fails_while_it_drains_refuses_what_waits() -> None:
    it = in_state(State.DRAINING)
    actions = it.handle(Event.FAILED, error="gone")
    assert isinstance(actions[0], ev.Refuse)
    assert not any(isinstance(each, ev.SetTimer) for each in actions)


def test_that_none_is_kept_ready_any_more_is_said_with_the_remedy() -> None:
    (report,) = in_state(State.UP).spares_off("wrote before it had a message")
    assert isinstance(report, ev.Report)
    assert report.level == "warning"
    assert report.text.startswith("tr a-z A-Z: a process wrote before it had a message, so none")
    assert "`spare: 0`" in report.text
