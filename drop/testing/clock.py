"""A clock that moves only when told to, and whose random numbers come from a seed."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from itertools import count


class FakeTimer:
    def __init__(self, due: float, callback: Callable[[], object]) -> None:
        self.due = due
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeClock:
    """`advance()` runs the timers that fall due, in order, each at its own time."""

    def __init__(self, seed: int = 0, *, now: float = 1000.0, wall: float = 1.7e9) -> None:
        self._now = now
        self._wall_offset = wall - now
        self._random = random.Random(seed)
        self._order = count()
        self._timers: list[tuple[float, int, FakeTimer]] = []

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._now + self._wall_offset

    def random(self) -> float:
        return self._random.random()

    def call_later(self, seconds: float, callback: Callable[[], object]) -> FakeTimer:
        timer = FakeTimer(self._now + max(0.0, seconds), callback)
        heapq.heappush(self._timers, (timer.due, next(self._order), timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Move on, running every timer that falls due; also those that the timers set."""
        end = self._now + seconds
        while self._timers and self._timers[0][0] <= end:
            due, _, timer = heapq.heappop(self._timers)
            self._now = max(self._now, due)
            if not timer.cancelled:
                timer.callback()
        self._now = end

    def pending(self) -> list[float]:
        """Seconds from now of each live timer, soonest first."""
        return sorted(due - self._now for due, _, timer in self._timers if not timer.cancelled)
