"""Who is replaced next: the rule, and what the supervision of a pool makes of it."""

from __future__ import annotations

import dataclasses

import pytest

from drop.workers import events as ev
from drop.workers.breaker import BreakerState
from drop.workers.rollout import Next, RollOut, Step
from drop.workers.slot import SlotState
from drop.workers.slots import Slot
from drop.workers.supervision import Supervision
from supervised import end, exited, gone, leave, reports, running, up, without_reports

R, B, D = SlotState.RUNNING, SlotState.BACKOFF, SlotState.READYING


def slots(*marks: str) -> list[Slot]:
    """`R`unning, `B`ackoff, rea`D`ying; `o`ld or `n`ew; `s`: the stand-in; `-`: not wanted."""
    made = []
    for number, mark in enumerate(marks):
        slot = Slot(number, "s" in mark, {"R": R, "B": B, "D": D}[mark[0]], wanted="-" not in mark)
        slot.stale = "o" in mark
        made.append(slot)
    return made


@pytest.mark.parametrize(
    ("marks", "surge", "proven", "step", "number"),
    [
        ("Ro Ro", False, False, Step.REPLACE, 0),
        ("Ro Ro", True, False, Step.STAND_IN, None),
        ("Rn Ro", False, False, Step.PROVE, None),
        ("Rn Ro", False, True, Step.REPLACE, 1),
        ("Ro Rn", False, True, Step.REPLACE, 0),
        ("Ro Ro Rns", True, False, Step.PROVE, None),
        ("Ro Ro Rns", True, True, Step.REPLACE, 0),
        ("Ro Ro Ros", True, True, Step.REPLACE, 2),  # an update has made the stand-in old
        ("Ro Dns", True, False, Step.WAIT, None),
        ("Ro Bns", True, False, Step.WAIT, None),
        ("Bn Ro", False, True, Step.WAIT, None),
        ("Bo Ro", False, True, Step.WAIT, None),
        ("Do Ro", False, False, Step.REPLACE, 0),  # serves nobody: nothing is lost
        ("Do Bn", True, False, Step.REPLACE, 0),
        ("Rn Rn Rns", True, True, Step.DISMISS, 2),
        ("Rn Rn Bns", True, True, Step.WAIT, None),
        ("Rn Rn", True, True, Step.DONE, None),
        ("Rn Rn", False, False, Step.PROVE, None),  # done is said when it was seen to work
        ("Rn R-o", False, True, Step.DONE, None),
    ],
)
def test_the_next_step(
    marks: str, surge: bool, proven: bool, step: Step, number: int | None
) -> None:
    given = slots(*marks.split())
    roll_out = RollOut(proven=proven)
    slot = None if number is None else given[number]
    assert roll_out.next(given, may_take=True, surge=surge) == Next(step, slot)


def test_an_open_breaker_takes_nobody_who_serves() -> None:
    assert RollOut(proven=True).next(slots("Ro", "Rn"), may_take=False, surge=False).step == "wait"
    roll_out = RollOut().next(slots("Do", "Bn"), may_take=False, surge=False)
    assert roll_out.step is Step.REPLACE


def test_a_proof_is_a_new_worker_that_has_served_for_a_while() -> None:
    old, new = slots("Ro", "Rn")
    old.serving_since, new.serving_since = 0.0, 5.0
    roll_out = RollOut()
    assert not roll_out.prove([old, new], since=4.9)
    assert roll_out.prove([old, new], since=5.0)
    assert not roll_out.prove([old], since=9.0)


# --- in a pool ---


def begin(it: Supervision, now: float = 10.0, **changes: object) -> list[ev.Action]:
    policy = dataclasses.replace(it.policy, command="./new", **changes)  # type: ignore[arg-type]
    return it.handle(ev.Update(policy, replace=True), now)


def test_with_a_stand_in_no_old_worker_is_taken_before_a_new_one_is_ready() -> None:
    it = running(2, ready="READY", surge=True)
    assert without_reports(begin(it)) == [ev.Spawn(2)]
    it.handle(ev.Spawned(2, 9), 10.0)
    assert [it.slots[number].state for number in (0, 1)] == [R, R]
    assert it.handle(ev.Ready(2), 12.0)[1:] == [
        ev.RemoveWorker(0, drain=True),
        ev.SetTimer(0, 10.0),
    ]
    assert without_reports(leave(it, 0, 12.0)) == [ev.CancelTimer(0), ev.Spawn(0)]
    it.handle(ev.Spawned(0, 10), 12.0)
    assert it.slots[1].state is R  # the next one waits for this one to be ready
    assert ev.RemoveWorker(1, drain=True) in it.handle(ev.Ready(0), 13.0)
    leave(it, 1, 13.0)
    actions = up(it, 1, 14.0)
    assert ev.RemoveWorker(2, drain=True) in actions  # the stand-in has done its part
    assert ev.RolledOut(2) in actions
    leave(it, 2, 14.0)
    assert [slot.command for slot in it.slots.values()] == ["./new", "./new"]


def test_a_version_that_never_gets_ready_costs_nothing() -> None:
    it = running(2, ready="READY", surge=True)
    begin(it)
    it.handle(ev.Spawned(2, 9), 10.0)
    it.handle(ev.SlotTimer(2), 40.0)
    actions = it.handle(exited(2, "killed by SIGKILL"), 40.0)
    (told,) = [action for action in actions if isinstance(action, ev.RolledOut)]
    assert told.replaced == 0
    assert "did not say it was ready within 30 s" in str(told.error)
    assert "2 workers of before go on, it is tried again" in str(told.error)
    assert [report.event for report in reports(actions)] == ["worker_ended", "rollout_paused"]
    assert ev.SetTimer(2, 0.1) in actions
    assert [it.slots[number].state for number in (0, 1)] == [R, R]
    assert it.refusal is None


def test_a_pause_is_told_once_and_ends_when_a_worker_gets_ready() -> None:
    it = running(1, ready="READY", surge=True)
    begin(it)
    for now in (10.0, 11.0):
        it.handle(ev.Spawned(1, 9), now)
        it.handle(exited(1), now)
        actions = it.handle(gone(1), now)
        paused = any(isinstance(action, ev.RolledOut) for action in actions)
        assert paused == (now == 10.0)
        it.handle(ev.SlotTimer(1), now)
    assert ev.RemoveWorker(0, drain=True) in up(it, 1, 12.0)


def test_a_stand_in_that_keeps_failing_waits_for_the_breaker_and_old_workers_serve_on() -> None:
    it = running(1, ready="READY", surge=True)
    begin(it)
    for _ in range(3):
        it.handle(ev.Spawned(1, 9), 10.0)
        end(it, 10.0, slot=1)
        if it.slots[1].state is B:
            it.handle(ev.SlotTimer(1), 10.0)
    assert it.breaker.state is BreakerState.OPEN
    assert it.slots[0].state is R
    assert it.refusal is None
    assert ev.Spawn(1) in it.handle(ev.BreakerTimer(), 14.0)
    assert up(it, 1, 14.0)[1] == ev.SetTimer("breaker", 5.0)
    assert ev.RemoveWorker(0, drain=True) in it.handle(ev.BreakerTimer(), 19.0)


def test_an_update_that_mends_the_version_replaces_the_stand_in_at_once() -> None:
    it = running(2, ready="READY", surge=True)
    begin(it)
    it.handle(ev.Spawned(2, 9), 10.0)
    actions = without_reports(begin(it, 11.0))
    assert actions == [ev.CancelTimer(2), ev.RemoveWorker(2, drain=True), ev.SetTimer(2, 10.0)]
    assert without_reports(leave(it, 2, 11.0)) == [ev.CancelTimer(2), ev.Spawn(2)]


def test_a_stand_in_becomes_a_worker_when_more_are_wanted() -> None:
    it = running(1, ready="READY", surge=True)
    begin(it)
    up(it, 1, 10.0)
    begin(it, 11.0, workers=2)
    assert not it.slots[1].stand_in
    assert sorted(it.slots) == [0, 1]


def test_there_is_one_stand_in_at_a_time_whatever_is_updated() -> None:
    it = running(2, ready="READY", surge=True)
    begin(it)
    up(it, 2, 10.0)
    assert it.slots[0].renew
    actions = begin(it, 11.0, workers=1)  # its number is another one now: it goes first
    assert ev.RemoveWorker(2, drain=True) in actions
    assert ev.Spawn(1) not in actions  # the old place 1 is being left
    leave(it, 0, 11.0)
    up(it, 0, 11.0)
    assert ev.RolledOut(1) not in leave(it, 2, 11.0)
    leave(it, 1, 11.0)
    assert sorted(it.slots) == [0]
    assert it.roll_out is None


def test_without_a_ready_line_the_first_new_worker_has_to_live_a_while() -> None:
    it = running(3)
    begin(it)
    leave(it, 0, 10.0)
    it.handle(ev.Spawned(0, 9), 10.0)
    actions = end(it, 10.2)  # one that starts and fails: two old ones are left
    assert "2 workers of before go on" in [r.text for r in reports(actions)][-1]
    it.handle(ev.RollOutTimer(), 10.5)
    it.handle(ev.SlotTimer(0), 10.6)
    it.handle(ev.Spawned(0, 9), 10.6)
    assert [it.slots[number].state for number in (1, 2)] == [R, R]
    assert ev.RemoveWorker(1, drain=True) in it.handle(ev.RollOutTimer(), 11.1)
    leave(it, 1, 11.1)
    assert ev.RemoveWorker(2, drain=True) in up(it, 1, 11.1)  # proven once: no more waits


def test_an_old_worker_that_ends_by_itself_is_part_of_the_roll_out() -> None:
    it = running(2)
    begin(it)
    end(it, 10.0, slot=1)
    leave(it, 0, 10.0)
    up(it, 0, 10.0)
    it.handle(ev.SlotTimer(1), 10.1)
    up(it, 1, 10.1)
    assert ev.RolledOut(1) in it.handle(ev.RollOutTimer(), 10.6)


def test_a_stop_ends_a_roll_out() -> None:
    it = running(2)
    begin(it)
    actions = it.handle(ev.Stop(1.0), 10.0)
    assert ev.RolledOut(0, "the pool is being stopped") in actions


# --- told to start anew ---


def test_one_worker_is_started_anew_the_others_are_not() -> None:
    it = running(3)
    actions = without_reports(it.handle(ev.Renew(frozenset({1})), 10.0))
    assert actions == [ev.RemoveWorker(1, drain=True), ev.SetTimer(1, 10.0)]
    leave(it, 1, 10.0)
    assert ev.RolledOut(1) in up(it, 1, 10.0)  # the others have proven the command long ago


def test_who_waits_for_its_next_start_is_started_at_once() -> None:
    it = running(2)
    end(it, 10.0)
    assert without_reports(it.handle(ev.Renew(frozenset({0})), 10.0)) == [
        ev.CancelTimer(0),
        ev.Spawn(0),
    ]


def test_the_breaker_is_reset_and_what_had_ended_for_good_comes_back() -> None:
    it = running(1, ev.Restart.NEVER)
    end(it, 1.0)
    assert without_reports(it.handle(ev.Renew(), 2.0)) == [ev.Spawn(0), ev.Refuse(None)]
    it = running()
    it.handle(gone(reason="eof"), 0.0)
    it.handle(exited(), 0.0)
    it.handle(ev.SlotTimer(0), 0.0)
    it.handle(ev.SpawnFailed(0, "ENOENT", hopeless=True), 0.0)
    assert it.slots[0].state is SlotState.HELD
    assert without_reports(it.handle(ev.Renew(), 2.0)) == [
        ev.CancelTimer("breaker"),
        ev.Spawn(0),
        ev.Refuse(None),
    ]


def test_a_pool_that_is_not_up_starts_nothing_anew() -> None:
    it = running()
    it.handle(ev.Stop(10.0), 0.0)
    assert it.handle(ev.Renew(), 1.0) == []
