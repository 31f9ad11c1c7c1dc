"""Whom a pool asks how it is, and what it waits for: the table of `health.py` applied. Pure."""

from __future__ import annotations

from drop.workers.health import HealthAction, HealthEvent, HealthState, step
from drop.workers.slot import SlotEvent, SlotState
from drop.workers.slots import Slot, Slots

_OUTCOMES = {"ok": HealthEvent.WELL, "busy": HealthEvent.WELL, "wrong": HealthEvent.WRONG}
_OURS = {SlotEvent.STOP, SlotEvent.TERMINATE, SlotEvent.KILL}


class Examination:
    """Turns what happens into the table's events; `step` takes one, and returns what to do."""

    def __init__(self) -> None:
        self.state = HealthState.OFF
        self.slot: int | None = None
        """The one that is asked, or is out."""
        self._last = -1  # asked

    def step(self, event: HealthEvent) -> tuple[HealthAction, ...]:
        cell = step(self.state, event)
        self.state = cell.state
        if cell.state in (HealthState.OFF, HealthState.RESTING):
            self.slot = None
        return cell.actions

    def timer(self, slots: Slots) -> HealthEvent:
        if self.state is HealthState.ASKING:
            return HealthEvent.LATE
        chosen = slots.next_to_ask(self._last)
        if chosen is None:
            return HealthEvent.NOBODY
        self.slot = self._last = chosen.number
        return HealthEvent.DUE

    def asks(self, slot: Slot) -> bool:
        """Whether it owes an answer."""
        return self.state is HealthState.ASKING and self.slot == slot.number

    def answer(self, slot: Slot, outcome: str) -> HealthEvent | None:
        """None: nobody waits for it any more."""
        return _OUTCOMES[outcome] if self.asks(slot) else None

    def moved(self, slot: Slot, by: SlotEvent) -> HealthEvent | None:
        """A slot is in another state; None: that does not matter."""
        if slot.number != self.slot:
            return None
        if self.state is HealthState.ASKING and slot.state is not SlotState.RUNNING:
            return HealthEvent.TAKEN if by in _OURS else HealthEvent.LOST
        if self.state is HealthState.OUT and slot.state in (SlotState.RUNNING, SlotState.STOPPED):
            return HealthEvent.BACK
        return None
