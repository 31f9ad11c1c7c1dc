"""The only source of time and randomness.

Everything that needs "now", a timer or a random number is given a `Clock`; nothing else in the
package imports `time` or `random` to decide anything. So a test (or a simulator) hands in
`drop.testing.clock.FakeClock` and owns both.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


class Timer(Protocol):
    """A callback that has been asked for and can be called off (any number of times)."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    def now(self) -> float:
        """Seconds that only go forward; no relation to the time of day."""

    def wall(self) -> float:
        """Seconds since 1970-01-01 UTC; may jump. Only for showing to people."""

    def random(self) -> float:
        """A number in [0, 1)."""

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Run the callback once, on the thread of the control plane."""


def time_text(wall: float) -> str:
    """Seconds since 1970 as people and programs read them: 2026-11-24T08:09:04Z."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class SystemClock:
    """The machine's clock; timers run on the running asyncio loop."""

    def __init__(self) -> None:
        # Seeded by the kernel: nodes that start together must not back off together.
        self._random = random.SystemRandom()

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def random(self) -> float:
        return self._random.random()

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        return asyncio.get_running_loop().call_later(seconds, callback)
