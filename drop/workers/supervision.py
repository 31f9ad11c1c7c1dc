"""Keeps the workers of a pool running, or gets them stopped: event, time in; actions out. Pure.

Tables decide: the slots (`slot.py`), the crash-loop breaker (`breaker.py`), health (`health.py`)
and the pool as a whole (`pool_state.py`); a rule says who is replaced next (`rollout.py`), another
one what follows an end (`verdict.py`). `lives.py` carries the workers through their slots, this
file says which slots are wanted.
`drop.workers.pool` carries the actions out.
"""

from __future__ import annotations

from collections.abc import Callable

from drop.workers import events as ev
from drop.workers import verdict
from drop.workers.breaker import BreakerState
from drop.workers.health import HealthEvent
from drop.workers.lives import Lives
from drop.workers.pool_state import TABLE, PoolAction, PoolEvent, PoolState
from drop.workers.rollout import RollOut, Step
from drop.workers.slot import LIVE, SlotEvent, SlotState
from drop.workers.slots import Slot

__all__ = ["Slot", "Supervision"]

_SLOT_ORDERS = {
    PoolAction.START_SLOTS: SlotEvent.START,
    PoolAction.STOP_SLOTS: SlotEvent.STOP,
    PoolAction.TERMINATE_SLOTS: SlotEvent.TERMINATE,
    PoolAction.KILL_SLOTS: SlotEvent.KILL,
}


class Supervision(Lives):
    def __init__(self, policy: ev.Policy, random: Callable[[], float]) -> None:
        assert policy.workers > 0, "a pool without workers has nothing to supervise"
        super().__init__(policy, random)
        self.state = PoolState.NEW
        self.refusal: str | None = None
        self._grace_seconds = 0.0

    def handle(self, event: ev.Input, now: float) -> list[ev.Action]:
        """Take one event; returns what to do, in order."""
        self._now = now
        self._actions = []
        match event:
            case ev.Start():
                self._pool_step(PoolEvent.START)
            case ev.Stop():
                self._grace_seconds = event.grace_seconds
                self._pool_step(PoolEvent.STOP)
            case ev.Kill():
                self._pool_step(PoolEvent.KILL)
            case ev.Update():
                self._update(event)
            case ev.Renew():
                self._renew(event)
            case ev.PoolDrained():
                self._pool_step(PoolEvent.DRAINED)
            case ev.PoolTimer():
                self._pool_step(PoolEvent.TIMER)
            case ev.BreakerTimer():
                self._breaker_action(self.breaker.timer())
            case ev.HealthTimer():
                self._health_step(self._examination.timer(self.places))
            case ev.RollOutTimer():
                if self.roll_out:
                    self.roll_out.proving = False
            case _:
                self._slot_input(event)
        self._after()
        return self._actions

    # --- the pool ---

    def _pool_step(self, event: PoolEvent) -> None:
        cell = TABLE[self.state][event]
        assert cell is not None, f"a pool that is {self.state} cannot get {event}"
        if cell.state is PoolState.STOPPING and self.state is not PoolState.STOPPING:
            self._do(ev.CancelTimer("pool"), ev.CancelTimer("breaker"))
        self.state = cell.state
        match cell.action:
            case None:
                pass
            case PoolAction.DRAIN:
                self._do(ev.DrainPool(), ev.SetTimer("pool", self._grace_seconds))
            case PoolAction.FINISH:
                self._do(ev.PoolStopped())
            case order:
                for slot in self.places:
                    slot.wanted = order is PoolAction.START_SLOTS
                    self._slot_step(slot, _SLOT_ORDERS[order])

    def _after(self) -> None:
        """What follows from the slots as they are now."""
        if len(self.places) > self.policy.workers:
            for slot in self.places:
                if slot.number >= self.policy.workers and slot.state is SlotState.STOPPED:
                    self.places.remove(slot)
        up = self.state is PoolState.UP
        self._health_step(HealthEvent.START if up and self.policy.health else HealthEvent.STOP)
        if self.roll_out:
            self._roll_on(self.roll_out) if up else self._end_roll_out("the pool is being stopped")
        if self.state is not PoolState.NEW and self.places.all_in(SlotState.STOPPED):
            self._pool_step(PoolEvent.EMPTY)
        serving = self.state in (PoolState.UP, PoolState.DRAINING)
        hopeless = serving and self.places.all_in(SlotState.STOPPED, SlotState.HELD)
        refusal = self._refusal_text() if hopeless else None
        if serving and refusal != self.refusal:
            self._do(ev.Refuse(refusal))
            self.refusal = refusal

    def _refusal_text(self) -> str:
        return verdict.refusal(
            all_stopped=self.places.all_in(SlotState.STOPPED),
            policy=self.policy,
            last_error=self.last_error,
        )

    # --- updates and roll-outs ---

    def _update(self, event: ev.Update) -> None:
        assert event.policy.workers > 0
        self.policy = event.policy
        if self.state is not PoolState.UP:
            return
        if event.policy.health is None:
            self._health_step(HealthEvent.STOP)
        for number in range(event.policy.workers):
            self.places.add(number)
        for slot in self.places:
            self._update_slot(slot, replace=event.replace)
        if event.replace:
            self._begin_roll_out()

    def _update_slot(self, slot: Slot, *, replace: bool) -> None:
        was_wanted = slot.wanted
        if slot.number < self.policy.workers:
            slot.wanted, slot.stand_in = True, False
        else:
            slot.wanted = slot.wanted and slot.number == self.policy.workers and slot.stand_in
        if not slot.wanted:
            self._slot_step(slot, SlotEvent.STOP)
        elif slot.state is SlotState.STOPPED:
            self._slot_step(slot, SlotEvent.START)
        elif slot.state in LIVE:
            slot.stale = slot.stale or replace
            if not slot.stale:
                slot.health = self.policy.health
            slot.renew = slot.renew or not was_wanted  # it was being removed: come back
        elif replace and slot.state is SlotState.BACKOFF:
            slot.fruitless = 0
            self._slot_step(slot, SlotEvent.START)

    def _renew(self, event: ev.Renew) -> None:
        if self.state is not PoolState.UP:
            return
        for slot in self.places:
            if event.slots is not None and slot.number not in event.slots:
                continue
            if slot.state in LIVE:
                slot.stale = slot.wanted
            elif slot.number < self.policy.workers:
                slot.wanted, slot.fruitless = True, 0
                if slot.state in (SlotState.BACKOFF, SlotState.STOPPED):
                    self._slot_step(slot, SlotEvent.START)
        self._begin_roll_out()

    def _begin_roll_out(self) -> None:
        """What failed before says nothing about the new command, or about what was mended."""
        self.breaker.limits = verdict.breaker_limits(self.policy)
        self._breaker_action(self.breaker.reset())
        if self.roll_out and self.roll_out.proving:
            self._do(ev.CancelTimer("rollout"))
        self.roll_out = RollOut()
        old = sum(slot.stale and not slot.stand_in for slot in self.places)
        text = f"{self.policy.command}: {old} of {self.policy.workers} workers to replace"
        self._do(ev.Report("info", "rollout_begun", text))

    def _roll_on(self, roll_out: RollOut) -> None:
        while self.roll_out:
            may_take = self.breaker.state is BreakerState.CLOSED
            step, slot = roll_out.next(self.places, may_take=may_take, surge=self.policy.surge)
            match step:
                case Step.WAIT:
                    return
                case Step.PROVE:
                    if not self._proves(roll_out):
                        return
                case Step.STAND_IN:
                    # One number only, for more than one place is kept for nobody. If the stand-in
                    # of an earlier roll-out has it yet, this one begins when that is gone.
                    if self.policy.workers in self.slots:
                        return
                    slot = self.places.add(self.policy.workers, stand_in=True)
                    slot.wanted = True
                    self._slot_step(slot, SlotEvent.START)
                case Step.REPLACE:
                    assert slot is not None
                    slot.renew, roll_out.paused = True, False
                    self._slot_step(slot, SlotEvent.STOP)
                case Step.DISMISS:
                    assert slot is not None
                    slot.wanted = False
                    self._slot_step(slot, SlotEvent.STOP)
                case Step.DONE:
                    self._end_roll_out(None)

    def _proves(self, roll_out: RollOut) -> bool:
        """Whether a new worker has been seen to work; if not, it is looked at again later."""
        seconds = 0.0 if self.policy.ready is not None else self.policy.settle_seconds
        if roll_out.prove(self.places, self._now - seconds):
            return True
        if not roll_out.proving:
            roll_out.proving = True
            self._do(ev.SetTimer("rollout", seconds))
        return False

    def _end_roll_out(self, error: str | None) -> None:
        assert self.roll_out
        replaced = self.roll_out.replaced
        if self.roll_out.proving:
            self._do(ev.CancelTimer("rollout"))
        self.roll_out = None
        text = f"{self.policy.command}: workers replaced: {replaced}"
        self._do(
            ev.Report("info", "rollout_ended", f"{text}; {error}" if error else text),
            ev.RolledOut(replaced, error),
        )
