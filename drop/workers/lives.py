"""The lives of a pool's workers, each in its slot: started, ready, asked, ended, judged. Pure.

What one slot does concerns the others in three ways only: the breaker counts the ends of all, one
at a time is asked how it is, and a roll-out waits for the one that it has replaced.
`drop.workers.supervision` says when a slot is wanted.
"""

from __future__ import annotations

from collections.abc import Callable

from drop.workers import events as ev
from drop.workers import verdict
from drop.workers.backoff import backoff_seconds
from drop.workers.breaker import Breaker, BreakerAction, BreakerState
from drop.workers.examination import Examination
from drop.workers.health import HealthAction, HealthEvent
from drop.workers.rollout import RollOut
from drop.workers.slot import TIMED, SlotAction, SlotEvent, SlotState, step
from drop.workers.slots import Slot, Slots


class Lives:
    """Everything is of one pool; `_actions` collects what is asked for."""

    def __init__(self, policy: ev.Policy, random: Callable[[], float]) -> None:
        self.policy = policy
        self.places = Slots(policy.workers)
        self.breaker = Breaker(verdict.breaker_limits(policy), random)
        self.breaker_until = 0.0
        """When the open breaker lets one worker try."""
        self.roll_out: RollOut | None = None
        self.last_error = ""
        self._examination = Examination()
        self._random = random
        self._now = 0.0
        self._actions: list[ev.Action] = []

    @property
    def slots(self) -> dict[int, Slot]:
        return self.places.by_number

    def live(self) -> int:
        return self.places.live()

    def _do(self, *actions: ev.Action) -> None:
        self._actions.extend(actions)

    # --- the slots ---

    def _slot_input(self, event: ev.SlotInput) -> None:
        slot = self.slots.get(event.slot)
        if slot is None:  # removed by an update; the reactor may still speak of its last worker
            assert isinstance(event, ev.Gone | ev.Drained | ev.Ready | ev.HealthAnswer), event
            return
        match event:
            case ev.Spawned():
                slot.begin(event.pid, self.policy.command, self.policy.health)
                unready = self.policy.ready is not None
                self._slot_step(slot, SlotEvent.SPAWNED_UNREADY if unready else SlotEvent.SPAWNED)
            case ev.SpawnFailed():
                slot.begin(0, self.policy.command, self.policy.health)
                slot.error, slot.hopeless = event.error, event.hopeless
                self._slot_step(slot, SlotEvent.SPAWN_FAILED)
            case ev.Ready():
                self._ready(slot)
            case ev.HealthAnswer():
                self._health_step(self._examination.answer(slot, event.outcome))
            case ev.Gone():
                self._gone(slot, event)
            case ev.Drained():
                slot.answered = event.answered
                self._slot_step(slot, SlotEvent.DRAINED)
            case ev.Exited():
                slot.error, slot.clean = event.status, event.clean
                self._slot_step(slot, SlotEvent.EXITED)
            case ev.SlotTimer():
                self._slot_timer(slot)

    def _ready(self, slot: Slot) -> None:
        was = slot.state
        self._slot_step(slot, SlotEvent.READY)
        if was is SlotState.READYING and self.breaker.state is BreakerState.TRIAL:
            # From here on it has to prove itself.
            self._do(ev.SetTimer("breaker", self.breaker.wait_seconds()))

    def _gone(self, slot: Slot, event: ev.Gone) -> None:
        slot.answered, slot.unanswered = event.answered, event.unanswered
        slot.closed = "stdin" if event.reason == "write" else "stdout"
        if event.reason == "timeout" and self._examination.asks(slot):
            slot.unfit = True
        slot.fault = slot.fault or verdict.fault(event.reason, slot, self.policy)
        self._slot_step(slot, SlotEvent.FAULT if slot.fault else SlotEvent.GONE)

    def _slot_timer(self, slot: Slot) -> None:
        if slot.state is SlotState.LEAVING:
            slot.fault = slot.fault or f"closed its {slot.closed} and went on"
        elif slot.state is SlotState.READYING:
            slot.fault = verdict.late_start(self.policy)
        self._slot_step(slot, SlotEvent.TIMER)

    def _slot_step(self, slot: Slot, event: SlotEvent) -> None:
        cell, was = step(slot.state, event), slot.state
        if cell.state is not was:
            if was in TIMED:
                self._do(ev.CancelTimer(slot.number))
            self.places.move(slot, cell.state, self._now)
        for action in cell.actions:
            self._slot_action(slot, action)
        if cell.state is not was:
            self._health_step(self._examination.moved(slot, event))

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
            case SlotAction.TIMER_START:
                self._set_timer(slot, policy.start_seconds)
            case SlotAction.TIMER_GRACE:
                self._set_timer(slot, policy.drain_seconds)
            case SlotAction.TIMER_CLOSE:
                self._set_timer(slot, policy.close_seconds)
            case SlotAction.TIMER_TERM:
                self._set_timer(slot, policy.term_seconds)
            case SlotAction.TIMER_LEAVE:
                self._set_timer(slot, policy.leave_seconds)
            case SlotAction.TIMER_BACKOFF:
                seconds = backoff_seconds(
                    policy.backoff_seconds,
                    policy.backoff_seconds_max,
                    slot.fruitless - 1,
                    self._random(),
                )
                self._set_timer(slot, seconds)
            case SlotAction.JUDGE:
                self._judge(slot)

    def _set_timer(self, slot: Slot, seconds: float) -> None:
        slot.until = self._now + seconds
        self._do(ev.SetTimer(slot.number, seconds))

    # --- the verdict about an ended worker ---

    def _judge(self, slot: Slot) -> None:
        self._do(verdict.end_report(slot))
        fruitful, text = verdict.fruitful(slot, self.policy, self._now), verdict.end_text(slot)
        slot.pid = 0
        if not slot.wanted:
            self._slot_step(slot, SlotEvent.FINISH)
            return
        if slot.renew:
            if self.roll_out and not slot.stand_in:
                self.roll_out.replaced += 1
            self._slot_step(slot, SlotEvent.AGAIN)
            return
        self.last_error = text
        if not verdict.restarts(slot, self.policy):
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
        if self.roll_out and not slot.stale and not self.roll_out.paused:
            self._pause_roll_out(self.roll_out)

    def _pause_roll_out(self, roll_out: RollOut) -> None:
        """A new worker failed: what is left of the old ones stays. Its slot waits for its next
        start as any other does, and when it works the roll-out goes on."""
        roll_out.paused = True
        old = sum(slot.stale and slot.wanted for slot in self.places)
        text = f"{self.last_error}; {old} workers of before go on, it is tried again"
        self._do(
            ev.Report("error", "rollout_paused", text),
            ev.RolledOut(roll_out.replaced, f"{text}; its log: {self.policy.log}"),
        )

    # --- the breaker ---

    def _breaker_action(self, action: BreakerAction | None) -> None:
        match action:
            case BreakerAction.OPEN:
                seconds = self.breaker.wait_seconds()
                self.breaker_until = self._now + seconds
                self._do(ev.SetTimer("breaker", seconds))
                self._order(SlotState.BACKOFF, SlotEvent.HOLD)
                self._order(SlotState.STARTING, SlotEvent.HOLD)
                text = f"{self.last_error}; not started again for {seconds:.1f} s"
                self._do(ev.Report("error", "breaker_open", text))
            case BreakerAction.TRY:
                starting = self.policy.start_seconds if self.policy.ready is not None else 0.0
                self._do(ev.SetTimer("breaker", self.breaker.wait_seconds() + starting))
                self._do(ev.Report("info", "breaker_trial", f"{self.policy.command}: tried again"))
                self._order(SlotState.HELD, SlotEvent.START, most=1)
            case BreakerAction.CLOSE:
                self._do(ev.CancelTimer("breaker"))
                self._do(ev.Report("info", "breaker_closed", f"{self.policy.command}: works again"))
                self._order(SlotState.HELD, SlotEvent.START)
            case None:
                pass

    def _order(self, state: SlotState, event: SlotEvent, *, most: int | None = None) -> None:
        chosen = [slot for slot in self.places if slot.state is state]
        for slot in chosen[:most]:
            self._slot_step(slot, event)

    # --- health ---

    def _health_step(self, event: HealthEvent | None) -> None:
        if event is None:
            return
        examination, health = self._examination, self.policy.health
        for action in examination.step(event):
            match action:
                case HealthAction.CANCEL:
                    self._do(ev.CancelTimer("health"))
                case HealthAction.REST:
                    assert health is not None
                    running = self.places.count(SlotState.RUNNING)
                    seconds = health.rest_seconds(running, self._random())
                    self._do(ev.SetTimer("health", seconds))
                case HealthAction.ASK:
                    asked = self._asked()
                    assert asked.health is not None
                    seconds = asked.health.every_seconds
                    self._do(ev.Probe(asked.number, asked.health), ev.SetTimer("health", seconds))
                case HealthAction.REPLACE_LATE:
                    self._condemn(verdict.late_health(self._asked()))
                case HealthAction.REPLACE_WRONG:
                    self._condemn(verdict.WRONG_HEALTH)

    def _asked(self) -> Slot:
        assert self._examination.slot is not None
        return self.slots[self._examination.slot]

    def _condemn(self, fault: str) -> None:
        slot = self._asked()
        slot.unfit, slot.fault = True, fault
        self._slot_step(slot, SlotEvent.UNFIT)
