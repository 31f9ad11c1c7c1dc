"""The supervision of a pool whose workers say when they are ready."""

from __future__ import annotations

import dataclasses

import pytest

from drop.workers import events as ev
from drop.workers.breaker import BreakerLimits, BreakerState
from drop.workers.slot import SlotState
from drop.workers.supervision import Supervision
from supervised import POLICY, end, exited, gone, pool, reports, running, without_reports

START_TEXT = (
    "did not say it was ready within 30 s; expected a line that begins with 'READY' on stdout"
)


def readying(**policy: object) -> Supervision:
    it = pool(ready="READY", **policy)
    it.handle(ev.Start(), 0.0)
    assert it.handle(ev.Spawned(0, 7), 0.0) == [ev.SetTimer(0, it.policy.start_seconds)]
    assert it.slots[0].state is SlotState.READYING
    return it


def test_a_worker_serves_when_it_has_said_so() -> None:
    it = readying()
    assert it.handle(ev.Ready(0), 3.0) == [ev.CancelTimer(0)]
    assert it.slots[0].state is SlotState.RUNNING
    assert it.slots[0].serving_since == 3.0


def test_a_worker_without_a_ready_line_serves_at_once() -> None:
    assert running().slots[0].state is SlotState.RUNNING


def test_one_that_never_says_so_is_killed_and_named() -> None:
    it = readying()
    assert it.handle(ev.SlotTimer(0), 30.0) == [
        ev.CancelTimer(0),
        ev.RemoveWorker(0, drain=False),
        ev.Signal(0, kill=True),
    ]
    it.handle(gone(reason="removed"), 30.0)
    actions = it.handle(exited(status="killed by SIGKILL"), 30.0)
    assert it.last_error == f"./echo -x: {START_TEXT} (killed by SIGKILL)"
    assert without_reports(actions) == [ev.SetTimer(0, 0.1)]
    assert it.slots[0].fruitless == 1


def test_another_first_line_is_a_fault_that_names_the_expected_one() -> None:
    it = readying()
    it.handle(gone(reason="garbled"), 1.0)
    it.handle(exited(status="killed by SIGKILL"), 1.0)
    assert "its first line on stdout does not begin with 'READY' (killed" in it.last_error


def test_a_garbled_line_later_on_is_not_about_readiness() -> None:
    it = running(ready="READY")
    it.handle(gone(reason="garbled", answered=1), 1.0)
    it.handle(exited(status="killed by SIGKILL"), 1.0)
    assert "wrote what its kind does not allow" in it.last_error


def test_one_that_ends_before_it_was_ready_says_so() -> None:
    it = readying()
    end(it, 1.0)
    assert it.last_error == "./echo -x: exit code 3, before it was ready"


def test_however_long_the_start_takes_it_proves_nothing() -> None:
    it = readying()
    for _ in range(3):
        end(it, 20.0)
        if it.slots[0].state is SlotState.BACKOFF:
            it.handle(ev.SlotTimer(0), 20.0)
            it.handle(ev.Spawned(0, 7), 20.0)
    assert it.breaker.state is BreakerState.OPEN


def test_the_breaker_looks_back_far_enough_for_slow_starts() -> None:
    it = readying(breaker=BreakerLimits(fruitless_max=5))
    now = 0.0
    while it.breaker.state is BreakerState.CLOSED:
        now += 30.0
        assert now <= 150.0
        it.handle(ev.SlotTimer(0), now)
        it.handle(exited(status="killed by SIGKILL"), now)
        if it.slots[0].state is SlotState.BACKOFF:
            it.handle(ev.SlotTimer(0), now)
            it.handle(ev.Spawned(0, 7), now)
    assert now == 150.0
    assert START_TEXT in str(it.refusal)


def test_a_trial_has_its_start_and_then_its_proof() -> None:
    it = readying()
    it.handle(exited(), 0.0)
    it.handle(gone(), 0.0)
    it.handle(ev.SlotTimer(0), 0.0)
    it.handle(ev.SpawnFailed(0, "ENOENT", hopeless=True), 0.0)
    actions = it.handle(ev.BreakerTimer(), 4.0)
    assert ev.SetTimer("breaker", POLICY.breaker.proven_seconds + 30.0) in actions
    it.handle(ev.Spawned(0, 7), 4.0)
    actions = it.handle(ev.Ready(0), 6.0)
    assert actions == [ev.CancelTimer(0), ev.SetTimer("breaker", POLICY.breaker.proven_seconds)]
    it.handle(ev.BreakerTimer(), 11.0)
    assert it.breaker.state is BreakerState.CLOSED


def test_a_pool_that_stops_does_not_wait_for_one_that_starts() -> None:
    it = readying()
    it.handle(ev.Stop(10.0), 0.0)
    actions = it.handle(ev.PoolDrained(), 0.0)
    assert actions[2:] == [
        ev.CancelTimer(0),
        ev.RemoveWorker(0, drain=True),
        ev.SetTimer(0, 10.0),
    ]


@pytest.mark.parametrize("late", [ev.Ready(0), ev.HealthAnswer(0, "ok")])
def test_news_that_come_late_change_nothing(late: ev.Input) -> None:
    it = readying()
    it.handle(ev.Kill(), 0.0)
    assert it.handle(late, 0.0) == []
    it.handle(exited(), 0.0)
    assert it.handle(late, 0.0) == []


def test_an_update_that_takes_the_ready_line_away() -> None:
    it = readying()
    policy = dataclasses.replace(it.policy, ready=None)
    actions = it.handle(ev.Update(policy, replace=True), 1.0)
    assert ev.RemoveWorker(0, drain=True) in actions  # it serves nobody: replaced at once
    assert [report.event for report in reports(actions)] == ["rollout_begun"]
