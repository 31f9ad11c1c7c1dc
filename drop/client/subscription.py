"""The events of a pool as an async iterator, on a connection of its own.

Its own connection, so that a flood of events delays no call and holding the node back (WAIT) stops
nothing else. The subscription is renewed when the connection is lost; what came in between is gone,
and `reconnects` says so. Memory is bounded: see EVENTS_MAX and EVENTS_WAIT in limits.py.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from drop.client import limits
from drop.client.connection import Connection
from drop.client.keeper import Keeper, Settings
from drop.client.terms import again
from drop.errors import ConnectionLost, DropError

if TYPE_CHECKING:
    from drop._fast.codec import Octets

ANSWER_S = 30.0  # the node answers SUBSCRIBE at once; this only keeps a broken one from hanging us


class Subscription:
    """Iterate over it, or enter it with `async with` to be sure that it is in force.

    `lost`: events that were dropped because this program read too slowly. `reconnects`: how often
    the subscription was renewed; each time events may be missing without being counted.
    """

    def __init__(
        self,
        settings: Settings,
        pool: str,
        filter: Octets | str = b"",
        *,
        wait: bool = False,
        on_close: Callable[[Subscription], object] = lambda subscription: None,
    ) -> None:
        self.pool = pool
        self.lost = 0
        self.reconnects = 0
        self._filter = filter.encode() if isinstance(filter, str) else bytes(memoryview(filter))
        self._wait = wait
        self._on_close = on_close
        self._keeper = Keeper(settings, self, events=True)
        self._connection: Connection | None = None
        self._events: deque[bytes] = deque()
        self._bytes = 0
        self._started = False
        self._ended: DropError | None = None
        self._closed = False
        self._changed: asyncio.Future[None] | None = None  # somebody waits for news

    def __repr__(self) -> str:
        return f"<Subscription {self.pool} lost={self.lost} reconnects={self.reconnects}>"

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Return when the node has accepted the subscription; raises what it says else."""
        self._keeper.start()
        while not self._started and self._ended is None:
            await self._news()
        if not self._started and self._ended is not None:
            raise again(self._ended)

    async def close(self) -> None:
        """End it; events that have arrived can still be iterated over."""
        self._closed = True
        self._on_close(self)
        await self._keeper.stop()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next event. After close(): what is left, then the end. Raises ConnectionLost."""
        while not self._events:
            if self._closed:
                raise StopAsyncIteration
            if self._ended is not None:
                raise again(self._ended)
            if not self._started:
                await self.start()
            else:
                await self._news()
        event = self._events.popleft()
        self._bytes -= len(event)
        if self._wait and self._connection is not None and not self._over(0.5):
            self._connection.pause_reading(False)
        return event

    def _over(self, share: float) -> bool:
        """More than that share of what may wait with WAIT is waiting."""
        return (
            len(self._events) > share * limits.EVENTS_WAIT
            or self._bytes > share * limits.EVENTS_WAIT_BYTES
        )

    async def _news(self) -> None:
        if self._changed is None:
            self._changed = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._changed)

    def _tell(self) -> None:
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.set_result(None)

    # -- called by the keeper and its connection --------------------------------------------------

    def connected(self, connection: Connection) -> None:
        self._connection = connection
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(self._answered)
        try:
            connection.subscribe(answer, self.pool, self._filter, self._wait, ANSWER_S)
        except DropError as error:
            answer.set_exception(error)

    def _answered(self, answer: asyncio.Future[bytes]) -> None:
        error = answer.exception()
        if error is None:
            self.reconnects += self._started
            self._started = True
        elif isinstance(error, DropError) and not self._started:
            self._ended = error
            self._keeper.end(error)
        elif self._connection is not None:
            # Renewing failed, as it does while a restarted node has not loaded its flow yet:
            # the end of the connection makes the keeper try again, later and later.
            self._connection.close(ConnectionLost(f"subscription not renewed: {error}"))
        self._tell()

    def disconnected(self, error: DropError) -> None:
        self._connection = None

    def unreachable(self, error: DropError) -> None:
        self._ended = self._ended or error
        self._tell()

    def progress(self) -> None:
        """Nothing waits to be sent."""

    def paused(self) -> None:
        """Nothing waits to be sent."""

    def received(self, events: list[bytes]) -> None:
        if self._wait:
            self._events.extend(events)
            self._bytes += sum(map(len, events))
            if self._connection is not None and self._over(1.0):
                self._connection.pause_reading(True)
        else:
            self._keep(events)
        self._tell()

    def _keep(self, events: list[bytes]) -> None:
        """Without WAIT the node is not held back, so what does not fit is lost here, counted."""
        for event in events:
            full = len(self._events) >= limits.EVENTS_MAX
            if full or (self._events and self._bytes + len(event) > limits.EVENTS_BYTES_MAX):
                self.lost += 1
            else:
                self._events.append(event)
                self._bytes += len(event)

    def gap(self, lost: int) -> None:
        self.lost += lost
