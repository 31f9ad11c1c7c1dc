"""What all processes of a pool of kind exec share: taken back when the last that may have it ended.

The dataplane does not tell of the end of each process. But none of them outlives the deadline of
its message, and those without one are ended at once when there is something newer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from drop.clock import Clock, Timer

TakeBack = Callable[[], None]

ENDING_SECONDS = 5.0
"""After its deadline a process is killed, and seen to have ended, well within that."""


class Lent:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._current: TakeBack | None = None
        self._earlier: dict[TakeBack, Timer] = {}

    def replace(self, take_back: TakeBack, timeout_ms: int) -> None:
        """From now on processes get this. `timeout_ms`: how long those of before may go on."""
        if self._current is not None:
            seconds = timeout_ms / 1000.0 + ENDING_SECONDS
            expired = partial(self._expired, self._current)
            self._earlier[self._current] = self._clock.call_later(seconds, expired)
        self._current = take_back

    def close(self) -> None:
        """No process is left that could want any of it."""
        for take_back, timer in self._earlier.items():
            timer.cancel()
            take_back()
        self._earlier.clear()
        current, self._current = self._current, None
        if current is not None:
            current()

    def _expired(self, take_back: TakeBack) -> None:
        del self._earlier[take_back]
        take_back()
