"""Keeps the workers of a pool running, or gets them stopped: event, time in; actions out. Pure.

Three tables decide: the slots (`slot.py`), the crash-loop breaker (`breaker.py`) and the pool as a
whole (`pool_state.py`). This file joins them, and judges each ended worker: another one now, later,
or none.
`drop.workers.pool` carries the actions out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from drop.workers import events as ev
from drop.workers.breaker import Breaker, BreakerAction, BreakerState
from drop.workers.pool_state import TABLE, PoolAction, PoolEvent, PoolState
from drop.workers.slot import LIVE, TIMED, SlotAction, SlotEvent, SlotState, step

FAULTS = {
    "timeout": "did not answer within its timeout",
    "unasked": "wrote to stdout without being asked",
    "too_large": "wrote an answer that is too large",
    "garbled": "wrote what its kind does not allow",
    "memory": "needed more memory than the node may use",
}
"""Why the reactor gives a worker up. Any other reason: the worker closed a pipe, or we asked."""


_SLOT_ORDERS = {
    PoolAction.START_SLOTS: SlotEvent.START,
    PoolAction.STOP_SLOTS: SlotEvent.STOP,
    PoolAction.TERMINATE_SLOTS: SlotEvent.TERMINATE,
    PoolAction.KILL_SLOTS: SlotEvent.KILL,
}


@dataclass(slots=True)
class Slot:
    """What is known about one place for a worker."""

    number: int
    state: SlotState = SlotState.STOPPED
    wanted: bool = False
    stale: bool = False
    """It runs what the pool ran before an update."""
    renew: bool = False
    """We are ending its worker in order to start another."""
    pid: int = 0
    command: str = ""
    """What the worker runs; the pool's own may be newer."""
    since: float = 0.0
    """When the present state began."""
    spawned_at: float = 0.0
    restarts: int = 0
    fruitless: int = 0
    """Ends in a row without an answer."""
    # How the last worker ended:
    answered: int = 0
    unanswered: int = 0
    clean: bool = False
    hopeless: bool = False
    error: str = ""
    fault: str = ""


class Supervision:
    def __init__(self, policy: ev.Policy, random: Callable[[], float]) -> None:
        assert policy.workers > 0, "a pool without workers has nothing to supervise"
        self.policy = policy
        self.state = PoolState.NEW
        self.slots = {number: Slot(number) for number in range(policy.workers)}
        self.breaker = Breaker(policy.breaker, random)
        self.last_error = ""
        self.refusal: str | None = None
        self._random = random
        self._now = 0.0
        self._grace_seconds = 0.0
        self._actions: list[ev.Action] = []

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
            case ev.PoolDrained():
                self._pool_step(PoolEvent.DRAINED)
            case ev.PoolTimer():
                self._pool_step(PoolEvent.TIMER)
            case ev.BreakerTimer():
                self._breaker_action(self.breaker.timer())
            case _:
                self._slot_input(event)
        self._after()
        return self._actions

    def live(self) -> int:
        return sum(slot.state in LIVE for slot in self.slots.values())

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
                for slot in self.slots.values():
                    slot.wanted = order is PoolAction.START_SLOTS
                    self._slot_step(slot, _SLOT_ORDERS[order])

    def _after(self) -> None:
        """What follows from the slots as they are now."""
        for slot in list(self.slots.values()):
            if slot.number >= self.policy.workers and slot.state is SlotState.STOPPED:
                del self.slots[slot.number]
        self._renew_next()
        if self.state is not PoolState.NEW and self._all_in({SlotState.STOPPED}):
            self._pool_step(PoolEvent.EMPTY)
        serving = self.state in (PoolState.UP, PoolState.DRAINING)
        hopeless = serving and self._all_in({SlotState.STOPPED, SlotState.HELD})
        refusal = self._refusal_text() if hopeless else None
        if serving and refusal != self.refusal:
            self._do(ev.Refuse(refusal))
            self.refusal = refusal

    def _all_in(self, states: set[SlotState]) -> bool:
        return all(slot.state in states for slot in self.slots.values())

    def _refusal_text(self) -> str:
        what = "it fails, and is only tried again from time to time"
        if self._all_in({SlotState.STOPPED}):
            what = f"it ended, and is not started again (restart: {self.policy.restart})"
        return f"{what}: {self.last_error}; its log: {self.policy.log}"

    # --- updates ---

    def _update(self, event: ev.Update) -> None:
        assert event.policy.workers > 0
        self.policy = event.policy
        if self.state is not PoolState.UP:
            return
        for number in range(len(self.slots), event.policy.workers):
            self.slots.setdefault(number, Slot(number))
        for slot in self.slots.values():
            self._update_slot(slot, replace=event.replace)
        if event.replace:  # what failed before says nothing about the new command
            self._breaker_action(self.breaker.reset())

    def _update_slot(self, slot: Slot, *, replace: bool) -> None:
        kept, was_wanted = slot.number < self.policy.workers, slot.wanted
        slot.wanted = kept
        if not kept:
            self._slot_step(slot, SlotEvent.STOP)
        elif slot.state is SlotState.STOPPED:
            self._slot_step(slot, SlotEvent.START)
        elif slot.state in LIVE:
            slot.stale = slot.stale or replace
            slot.renew = slot.renew or not was_wanted  # it was being removed: come back

    def _renew_next(self) -> None:
        """Replace stale workers one after the other, and only while the new command works."""
        if self.breaker.state is not BreakerState.CLOSED or any(
            slot.renew for slot in self.slots.values()
        ):
            return
        for slot in self.slots.values():
            if slot.stale and slot.wanted and slot.state is SlotState.RUNNING:
                slot.renew = True
                self._slot_step(slot, SlotEvent.STOP)
                return

    # --- the slots ---

    def _slot_input(self, event: ev.SlotInput) -> None:
        slot = self.slots.get(event.slot)
        if slot is None:  # removed by an update; the reactor may still speak of its last worker
            assert isinstance(event, ev.Gone | ev.Drained), event
            return
        match event:
            case ev.Spawned():
                slot.stale = slot.renew = False
                slot.pid, slot.spawned_at = event.pid, self._now
                slot.command = self.policy.command
                slot.answered = slot.unanswered = 0
                slot.clean = slot.hopeless = False
                slot.error = slot.fault = ""
                self._slot_step(slot, SlotEvent.SPAWNED)
            case ev.SpawnFailed():
                slot.stale = slot.renew = False
                slot.pid = slot.answered = slot.unanswered = 0
                slot.clean, slot.hopeless = False, event.hopeless
                slot.error, slot.fault = event.error, ""
                self._slot_step(slot, SlotEvent.SPAWN_FAILED)
            case ev.Gone():
                slot.answered, slot.unanswered = event.answered, event.unanswered
                slot.fault = FAULTS.get(event.reason, "")
                self._slot_step(slot, SlotEvent.FAULT if slot.fault else SlotEvent.GONE)
            case ev.Drained():
                self._slot_step(slot, SlotEvent.DRAINED)
            case ev.Exited():
                slot.error, slot.clean = event.status, event.clean
                self._slot_step(slot, SlotEvent.EXITED)
            case ev.SlotTimer():
                if slot.state is SlotState.LEAVING and not slot.fault:
                    slot.fault = "closed its stdin or stdout and went on"
                self._slot_step(slot, SlotEvent.TIMER)

    def _slot_step(self, slot: Slot, event: SlotEvent) -> None:
        cell = step(slot.state, event)
        if cell.state is not slot.state:
            if slot.state in TIMED:
                self._do(ev.CancelTimer(slot.number))
            slot.state, slot.since = cell.state, self._now
        for action in cell.actions:
            self._slot_action(slot, action)

    def _slot_action(self, slot: Slot, action: SlotAction) -> None:
        number, policy = slot.number, self.policy
        match action:
            case SlotAction.SPAWN:
                self._do(ev.Spawn(number))
            case SlotAction.CANCEL_SPAWN:
                self._do(ev.CancelSpawn(number))
            case SlotAction.DRAIN | SlotAction.REMOVE:
                self._do(ev.RemoveWorker(number, drain=action is SlotAction.DRAIN))
            case SlotAction.TELL_EXITED:
                self._do(ev.TellExited(number))
            case SlotAction.SIGNAL_TERM | SlotAction.SIGNAL_KILL:
                self._do(ev.Signal(number, kill=action is SlotAction.SIGNAL_KILL))
            case SlotAction.TIMER_GRACE:
                self._do(ev.SetTimer(number, policy.drain_seconds))
            case SlotAction.TIMER_CLOSE:
                self._do(ev.SetTimer(number, policy.close_seconds))
            case SlotAction.TIMER_TERM:
                self._do(ev.SetTimer(number, policy.term_seconds))
            case SlotAction.TIMER_LEAVE:
                self._do(ev.SetTimer(number, policy.leave_seconds))
            case SlotAction.TIMER_BACKOFF:
                self._do(ev.SetTimer(number, self._backoff_seconds(slot)))
            case SlotAction.JUDGE:
                self._judge(slot)

    # --- the verdict about an ended worker ---

    def _judge(self, slot: Slot) -> None:
        self._report_end(slot)
        fruitful, text = self._fruitful(slot), self._end_text(slot)
        slot.pid = 0
        if not slot.wanted:
            self._slot_step(slot, SlotEvent.FINISH)
            return
        if slot.renew:
            self._slot_step(slot, SlotEvent.AGAIN)
            return
        self.last_error = text
        if not self._restarts(slot):
            slot.wanted = False
            self._slot_step(slot, SlotEvent.FINISH)
            return
        slot.restarts += 1
        slot.fruitless = 0 if fruitful else slot.fruitless + 1
        self._breaker_action(
            self.breaker.ended(self._now, fruitful=fruitful, hopeless=slot.hopeless)
        )
        held = self.breaker.state is BreakerState.OPEN
        self._slot_step(slot, SlotEvent.HOLD if held else SlotEvent.RETRY)

    def _restarts(self, slot: Slot) -> bool:
        failed = not slot.clean or bool(slot.fault)
        restart = self.policy.restart
        return restart is ev.Restart.ALWAYS or (restart is ev.Restart.ON_FAILURE and failed)

    def _fruitful(self, slot: Slot) -> bool:
        """It answered, or nobody asked it and it lived long enough to show that it starts."""
        lived = self._now - slot.spawned_at >= self.policy.breaker.proven_seconds
        return slot.answered > 0 or (lived and not slot.unanswered and slot.pid > 0)

    def _backoff_seconds(self, slot: Slot) -> float:
        """Doubles; a random part of it (half to all) keeps the workers of a pool, and the pools of
        a node, from coming back in one herd."""
        policy = self.policy
        doubled = policy.backoff_seconds * 2.0 ** min(max(slot.fruitless - 1, 0), 30)
        return min(policy.backoff_seconds_max, doubled) * (0.5 + 0.5 * self._random())

    def _breaker_action(self, action: BreakerAction | None) -> None:
        match action:
            case BreakerAction.OPEN:
                seconds = self.breaker.wait_seconds()
                self._do(ev.SetTimer("breaker", seconds))
                self._order(SlotState.BACKOFF, SlotEvent.HOLD)
                text = f"{self.last_error}; not started again for {seconds:.1f} s"
                self._do(ev.Report("error", "breaker_open", text))
            case BreakerAction.TRY:
                self._do(ev.SetTimer("breaker", self.breaker.wait_seconds()))
                self._do(ev.Report("info", "breaker_trial", f"{self.policy.command}: tried again"))
                self._order(SlotState.HELD, SlotEvent.START, most=1)
            case BreakerAction.CLOSE:
                self._do(ev.CancelTimer("breaker"))
                self._do(ev.Report("info", "breaker_closed", f"{self.policy.command}: works again"))
                self._order(SlotState.HELD, SlotEvent.START)
            case None:
                pass

    def _order(self, state: SlotState, event: SlotEvent, *, most: int | None = None) -> None:
        chosen = [slot for slot in self.slots.values() if slot.state is state]
        for slot in chosen[:most]:
            self._slot_step(slot, event)

    # --- words ---

    def _end_text(self, slot: Slot) -> str:
        if not slot.pid:  # never started: the launcher's text names the command
            return slot.error
        how = f"{slot.fault} ({slot.error})" if slot.fault else slot.error
        return f"{slot.command}: {how}"

    def _report_end(self, slot: Slot) -> None:
        level = "warning" if slot.wanted and not slot.renew else "info"
        event = "worker_ended" if slot.pid else "spawn_failed"
        counts = f"answered {slot.answered}, unanswered {slot.unanswered}" if slot.pid else ""
        text = "; ".join(filter(None, (self._end_text(slot), counts)))
        self._do(ev.Report(level, event, text, slot.number, slot.pid or None))

    def _do(self, *actions: ev.Action) -> None:
        self._actions.extend(actions)
