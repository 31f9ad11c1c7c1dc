"""Starts processes one after the other, a few in each turn of the loop.

Starting one takes about a millisecond, in which the loop does nothing else. A flow of a thousand
pools would stop the control plane for a second; so after `TURN_SECONDS` the loop gets a turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from drop.clock import Clock

TURN_SECONDS = 0.004
"""Two or three processes. A tenth of what a person notices, and the queue still goes at full
speed: the turn that is given away is short when nothing else is to be done."""


class Ticket:
    """A place in the queue."""

    __slots__ = ("_start",)

    def __init__(self, start: Callable[[], None]) -> None:
        self._start: Callable[[], None] | None = start

    def cancel(self) -> None:
        self._start = None

    def redeem(self) -> None:
        start, self._start = self._start, None
        if start is not None:
            start()


class Spawner:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queue: deque[Ticket] = deque()
        self._awake = False

    def submit(self, start: Callable[[], None]) -> Ticket:
        """`start` is called from the loop, never from here; it must not raise."""
        ticket = Ticket(start)
        self._queue.append(ticket)
        if not self._awake:
            self._awake = True
            asyncio.get_running_loop().call_soon(self._turn)
        return ticket

    def _turn(self) -> None:
        end = self._clock.now() + TURN_SECONDS
        while self._queue and self._clock.now() < end:
            self._queue.popleft().redeem()
        self._awake = bool(self._queue)
        if self._awake:
            asyncio.get_running_loop().call_soon(self._turn)
