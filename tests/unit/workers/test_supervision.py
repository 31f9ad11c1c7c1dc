"""The supervision of a pool, driven by hand and then by a world that goes wrong from a seed."""

from __future__ import annotations

import dataclasses
import itertools
import random
from dataclasses import replace

import pytest

from drop.testing.clock import FakeClock, FakeTimer
from drop.workers import events as ev
from drop.workers.breaker import BreakerLimits, BreakerState
from drop.workers.pool_state import TABLE, PoolEvent, PoolState
from drop.workers.slot import LIVE, SlotState
from drop.workers.supervision import FAULTS, Supervision

POLICY = ev.Policy(
    pool="echo",
    command="./echo -x",
    log="/logs/echo.log",
    breaker=BreakerLimits(fruitless_max=3, open_seconds=4.0, proven_seconds=5.0),
)


def pool(workers: int = 1, restart: ev.Restart = ev.Restart.ALWAYS) -> Supervision:
    return Supervision(replace(POLICY, workers=workers, restart=restart), lambda: 1.0)


def running(workers: int = 1, restart: ev.Restart = ev.Restart.ALWAYS) -> Supervision:
    it = pool(workers, restart)
    it.handle(ev.Start(), 0.0)
    for slot in range(workers):
        it.handle(ev.Spawned(slot, pid=100 + slot), 0.0)
    return it


def without_reports(actions: list[ev.Action]) -> list[ev.Action]:
    return [action for action in actions if not isinstance(action, ev.Report)]


def reports(actions: list[ev.Action]) -> list[ev.Report]:
    return [action for action in actions if isinstance(action, ev.Report)]


def gone(slot: int = 0, reason: str = "eof", unanswered: int = 0, answered: int = 0) -> ev.Gone:
    return ev.Gone(slot, reason, unanswered, answered)


def exited(slot: int = 0, status: str = "exit code 3", *, clean: bool = False) -> ev.Exited:
    return ev.Exited(slot, status, clean)


def end(it: Supervision, now: float, slot: int = 0, answered: int = 0) -> list[ev.Action]:
    """The worker ends by itself: first the process, then what the reactor read from it."""
    assert without_reports(it.handle(exited(slot), now)) == [ev.TellExited(slot)]
    return it.handle(gone(slot, answered=answered), now)


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


@pytest.mark.parametrize("reason", ["timeout", "unasked", "too_large", "garbled"])
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


def crash(it: Supervision, times: int, now: float = 0.0) -> list[ev.Action]:
    actions: list[ev.Action] = []
    for _ in range(times):
        if it.slots[0].state is SlotState.BACKOFF:
            it.handle(ev.SlotTimer(0), now)
            it.handle(ev.Spawned(0, 1), now)
        actions = end(it, now)
    return actions


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
    assert update(it, 2, replace=True) == [ev.RemoveWorker(0, drain=True), ev.SetTimer(0, 10.0)]
    it.handle(ev.Drained(0), 0.0)
    actions = it.handle(exited(0), 0.0)
    assert without_reports(actions) == [ev.CancelTimer(0), ev.Spawn(0)]
    (report,) = reports(actions)
    assert (report.level, report.text.split(":")[0]) == ("info", "./echo -x")
    assert it.handle(ev.Spawned(0, 9), 0.0) == [
        ev.RemoveWorker(1, drain=True),
        ev.SetTimer(1, 10.0),
    ]
    it.handle(ev.Drained(1), 0.0)
    it.handle(exited(1), 0.0)
    assert it.handle(ev.Spawned(1, 10), 0.0) == []
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


# --- a world that goes wrong ---


class World:
    """Carries actions out as a kernel and a reactor might, at random moments and in any order."""

    def __init__(self, seed: int, workers: int) -> None:
        self.clock = FakeClock(seed)
        self.dice = random.Random(seed)
        self.it = Supervision(replace(POLICY, workers=workers), self.clock.random)
        self.timers: dict[ev.TimerKey, FakeTimer] = {}
        self.processes: set[int] = set()  # slots with a living process
        self.pipes: dict[int, int] = {}  # slots whose pipes the reactor has: the worker's id
        self.ids = itertools.count()
        self.queued: set[int] = set()
        self.refusal: str | None = None
        self.stopped = False

    def tell(self, event: ev.Input) -> None:
        for action in self.it.handle(event, self.clock.now()):
            self.carry_out(action)
        self.check()

    def check(self) -> None:
        living = {slot.number for slot in self.it.slots.values() if slot.state in LIVE}
        assert living == self.processes
        starting = {
            slot.number for slot in self.it.slots.values() if slot.state is SlotState.STARTING
        }
        assert starting == self.queued
        if self.refusal:
            assert not self.processes

    def soon(self, what: object, *args: object) -> None:
        assert callable(what)
        self.clock.call_later(self.dice.expovariate(2.0), lambda: what(*args))

    def carry_out(self, action: ev.Action) -> None:
        assert not self.stopped
        match action:
            case ev.Spawn(slot):
                assert slot not in self.queued | self.processes
                self.queued.add(slot)
                self.soon(self.spawn, slot)
            case ev.CancelSpawn(slot):
                self.queued.remove(slot)
            case ev.RemoveWorker(slot, drain):
                assert slot in self.pipes
                self.soon(self.lose, slot, self.pipes[slot], "" if drain else "removed")
            case ev.TellExited(slot):
                self.soon(self.lose, slot, self.pipes.get(slot), "eof")
            case ev.Signal(slot, kill):
                assert slot in self.processes
                if kill or self.dice.random() < 0.5:
                    self.soon(self.die, slot)
            case ev.SetTimer(key, seconds):
                self.carry_out(ev.CancelTimer(key))
                event = self.timer_event(key)
                self.timers[key] = self.clock.call_later(seconds, lambda: self.tell(event))
            case ev.CancelTimer(key):
                if timer := self.timers.pop(key, None):
                    timer.cancel()
            case ev.DrainPool():
                self.soon(self.tell, ev.PoolDrained())
            case ev.Refuse(text):
                assert text != self.refusal
                self.refusal = text
            case ev.PoolStopped():
                assert not self.processes
                self.stopped = True

    def timer_event(self, key: ev.TimerKey) -> ev.Input:
        if isinstance(key, int):
            return ev.SlotTimer(key)
        return ev.PoolTimer() if key == "pool" else ev.BreakerTimer()

    def spawn(self, slot: int) -> None:
        if slot not in self.queued:
            return
        self.queued.remove(slot)
        if self.dice.random() < 0.2:
            self.tell(ev.SpawnFailed(slot, "EAGAIN", hopeless=self.dice.random() < 0.3))
            return
        self.processes.add(slot)
        worker = self.pipes[slot] = next(self.ids)
        self.soon(self.die, slot)
        if self.dice.random() < 0.5:
            reason = self.dice.choice(["eof", "write", "timeout", "garbled"])
            self.soon(self.lose, slot, worker, reason)
        self.tell(ev.Spawned(slot, pid=1 + slot))

    def die(self, slot: int) -> None:
        if slot in self.processes:
            self.processes.remove(slot)
            self.tell(exited(slot, clean=self.dice.random() < 0.5))

    def lose(self, slot: int, worker: int, reason: str) -> None:
        """The reactor is done with a worker; no reason: it was drained."""
        if self.pipes.get(slot) != worker:
            return
        del self.pipes[slot]
        if reason:
            answered, unanswered = self.dice.randrange(2), self.dice.randrange(2)
            self.tell(ev.Gone(slot, reason, unanswered, answered))
        else:
            self.tell(ev.Drained(slot))


@pytest.mark.parametrize("seed", range(200))
def test_whatever_happens_a_pool_lives_until_stopped_and_then_stops(seed: int) -> None:
    world = World(seed, workers=1 + seed % 4)
    world.tell(ev.Start())
    for _ in range(4):
        world.clock.advance(world.dice.uniform(0.0, 20.0))
        policy = replace(world.it.policy, workers=world.dice.randrange(1, 5))
        world.tell(ev.Update(policy, replace=world.dice.random() < 0.5))
    assert not world.stopped
    assert world.queued or world.processes or world.pipes or world.timers  # never stuck
    world.tell(ev.Stop(10.0) if world.dice.random() < 0.8 else ev.Kill())
    world.clock.advance(120.0)
    assert world.stopped
    assert not world.timers
