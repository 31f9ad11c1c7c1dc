"""Asks idle workers whether they are well, one at a time: a table of states x events. Pure.

A question can do harm, for who fails it is replaced. When the fault is not the worker's own (what
they all depend on is down), each of them would fail. So a pool has one question on its way at most,
and nobody is asked while the one that failed is not back: one place of a pool is empty because of
health at any time, and in a pool of several the others go on serving. The questions of a pool are
spread over its period by this, and jitter keeps pools apart.

None: it cannot happen; a mistake of our own. (An answer that nobody waits for does not get here.)
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

REST_SECONDS_MIN = 0.02
"""Between two questions of a pool. A thousand workers that are to be asked every second would keep
the control plane busy with nothing else; they are asked every 20 s then."""


@dataclass(frozen=True, slots=True)
class Health:
    """What idle workers are asked."""

    message: bytes
    expect: bytes | None = None
    """The whole answer; None: any."""
    every_seconds: float = 10.0
    """For one worker; and how long the answer may take, where the pool's timeout is not shorter."""

    def rest_seconds(self, workers: int, random: float) -> float:
        """Until the next question: each of the `workers` is asked once in a period, more or less
        (from 0.75 to 1.25 of it)."""
        rest = self.every_seconds / max(1, workers) * (0.75 + 0.5 * random)
        return max(REST_SECONDS_MIN, rest)


class HealthState(StrEnum):
    OFF = "off"
    RESTING = "resting"  # until the next question
    ASKING = "asking"  # a worker owes an answer
    OUT = "out"  # the one that failed is not back


class HealthEvent(StrEnum):
    START = "start"
    STOP = "stop"
    DUE = "due"  # the rest is over, and somebody is there to be asked
    NOBODY = "nobody"  # the rest is over, and no worker is idle or busy
    LATE = "late"  # the answer is
    WELL = "well"  # answered as expected, or had work to do, which is as good
    WRONG = "wrong"
    LOST = "lost"  # the asked worker ended by itself, or its timeout passed
    TAKEN = "taken"  # the asked worker was taken away by us, for another reason
    BACK = "back"  # the place of the one that failed is filled, or not wanted any more


class HealthAction(StrEnum):
    REST = "rest"  # set the timer
    ASK = "ask"  # and set the timer
    REPLACE_WRONG = "replace_wrong"
    REPLACE_LATE = "replace_late"
    CANCEL = "cancel"  # the timer


class HealthCell(NamedTuple):
    state: HealthState
    actions: tuple[HealthAction, ...] = ()


_S, _E, _A = HealthState, HealthEvent, HealthAction
_REST = HealthCell(_S.RESTING, (_A.REST,))
_OFF = HealthCell(_S.OFF, (_A.CANCEL,))

TABLE: dict[HealthState, dict[HealthEvent, HealthCell | None]] = {
    _S.OFF: {
        _E.START: _REST,
        _E.STOP: HealthCell(_S.OFF),
        _E.DUE: None,
        _E.NOBODY: None,
        _E.LATE: None,
        _E.WELL: None,
        _E.WRONG: None,
        _E.LOST: None,
        _E.TAKEN: None,
        _E.BACK: None,
    },
    _S.RESTING: {
        _E.START: HealthCell(_S.RESTING),
        _E.STOP: _OFF,
        _E.DUE: HealthCell(_S.ASKING, (_A.ASK,)),
        _E.NOBODY: _REST,
        _E.LATE: None,
        _E.WELL: None,
        _E.WRONG: None,
        _E.LOST: None,
        _E.TAKEN: None,
        _E.BACK: None,
    },
    _S.ASKING: {
        _E.START: HealthCell(_S.ASKING),
        _E.STOP: _OFF,
        _E.DUE: None,
        _E.NOBODY: None,
        _E.LATE: HealthCell(_S.OUT, (_A.REPLACE_LATE,)),
        _E.WELL: _REST,  # setting the timer replaces the one that runs
        _E.WRONG: HealthCell(_S.OUT, (_A.CANCEL, _A.REPLACE_WRONG)),
        _E.LOST: HealthCell(_S.OUT, (_A.CANCEL,)),
        _E.TAKEN: _REST,
        _E.BACK: None,
    },
    _S.OUT: {
        _E.START: HealthCell(_S.OUT),
        _E.STOP: HealthCell(_S.OFF),
        _E.DUE: None,
        _E.NOBODY: None,
        _E.LATE: None,
        _E.WELL: None,
        _E.WRONG: None,
        _E.LOST: None,
        _E.TAKEN: None,
        _E.BACK: _REST,
    },
}


def step(state: HealthState, event: HealthEvent) -> HealthCell:
    """The next state and what to do, in this order. Raises AssertionError for a None."""
    cell = TABLE[state][event]
    assert cell is not None, f"health that is {state} cannot get {event}"
    return cell
