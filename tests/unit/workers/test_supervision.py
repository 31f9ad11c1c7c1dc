"""The supervision of a pool, driven by hand: starting, restarting, the crash loop."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from drop.workers import events as ev
from drop.workers.breaker import BreakerLimits, BreakerState
from drop.workers.pool_state import TABLE, PoolEvent, PoolState
from drop.workers.slot import SlotState
from drop.workers.supervision import Supervision
from drop.workers.verdict import FAULTS
from supervised import POLICY, crash, end, exited, gone, pool, reports, running, without_reports

# --- the pool's table ---


@pytest.mark.parametrize(("state", "event"), list(itertools.product(PoolState, PoolEvent)))
def test_pool_table_is_complete(state: PoolState, event: PoolEvent) -> None:
    expected = {
        PoolState.NEW: "up stopped stopped ! ! !",
        PoolState.UP: "up draining stopping up ! up",
        PoolState.DRAINING: "draining draining stopping stopping stopping draining",
        PoolState.STOPPING: "stopping stopping stopping stopping ! stopped",
        PoolState.STOPPED: "stopped stopped stopped stopped ! stopped",
    }[state].split()[list(PoolEvent).index(event)]
    cell = TABLE[state][event]
    assert (cell.state if cell else "!") == expected


# --- starting ---


def test_start_spawns_every_slot() -> None:
    assert pool(3).handle(ev.Start(), 0.0) == [ev.Spawn(0), ev.Spawn(1), ev.Spawn(2)]


def test_a_pool_needs_a_worker() -> None:
    with pytest.raises(AssertionError):
        pool(0)


def test_a_pool_that_was_never_started_stops_at_once() -> None:
    assert pool().handle(ev.Stop(10.0), 0.0) == [ev.PoolStopped()]


def test_a_missing_command_is_refused_at_once_with_its_errno() -> None:
    it = pool()
    it.handle(ev.Start(), 0.0)
    actions = it.handle(ev.SpawnFailed(0, "./echo: ENOENT", hopeless=True), 0.0)
    assert without_reports(actions) == [
        ev.SetTimer("breaker", 4.0),
        ev.Refuse(
            "it fails, and is only tried again from time to time: "
            "./echo: ENOENT; its log: /logs/echo.log"
        ),
    ]
    assert {report.event for report in reports(actions)} == {"spawn_failed", "breaker_open"}
    assert it.slots[0].state is SlotState.HELD


def test_a_passing_failure_to_spawn_is_tried_again() -> None:
    it = pool()
    it.handle(ev.Start(), 0.0)
    actions = it.handle(ev.SpawnFailed(0, "EAGAIN: try again", hopeless=False), 0.0)
    assert without_reports(actions) == [ev.SetTimer(0, 0.1)]


# --- restarting ---


def test_a_worker_that_ends_is_started_again_after_a_wait() -> None:
    it = running()
    assert without_reports(end(it, 1.0)) == [ev.SetTimer(0, 0.1)]
    assert it.handle(ev.SlotTimer(0), 1.1) == [ev.CancelTimer(0), ev.Spawn(0)]
    assert it.slots[0].restarts == 1


def test_the_two_ends_of_a_worker_come_in_any_order() -> None:
    it = running()
    assert it.handle(gone(), 1.0) == [ev.SetTimer(0, POLICY.leave_seconds)]
    actions = it.handle(exited(), 1.0)
    assert without_reports(actions) == [ev.CancelTimer(0), ev.SetTimer(0, 0.1)]


def test_waits_double_with_each_fruitless_end_and_start_over_after_an_answer() -> None:
    it = Supervision(replace(POLICY, breaker=BreakerLimits(fruitless_max=99)), lambda: 1.0)
    it.handle(ev.Start(), 0.0)
    waits = []
    for answered in (0, 0, 0, 0, 7, 0, 0):
        it.handle(ev.Spawned(0, 1), 0.0)
        (timer,) = without_reports(end(it, 0.0, answered=answered))
        assert isinstance(timer, ev.SetTimer)
        waits.append(timer.seconds)
        it.handle(ev.SlotTimer(0), 0.0)
    assert waits == [0.1, 0.2, 0.4, 0.8, 0.1, 0.1, 0.2]


def test_waits_are_spread_and_bounded() -> None:
    it = Supervision(replace(POLICY, breaker=BreakerLimits(fruitless_max=99)), lambda: 0.0)
    it.handle(ev.Start(), 0.0)
    for _ in range(40):
        it.handle(ev.Spawned(0, 1), 0.0)
        (timer,) = without_reports(end(it, 0.0))
        it.handle(ev.SlotTimer(0), 0.0)
    assert timer == ev.SetTimer(0, POLICY.backoff_seconds_max / 2)


@pytest.mark.parametrize("reason", sorted(FAULTS))
def test_a_fault_is_killed_at_once_and_named(reason: str) -> None:
    it = running()
    assert it.handle(gone(reason=reason, unanswered=1), 1.0) == [ev.Signal(0, kill=True)]
    it.handle(exited(status="killed by SIGKILL"), 1.0)
    assert it.last_error.startswith("./echo -x: ")
    assert it.last_error.endswith(f"{FAULTS[reason]} (killed by SIGKILL)")
    assert it.slots[0].state is SlotState.BACKOFF


def test_a_worker_that_closes_its_stdout_and_stays_is_killed() -> None:
    it = running()
    it.handle(gone(reason="eof"), 1.0)
    assert it.handle(ev.SlotTimer(0), 1.5) == [ev.CancelTimer(0), ev.Signal(0, kill=True)]


@pytest.mark.parametrize(
    ("restart", "clean", "again"),
    [
        ("always", True, True),
        ("always", False, True),
        ("on-failure", True, False),
        ("on-failure", False, True),
        ("never", True, False),
        ("never", False, False),
    ],
)
def test_restart(restart: str, clean: bool, again: bool) -> None:
    it = running(restart=ev.Restart(restart))
    it.handle(exited(clean=clean), 1.0)
    actions = without_reports(it.handle(gone(answered=1), 1.0))
    if again:
        assert actions == [ev.SetTimer(0, 0.1)]
    else:
        (refuse,) = actions
        assert isinstance(refuse, ev.Refuse)
        assert f"restart: {restart}" in str(refuse.text)


def test_a_clean_exit_after_a_fault_is_a_failure() -> None:
    it = running(restart=ev.Restart.ON_FAILURE)
    it.handle(gone(reason="unasked"), 1.0)
    it.handle(exited(status="exit code 0", clean=True), 1.0)
    assert it.slots[0].state is SlotState.BACKOFF


# --- the crash loop ---


def test_a_crash_loop_opens_the_breaker_and_is_reported() -> None:
    it = running()
    actions = crash(it, 3)
    refusals = [action for action in actions if isinstance(action, ev.Refuse)]
    assert len(refusals) == 1
    assert "exit code 3; its log: /logs/echo.log" in str(refusals[0].text)
    assert [report.event for report in reports(actions)] == ["worker_ended", "breaker_open"]


def test_the_trial_lifts_the_refusal_and_its_failure_brings_it_back() -> None:
    it = running()
    crash(it, 3)
    actions = without_reports(it.handle(ev.BreakerTimer(), 4.0))
    assert actions == [ev.SetTimer("breaker", 5.0), ev.Spawn(0), ev.Refuse(None)]
    it.handle(ev.Spawned(0, 7), 4.0)
    actions = without_reports(end(it, 4.1))
    assert actions[0] == ev.SetTimer("breaker", 8.0)
    assert isinstance(actions[1], ev.Refuse)


def test_a_command_that_cannot_be_executed_is_not_tried_for_every_worker() -> None:
    it = pool(3)
    it.handle(ev.Start(), 0.0)
    actions = without_reports(it.handle(ev.SpawnFailed(0, "ENOENT", hopeless=True), 0.0))
    assert actions[:3] == [ev.SetTimer("breaker", 4.0), ev.CancelSpawn(1), ev.CancelSpawn(2)]
    assert {slot.state for slot in it.slots.values()} == {SlotState.HELD}
    actions = without_reports(it.handle(ev.BreakerTimer(), 4.0))
    assert actions == [ev.SetTimer("breaker", 5.0), ev.Spawn(0), ev.Refuse(None)]


def test_a_trial_that_lives_closes_the_breaker_and_starts_the_others() -> None:
    it = running(2)
    crash(it, 3)
    end(it, 0.0, slot=1)
    assert [slot.state for slot in it.slots.values()] == [SlotState.HELD, SlotState.HELD]
    it.handle(ev.BreakerTimer(), 4.0)
    it.handle(ev.Spawned(0, 7), 4.0)
    actions = without_reports(it.handle(ev.BreakerTimer(), 9.0))
    assert actions == [ev.CancelTimer("breaker"), ev.Spawn(1)]


def test_a_pool_with_one_good_worker_is_not_refused() -> None:
    it = running(2)
    actions = crash(it, 3)
    assert it.breaker.state is BreakerState.OPEN
    assert not [action for action in actions if isinstance(action, ev.Refuse)]


def test_the_good_worker_of_an_open_pool_is_started_again() -> None:
    it = running(2)
    crash(it, 3)
    actions = without_reports(end(it, 1.0, slot=1, answered=9))
    assert actions == [ev.CancelTimer("breaker"), ev.Spawn(0), ev.SetTimer(1, 0.1)]


def test_opening_holds_the_slots_that_wait() -> None:
    it = running(3)
    for slot in range(2):
        end(it, 0.0, slot=slot)
    actions = without_reports(end(it, 0.0, slot=2))
    assert actions[:3] == [ev.SetTimer("breaker", 4.0), ev.CancelTimer(0), ev.CancelTimer(1)]
    assert {slot.state for slot in it.slots.values()} == {SlotState.HELD}


def test_timeouts_of_a_worker_that_has_answered_do_not_count() -> None:
    it = running()
    for now in range(10):
        it.handle(gone(reason="timeout", unanswered=1, answered=1), now)
        it.handle(exited(), now)
        it.handle(ev.SlotTimer(0), now)
        it.handle(ev.Spawned(0, 1), now)
    assert it.breaker.state is BreakerState.CLOSED


def test_a_function_that_never_answers_counts_however_long_it_takes() -> None:
    it = running()
    for now in (10.0, 20.0, 30.0):
        it.handle(gone(reason="timeout", unanswered=1), now)
        it.handle(exited(), now)
        if it.slots[0].state is SlotState.BACKOFF:
            it.handle(ev.SlotTimer(0), now)
            it.handle(ev.Spawned(0, 1), now)
    assert it.breaker.state is BreakerState.OPEN


def test_an_idle_worker_that_is_killed_from_outside_does_not_count() -> None:
    it = running()
    for now in (10.0, 20.0, 30.0, 40.0):
        end(it, now)
        it.handle(ev.SlotTimer(0), now)
        it.handle(ev.Spawned(0, 1), now)
    assert it.breaker.state is BreakerState.CLOSED
