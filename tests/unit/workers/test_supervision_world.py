"""The supervision of a pool in a world that goes wrong from a seed."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest

from drop.testing.clock import FakeClock, FakeTimer
from drop.workers import events as ev
from drop.workers.health import Health
from drop.workers.slot import LIVE, SlotState
from drop.workers.supervision import Supervision
from supervised import POLICY, exited


class World:
    """Carries actions out as a kernel and a reactor might, at random moments and in any order."""

    def __init__(self, seed: int, policy: ev.Policy) -> None:
        self.clock = FakeClock(seed)
        self.dice = random.Random(seed)
        self.it = Supervision(policy, self.clock.random)
        self.asked = 0
        self.calm = False
        """What is started from here on works; what was before goes on ending."""
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
            case ev.Probe(slot):
                assert slot in self.processes
                self.asked += 1
                outcomes = ["ok", "busy"] if self.calm else ["ok", "wrong", "timeout", "none"]
                outcome = self.dice.choice(outcomes)
                self.soon(self.answer, slot, self.pipes.get(slot), outcome)
            case ev.SetTimer(key, seconds):
                self.carry_out(ev.CancelTimer(key))
                self.timers[key] = self.clock.call_later(seconds, lambda: self.fire(key))
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

    def fire(self, key: ev.TimerKey) -> None:
        del self.timers[key]
        self.tell(ev.timer_event(key))

    def answer(self, slot: int, worker: int | None, outcome: str) -> None:
        """To a health check; of a worker whose end was told, nothing more is told."""
        if worker is None or self.pipes.get(slot) != worker or outcome == "none":
            return
        if outcome == "timeout":
            self.lose(slot, worker, outcome)
        else:
            self.tell(ev.HealthAnswer(slot, outcome))

    def say_ready(self, slot: int, worker: int) -> None:
        if self.pipes.get(slot) == worker:
            self.tell(ev.Ready(slot))

    def spawn(self, slot: int) -> None:
        if slot not in self.queued:
            return
        self.queued.remove(slot)
        if not self.calm and self.dice.random() < 0.2:
            self.tell(ev.SpawnFailed(slot, "EAGAIN", hopeless=self.dice.random() < 0.3))
            return
        self.processes.add(slot)
        worker = self.pipes[slot] = next(self.ids)
        if not self.calm:
            self.soon(self.die, slot)
        if not self.calm and self.dice.random() < 0.5:
            reason = self.dice.choice(["eof", "write", "timeout", "garbled"])
            self.soon(self.lose, slot, worker, reason)
        if self.it.policy.ready and (self.calm or self.dice.random() < 0.8):
            self.soon(self.say_ready, slot, worker)
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


def policy(dice: random.Random, before: ev.Policy) -> ev.Policy:
    """Another one, as an edited flow may have it."""
    return replace(
        before,
        workers=dice.randrange(1, 5),
        ready=dice.choice([None, "READY"]),
        start_seconds=2.0,
        health=dice.choice([None, Health(b"?", every_seconds=2.0)]),
        surge=dice.random() < 0.5,
    )


@pytest.mark.parametrize("seed", range(300))
def test_whatever_happens_a_pool_lives_until_stopped_and_then_stops(seed: int) -> None:
    world = World(seed, policy(random.Random(seed), POLICY))
    world.tell(ev.Start())
    for _ in range(4):
        world.clock.advance(world.dice.uniform(0.0, 20.0))
        if world.dice.random() < 0.7:
            update = policy(world.dice, world.it.policy)
            world.tell(ev.Update(update, replace=world.dice.random() < 0.5))
        else:
            world.tell(ev.Renew(world.dice.choice([None, frozenset({0})])))
    assert not world.stopped
    assert world.queued or world.processes or world.pipes or world.timers  # never stuck
    world.tell(ev.Stop(10.0) if world.dice.random() < 0.8 else ev.Kill())
    world.clock.advance(120.0)
    assert world.stopped
    assert not world.timers


@pytest.mark.parametrize("seed", range(40))
def test_a_roll_out_to_a_version_that_works_comes_to_its_end(seed: int) -> None:
    world = World(seed, replace(policy(random.Random(seed), POLICY), workers=3))
    world.tell(ev.Start())
    world.clock.advance(5.0)
    world.calm = True
    world.tell(ev.Update(replace(world.it.policy, command="./new"), replace=True))
    for _ in range(600):
        world.clock.advance(1.0)
        if world.it.roll_out is None:
            break
    assert world.it.roll_out is None
    assert {slot.command for slot in world.it.slots.values()} == {"./new"}
    world.clock.advance(60.0)  # what was still to befall one has befallen it
    assert {slot.number for slot in world.it.slots.values()} == {0, 1, 2}
    assert world.it.places.count(SlotState.RUNNING) == 3
    world.tell(ev.Kill())
    world.clock.advance(60.0)
    assert world.stopped
