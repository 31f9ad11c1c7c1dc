"""The crash-loop breaker of one pool: when to stop starting a command that does not work. Pure.

A worker's end is *fruitless* when it neither answered a message nor lived for `proven_seconds`. Too
many of those in a row, or a command that cannot be executed at all, open the breaker: no more
starts, and (when nobody is left to answer) callers are told at once. After a while one worker is
tried; if it proves itself the breaker closes, else it opens again for twice as long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    TRIAL = "trial"


class BreakerEvent(StrEnum):
    FRUITLESS = "fruitless"  # one more, but not too many yet
    LIMIT = "limit"  # one too many, or hopeless: the command cannot be executed
    FRUITFUL = "fruitful"  # a worker ended after it had proved itself
    TIMER = "timer"
    RESET = "reset"  # the command was changed


class BreakerAction(StrEnum):
    OPEN = "open"  # hold all starts, set the timer for the trial
    TRY = "try"  # start one held slot, set the timer for its proof
    CLOSE = "close"  # start all held slots


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    fruitless_max: int = 5
    """Fruitless ends in a row that open it. Five: with back-off, about two seconds of trying."""
    window_seconds: float = 60.0
    """Older ends are forgotten, so that a pool that fails once an hour never opens it."""
    open_seconds: float = 5.0
    """Until the first trial; doubled by each trial that fails."""
    open_seconds_max: float = 300.0
    proven_seconds: float = 5.0
    """A worker that lives this long without a message counts as good."""


class BreakerCell(NamedTuple):
    state: BreakerState
    action: BreakerAction | None = None


_CLOSED, _OPEN, _TRIAL = (BreakerCell(state) for state in BreakerState)
_OPENS = BreakerCell(BreakerState.OPEN, BreakerAction.OPEN)
_CLOSES = BreakerCell(BreakerState.CLOSED, BreakerAction.CLOSE)
_TRIES = BreakerCell(BreakerState.TRIAL, BreakerAction.TRY)

# None: it cannot happen (a closed breaker has no timer); a mistake of our own.
TABLE: dict[BreakerState, dict[BreakerEvent, BreakerCell | None]] = {
    BreakerState.CLOSED: {
        BreakerEvent.FRUITLESS: _CLOSED,
        BreakerEvent.LIMIT: _OPENS,
        BreakerEvent.FRUITFUL: _CLOSED,
        BreakerEvent.TIMER: None,
        BreakerEvent.RESET: _CLOSED,
    },
    BreakerState.OPEN: {
        BreakerEvent.FRUITLESS: _OPEN,
        BreakerEvent.LIMIT: _OPEN,
        # One that was alive when it opened, and worked: so the command can work. Without this, a
        # function of which only one copy can run would lose that copy's restart to the others.
        BreakerEvent.FRUITFUL: _CLOSES,
        BreakerEvent.TIMER: _TRIES,
        BreakerEvent.RESET: _CLOSES,
    },
    BreakerState.TRIAL: {
        BreakerEvent.FRUITLESS: _OPENS,
        BreakerEvent.LIMIT: _OPENS,
        BreakerEvent.FRUITFUL: _CLOSES,
        BreakerEvent.TIMER: _CLOSES,
        BreakerEvent.RESET: _CLOSES,
    },
}


class Breaker:
    def __init__(self, limits: BreakerLimits, random: Callable[[], float]) -> None:
        self.limits = limits
        self._random = random
        self._fruitless: deque[float] = deque(maxlen=limits.fruitless_max)
        self._openings = 0  # in a row
        self.state = BreakerState.CLOSED

    def ended(self, now: float, *, fruitful: bool, hopeless: bool = False) -> BreakerAction | None:
        """A worker ended, or could not be started."""
        if fruitful:
            self._fruitless.clear()
            return self._step(BreakerEvent.FRUITFUL)
        self._fruitless.append(now)
        recent = now - self._fruitless[0] <= self.limits.window_seconds
        too_many = recent and len(self._fruitless) == self.limits.fruitless_max
        return self._step(BreakerEvent.LIMIT if hopeless or too_many else BreakerEvent.FRUITLESS)

    def timer(self) -> BreakerAction | None:
        return self._step(BreakerEvent.TIMER)

    def reset(self) -> BreakerAction | None:
        """What happened so far says nothing any more."""
        self._fruitless.clear()
        return self._step(BreakerEvent.RESET)

    def wait_seconds(self) -> float:
        """Until the next trial (0.75 to 1 of the doubled time, so that pools do not march in
        step), or until the running trial counts as passed."""
        if self.state is BreakerState.TRIAL:
            return self.limits.proven_seconds
        doubled = self.limits.open_seconds * 2.0 ** min(self._openings - 1, 30)
        return min(self.limits.open_seconds_max, doubled) * (0.75 + 0.25 * self._random())

    def _step(self, event: BreakerEvent) -> BreakerAction | None:
        cell = TABLE[self.state][event]
        assert cell is not None, f"a {self.state} breaker cannot get {event}"
        self.state = cell.state
        if cell.action is BreakerAction.OPEN:
            self._openings += 1
        elif cell.action is BreakerAction.CLOSE:
            self._openings = 0
            self._fruitless.clear()
        return cell.action
