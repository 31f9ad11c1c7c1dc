"""Calls that wait in the client for a connection or for room on it: in order, bounded, with an end.

Knows neither sockets nor loops; times are those of the caller's clock.
"""

from __future__ import annotations

import math
from asyncio import Future
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from drop.client.limits import WAITING_BYTES_MAX, WAITING_MAX
from drop.client.terms import timeout_from
from drop.errors import DropError, Overloaded

if TYPE_CHECKING:
    from drop._fast.codec import Octets, Waiter


class Waiting(NamedTuple):
    """A call that was never sent."""

    future: Future[bytes]
    kind: int
    pool: str
    payload: Octets | str
    deadline: float


class Sender(Protocol):
    """What takes calls: a connection."""

    @property
    def usable(self) -> bool: ...

    def call(
        self,
        waiter: Waiter | None,
        kind: int,
        pool: str,
        payload: Octets | str,
        timeout_ms: int,
        seconds: float,
    ) -> bool: ...


class Queue:
    def __init__(self) -> None:
        self._calls: deque[Waiting] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: Waiting) -> None:
        """Raises Overloaded when the queue is full; what waits stays. One call may be larger."""
        size = len(call.payload)
        full = len(self._calls) >= WAITING_MAX
        if full or (self._calls and self._bytes + size > WAITING_BYTES_MAX):
            raise Overloaded(
                f"{len(self._calls)} calls ({self._bytes} bytes) already wait in the client: "
                f"at most {WAITING_MAX} ({WAITING_BYTES_MAX} bytes)"
            )
        self._calls.append(call)
        self._bytes += size

    def send(self, connection: Sender, now: float) -> None:
        """Send from the front while the connection takes it; skip what its caller has given up."""
        while self._calls and connection.usable:
            call = self._calls[0]
            if not call.future.done():
                try:
                    timeout_ms, seconds = timeout_from(max(call.deadline - now, 0.001))
                    if not connection.call(*call[:4], timeout_ms, seconds):
                        return
                except (DropError, TypeError, ValueError) as error:
                    call.future.set_exception(error)
            self._drop_first()

    def expire(self, now: float, make_error: Callable[[], DropError]) -> None:
        """Fail what has waited longer than its timeout, wherever it is in the queue."""
        for call in self._calls:
            if call.deadline <= now and not call.future.done():
                call.future.set_exception(make_error())
        while self._calls and self._calls[0].future.done():
            self._drop_first()

    def fail(self, make_error: Callable[[], DropError]) -> None:
        self.expire(math.inf, make_error)

    def _drop_first(self) -> None:
        self._bytes -= len(self._calls.popleft().payload)
