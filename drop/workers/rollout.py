"""Replaces the workers of a pool one after the other, and never on faith. Pure.

The rule: an old worker is taken away only while every other place of the pool is filled, and only
once a worker of the new kind has been seen to work. So a version that does not start costs one
worker at the most; with a *stand-in* (an extra worker, there for the roll-out only) it costs none,
and the pool is never below its number.

What "seen to work" means is the function's to say: it writes its `ready` line, or, when it has
none, it runs for `settle_seconds`.

There is no table: the next step follows from how the slots are now, whatever has led to it. So a
worker that dies, an update during a roll-out or a second one cannot bring it out of step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from drop.workers.slot import SlotState
from drop.workers.slots import Slot


class Step(StrEnum):
    WAIT = "wait"  # something is under way
    STAND_IN = "stand_in"  # start one more worker
    PROVE = "prove"  # look again when the first new worker has run for a while
    REPLACE = "replace"  # take this one away; another follows in its place
    DISMISS = "dismiss"  # the stand-in has done its part
    DONE = "done"


class Next(NamedTuple):
    step: Step
    slot: Slot | None = None


@dataclass(slots=True)
class RollOut:
    """One that is under way."""

    replaced: int = 0
    proving: bool = False
    """The timer runs behind which a new worker is looked at again."""
    proven: bool = False
    paused: bool = False
    """A new worker has failed, which was reported."""

    def prove(self, slots: Iterable[Slot], since: float) -> bool:
        """A worker that is not of before has served `since` then, or longer."""
        self.proven = any(
            slot.state is SlotState.RUNNING and not slot.stale and slot.served_since(since)
            for slot in slots
        )
        return self.proven

    def next(self, slots: Iterable[Slot], *, may_take: bool, surge: bool) -> Next:
        """`may_take`: the breaker is closed. `surge`: a stand-in comes first."""
        wanted = [slot for slot in slots if slot.wanted]
        old = [slot for slot in wanted if slot.stale]
        for slot in old:
            if slot.state is SlotState.READYING:  # it serves nobody: there is nothing to wait for
                return Next(Step.REPLACE, slot)
        if not may_take or any(slot.state is not SlotState.RUNNING for slot in wanted):
            return Next(Step.WAIT)
        if not self.proven and len(old) < len(wanted):
            return Next(Step.PROVE)
        stand_in = next((slot for slot in wanted if slot.stand_in), None)
        if not old:
            return Next(Step.DISMISS, stand_in) if stand_in else Next(Step.DONE)
        if surge and stand_in is None:
            return Next(Step.STAND_IN)
        return Next(Step.REPLACE, min(old, key=lambda slot: (not slot.stand_in, slot.number)))
