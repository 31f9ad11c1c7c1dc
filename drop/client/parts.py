"""An answer in parts on an asyncio loop: one call, on a connection of its own.

Its own connection, because a program that takes its time must hold back this function only: what
the client does not read stops the node's reading from the function, and so the function.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING

from drop.client import limits
from drop.client.connection import Connection, open_connection
from drop.client.keeper import Settings
from drop.client.terms import timeout_from
from drop.errors import CallTimeout, ConnectionLost, DropError

if TYPE_CHECKING:
    from drop._fast.codec import Octets


class Parts:
    """`start()`, then `next()` until it is None or raises; `close()` in any case."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection: Connection | None = None
        self._deadline = math.inf
        self._parts: deque[bytes] = deque()
        self._bytes = 0
        self._finished = False
        self._error: BaseException | None = None
        self._given_up = False
        self._news = asyncio.Event()

    async def start(self, pool: str, payload: Octets | str, seconds: float) -> None:
        """Connect and send the call. Raises DropError."""
        loop = asyncio.get_running_loop()
        address, token, connect_timeout, *_ = self._settings
        self._deadline = loop.time() + seconds
        connection = Connection(loop, address, token, self)
        await open_connection(connection, address, min(connect_timeout, seconds))
        self._connection = connection
        timeout_ms, _ = timeout_from(max(self._deadline - loop.time(), 0.001))
        connection.call_parts(self, pool, payload, timeout_ms)

    async def next(self) -> bytes | None:
        """The next part, None at the end. Raises DropError."""
        while not self._parts:
            if self._error is not None:
                raise self._error
            if self._finished:
                return None
            await self._wait()
        part = self._parts.popleft()
        self._bytes -= len(part)
        if self._connection is not None and self._bytes <= limits.PARTS_BYTES_MAX // 2:
            self._connection.pause_reading(False)
        return part

    async def _wait(self) -> None:
        """For news, as long as the node may take: it keeps the time of the call."""
        assert self._connection is not None
        loop = asyncio.get_running_loop()
        self._news.clear()
        patience = max(self._deadline, loop.time()) + limits.MARGIN_S
        try:
            async with asyncio.timeout_at(None if patience == math.inf else patience):
                await self._news.wait()
        except TimeoutError:
            text = f"{self._settings}: the node did not answer in time"
            self._connection.requests.fail(lambda: CallTimeout(text))
            self._connection.abort(ConnectionLost(text))

    async def close(self, error: DropError | None = None) -> None:
        """CANCEL the call unless it has ended, and close; whoever waits in next() gets `error`."""
        connection = self._connection
        if connection is None:
            return
        if not self.done():
            self._given_up = True
            if connection.write_paused:
                connection.abort(ConnectionLost("the call was given up"))  # half of it was sent
            else:
                connection.requests.sweep(-math.inf)
        if error is not None and not self._finished:
            self.set_exception(error)
        connection.close()
        await asyncio.shield(connection.closed)

    # -- what the table of requests asks of who waits ---------------------------------------------

    def done(self) -> bool:
        return self._finished

    def cancelled(self) -> bool:
        return self._given_up

    def part(self, part: bytes, /) -> None:
        self._parts.append(part)
        self._bytes += len(part)
        if self._connection is not None and self._bytes > limits.PARTS_BYTES_MAX:
            self._connection.pause_reading(True)
        self._news.set()

    def set_result(self, result: bytes, /) -> None:
        if result:
            self._parts.append(result)
        self._finished = True
        self._news.set()

    def set_exception(self, exception: BaseException, /) -> None:
        self._error = exception
        self._finished = True
        self._news.set()

    # -- called by the connection -----------------------------------------------------------------

    def progress(self) -> None:
        """Nothing else waits to be sent."""

    def paused(self) -> None:
        """Nothing else waits to be sent."""

    def received(self, events: list[bytes]) -> None:
        raise AssertionError("the connection of a call has no subscription")

    def gap(self, lost: int) -> None:
        raise AssertionError("the connection of a call has no subscription")
