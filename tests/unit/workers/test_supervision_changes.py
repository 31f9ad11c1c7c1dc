"""The supervision of a pool, driven by hand: stopping it, and changing it while it runs."""

from __future__ import annotations

import dataclasses

from drop.workers import events as ev
from drop.workers.pool_state import PoolState
from drop.workers.slot import SlotState
from drop.workers.supervision import Supervision
from supervised import crash, end, exited, gone, pool, reports, running, without_reports

# --- stopping ---


def test_a_stop_goes_from_mild_to_hard() -> None:
    it = running()
    assert it.handle(ev.Stop(10.0), 0.0) == [ev.DrainPool(), ev.SetTimer("pool", 10.0)]
    assert it.handle(ev.PoolDrained(), 1.0) == [
        ev.CancelTimer("pool"),
        ev.CancelTimer("breaker"),
        ev.RemoveWorker(0, drain=True),
        ev.SetTimer(0, 10.0),
    ]
    assert it.handle(ev.Drained(0), 1.0) == [ev.CancelTimer(0), ev.SetTimer(0, 2.0)]
    assert it.handle(ev.SlotTimer(0), 3.0) == [
        ev.CancelTimer(0),
        ev.Signal(0, kill=False),
        ev.SetTimer(0, 2.0),
    ]
    assert it.handle(ev.SlotTimer(0), 5.0) == [ev.CancelTimer(0), ev.Signal(0, kill=True)]
    assert without_reports(it.handle(exited(), 5.0)) == [ev.PoolStopped()]


def test_the_grace_ends() -> None:
    it = running()
    it.handle(ev.Stop(10.0), 0.0)
    assert it.handle(ev.PoolTimer(), 10.0)[2:] == [
        ev.RemoveWorker(0, drain=False),
        ev.Signal(0, kill=False),
        ev.SetTimer(0, 2.0),
    ]


def test_a_kill_does_not_wait() -> None:
    it = running(2)
    actions = it.handle(ev.Kill(), 0.0)
    assert [action for action in actions if isinstance(action, ev.Signal)] == [
        ev.Signal(0, kill=True),
        ev.Signal(1, kill=True),
    ]


def test_a_kill_while_it_drains_does_not_wait_either() -> None:
    it = running()
    it.handle(ev.Stop(10.0), 0.0)
    assert ev.Signal(0, kill=True) in it.handle(ev.Kill(), 0.0)


def test_a_worker_that_dies_while_the_pool_drains_is_replaced() -> None:
    """Messages that were accepted still wait in the mailbox."""
    it = running()
    it.handle(ev.Stop(10.0), 0.0)
    assert without_reports(end(it, 0.1, answered=1)) == [ev.SetTimer(0, 0.1)]


def test_a_stopped_pool_never_spawns_what_was_queued() -> None:
    it = pool()
    it.handle(ev.Start(), 0.0)
    it.handle(ev.Stop(10.0), 0.0)
    actions = it.handle(ev.PoolDrained(), 0.0)
    assert actions[2:] == [ev.CancelSpawn(0), ev.PoolStopped()]


def test_what_the_reactor_says_late_changes_nothing() -> None:
    it = running()
    it.handle(ev.Kill(), 0.0)
    assert it.handle(gone(reason="removed"), 0.0) == []
    it.handle(exited(), 0.0)
    assert it.state is PoolState.STOPPED
    for event in (gone(), ev.Drained(0), ev.PoolDrained(), ev.Stop(10.0), ev.Kill()):
        assert it.handle(event, 0.0) == []


# --- updates ---


def update(it: Supervision, workers: int, *, replace: bool = False) -> list[ev.Action]:
    policy = dataclasses.replace(it.policy, workers=workers, command="./new")
    return it.handle(ev.Update(policy, replace), 0.0)


def test_more_workers() -> None:
    assert update(running(1), 3) == [ev.Spawn(1), ev.Spawn(2)]


def test_fewer_workers() -> None:
    it = running(3)
    assert update(it, 1) == [
        ev.RemoveWorker(1, drain=True),
        ev.SetTimer(1, 10.0),
        ev.RemoveWorker(2, drain=True),
        ev.SetTimer(2, 10.0),
    ]
    for slot in (1, 2):
        it.handle(ev.Drained(slot), 0.0)
        it.handle(exited(slot, clean=True), 0.0)
    assert list(it.slots) == [0]


def test_a_worker_that_is_wanted_again_while_it_stops_comes_back() -> None:
    it = running(2)
    update(it, 1)
    update(it, 2)
    it.handle(ev.Drained(1), 0.0)
    assert without_reports(it.handle(exited(1), 0.0)) == [ev.CancelTimer(1), ev.Spawn(1)]


def test_stale_workers_are_replaced_in_turn_and_are_no_failures() -> None:
    it = running(2)
    assert without_reports(update(it, 2, replace=True)) == [
        ev.RemoveWorker(0, drain=True),
        ev.SetTimer(0, 10.0),
    ]
    it.handle(ev.Drained(0), 0.0)
    actions = it.handle(exited(0), 0.0)
    assert without_reports(actions) == [ev.CancelTimer(0), ev.Spawn(0)]
    (report,) = reports(actions)
    assert (report.level, report.text.split(":")[0]) == ("info", "./echo -x")
    assert it.handle(ev.Spawned(0, 9), 0.0) == [ev.SetTimer("rollout", 0.5)]
    assert it.handle(ev.RollOutTimer(), 0.5) == [
        ev.RemoveWorker(1, drain=True),
        ev.SetTimer(1, 10.0),
    ]
    it.handle(ev.Drained(1), 0.5)
    it.handle(exited(1), 0.5)
    assert without_reports(it.handle(ev.Spawned(1, 10), 0.5)) == [ev.RolledOut(2)]
    assert [slot.restarts for slot in it.slots.values()] == [0, 0]


def test_a_new_command_that_fails_leaves_the_old_workers_alone() -> None:
    it = running(2)
    update(it, 2, replace=True)
    it.handle(ev.Drained(0), 0.0)
    it.handle(exited(0), 0.0)
    it.handle(ev.SpawnFailed(0, "ENOENT", hopeless=True), 0.0)
    assert it.slots[1].state is SlotState.RUNNING
    assert it.refusal is None


def test_a_new_command_is_tried_at_once_where_the_old_one_was_given_up() -> None:
    it = running()
    crash(it, 3)
    actions = without_reports(update(it, 1, replace=True))
    assert actions == [ev.CancelTimer("breaker"), ev.Spawn(0), ev.Refuse(None)]


def test_an_update_starts_what_had_ended_for_good() -> None:
    it = running(restart=ev.Restart.NEVER)
    end(it, 0.0)
    assert update(it, 1) == [ev.Spawn(0), ev.Refuse(None)]


def test_an_update_of_a_pool_that_stops_changes_nothing() -> None:
    it = running()
    it.handle(ev.Stop(10.0), 0.0)
    assert update(it, 5, replace=True) == []
