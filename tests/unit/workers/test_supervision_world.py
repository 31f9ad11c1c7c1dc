"""The supervision of a pool in a world that goes wrong from a seed."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest

from drop.testing.clock import FakeClock, FakeTimer
from drop.workers import events as ev
from drop.workers.slot import LIVE, SlotState
from drop.workers.supervision import Supervision
from supervised import POLICY, exited


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
