"""`AsyncClient`: calls from any asyncio loop, pipelined over one connection.

call() costs one future and one encode: it goes straight to the connection while `_direct` is set.
In every other case (no connection yet, output that the kernel does not take, `calls_max`
outstanding) it waits in a bounded queue, in order, until there is room; so a call never blocks.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Iterable
from functools import partial
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from drop._fast.codec import CALL, CAST, PUBLISH, Batch
from drop.client import limits
from drop.client.address import default_address, default_token, parse_address
from drop.client.connection import Connection
from drop.client.keeper import Keeper, Settings
from drop.client.parts import Parts
from drop.client.queue import Queue, Waiting
from drop.client.subscription import Subscription
from drop.client.terms import again, control_request, document, timeout_from
from drop.errors import CallTimeout, ConnectionLost, DropError

if TYPE_CHECKING:
    from drop._fast.codec import Octets


class AsyncClient:
    """One node, one connection (and one more for each subscription and answer in parts).

    Without `address` and `token`: default_address() and default_token(), as the `drop` command.
    `timeout` (s) is that of calls that name none; math.inf: none. Connects at the first use or at
    connect(). Calls in flight when the connection is lost fail with ConnectionLost and are not sent
    again; later ones wait for the next connection, for up to their timeout.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        token: bytes | None = None,
        timeout: float = 30.0,
        connect_timeout: float = 5.0,
        reconnect: bool = True,
        name: str = "",
    ) -> None:
        self._settings = Settings(
            parse_address(default_address() if address is None else address),
            default_token() if token is None else token,
            connect_timeout,
            reconnect,
            name,
        )
        self._timeout = timeout_from(timeout)
        self._keeper = Keeper(self._settings, self)
        self._queue = Queue()
        self._connection: Connection | None = None
        self._direct: Connection | None = None  # the connection, when call() may use it at once
        self._turns: list[asyncio.Future[None]] = []  # those who wait for `_direct`
        self._subscriptions: set[Subscription] = set()
        self._parts: set[Parts] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._expiry: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        state = "connected" if self._connection is not None else "not connected"
        return f"<AsyncClient {self._settings} {state}>"

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def connect(self) -> None:
        """Connect now instead of at the first call. Raises ConnectionLost, Unauthorized."""
        if self._connection is None:
            await self._room(math.inf)

    async def close(self) -> None:
        """Fail what is outstanding, write what was cast, close. For good."""
        for subscription in list(self._subscriptions):
            await subscription.close()
        for parts in list(self._parts):
            await parts.close(ConnectionLost(f"{self._settings}: the client was closed"))
        await self._keeper.stop()

    # -- requests ---------------------------------------------------------------------------------

    def call(
        self, pool: str, payload: Octets | str, *, timeout: float | None = None
    ) -> asyncio.Future[bytes]:
        """Put a message into a pool; the future is the function's answer, or a DropError.

        Cancelling the future cancels the call at the node too, within `limits.WATCH_S`.
        Raises ValueError and TypeError at once for what could never be sent.
        """
        return self._request(CALL, pool, payload, timeout)

    async def call_parts(
        self,
        pool: str,
        payload: Octets | str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> AsyncGenerator[bytes, None]:
        """Call, and iterate over the answer in parts as the function writes them (kind `exec`).

        Of other kinds the whole answer is the only part. The call is made when the first part is
        asked for, on a connection of its own; aclose() cancels what has not ended. An error behind
        some parts is raised behind them. `timeout` is that of the whole call. A program that does
        not keep up holds the function back: at most `limits.PARTS_BYTES_MAX` wait here.
        """
        _, seconds = self._timeout if timeout is None else timeout_from(timeout)
        if self._connection is None:
            await self._room(seconds)
        self._keeper.check_open()
        parts = Parts(self._settings)
        self._parts.add(parts)
        try:
            await parts.start(pool, payload, seconds)
            while (part := await parts.next()) is not None:
                yield part
        finally:
            self._parts.discard(parts)
            await parts.close()

    def publish(
        self, pool: str, payload: Octets | str, *, timeout: float | None = None
    ) -> asyncio.Future[bytes]:
        """Put a message into a pool; done (b"") as soon as the pool has taken it.

        The function's answer goes to the subscribers of the pool.
        """
        return self._request(PUBLISH, pool, payload, timeout)

    async def cast(
        self,
        pool: str,
        payload: Octets | str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> None:
        """Send a message and forget it; waits only until there is room to write."""
        timeout_ms, seconds = self._timeout if timeout is None else timeout_from(timeout)
        connection = self._direct or await self._room(seconds)
        connection.call(None, CAST, pool, payload, timeout_ms, seconds)

    # call_many and cast hand their timeout on to the node: it is no asyncio.timeout().
    async def call_many(
        self,
        pool: str,
        payloads: Iterable[Octets | str],
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> list[bytes | DropError]:
        """Call for each payload; the answers in the order of the payloads.

        What fails is a DropError in the list. The cheapest way to make many calls: at most
        `limits.WINDOW` are outstanding at a time, and there is no future for each.
        """
        timeout_ms, seconds = self._timeout if timeout is None else timeout_from(timeout)
        progress = asyncio.Event()
        batch = Batch(list(payloads), progress.set, limits.WINDOW // 2)
        try:
            while not batch.done:
                if batch.unsent and batch.outstanding <= limits.WINDOW // 2:
                    try:
                        connection = await self._room(seconds)
                    except DropError as error:
                        batch.refuse_unsent(partial(again, error))
                        continue
                    connection.call_batch(batch, pool, timeout_ms, seconds)
                else:
                    progress.clear()
                    await progress.wait()
        finally:
            batch.cancelled = True
        return cast("list[bytes | DropError]", batch.results)

    def subscribe(
        self, pool: str, filter: Octets | str = b"", *, wait: bool = False
    ) -> Subscription:
        """The answers of a pool (those that contain `filter`), on a connection of its own.

        `wait`: slow the pool down rather than lose events.
        """
        self._keeper.check_open()
        subscription = Subscription(
            self._settings, pool, filter, wait=wait, on_close=self._subscriptions.discard
        )
        self._subscriptions.add(subscription)
        return subscription

    async def ping(self) -> float:
        """Seconds to the node and back, through the client's and the node's loops."""
        connection = await self._room(self._timeout[1])
        future = asyncio.get_running_loop().create_future()
        start = perf_counter()
        connection.ping(future, self._timeout[1])
        await future
        return perf_counter() - start

    async def statistics(self, pool: str | None = None) -> dict[str, Any]:
        """The node's counters, or one pool's: docs/protocol.md section 6."""
        connection = await self._room(self._timeout[1])
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        connection.statistics(future, pool, self._timeout[1])
        return document(await future)

    async def control(self, op: str, **args: Any) -> dict[str, Any]:
        """An operation of the control plane; the node's reply, whether `ok` or not."""
        return document(await self.call("$control", control_request(op, args)))

    # -- the way to the connection ----------------------------------------------------------------

    def _request(
        self, kind: int, pool: str, payload: Octets | str, timeout: float | None
    ) -> asyncio.Future[bytes]:
        future: asyncio.Future[bytes] = (self._loop or self._bind()).create_future()
        timeout_ms, seconds = self._timeout if timeout is None else timeout_from(timeout)
        connection = self._direct
        try:
            if connection is None or not connection.call(
                future, kind, pool, payload, timeout_ms, seconds
            ):
                self._enqueue(future, kind, pool, payload, seconds)
        except DropError as error:
            future.set_exception(error)
        return future

    def _bind(self) -> asyncio.AbstractEventLoop:
        """The loop of the first use is the client's."""
        self._loop = asyncio.get_running_loop()
        return self._loop

    def _enqueue(
        self,
        future: asyncio.Future[bytes],
        kind: int,
        pool: str,
        payload: Octets | str,
        seconds: float,
    ) -> None:
        loop = self._loop or self._bind()
        self._direct = None
        self._keeper.start()
        self._queue.add(Waiting(future, kind, pool, payload, loop.time() + seconds))
        if self._expiry is None:
            self._expiry = loop.call_later(limits.WATCH_S, self._expire)

    def _expire(self) -> None:
        loop = self._loop or self._bind()
        self._queue.expire(loop.time(), self._expired)
        self._expiry = loop.call_later(limits.WATCH_S, self._expire) if self._queue else None

    def _expired(self) -> DropError:
        """What a request that could not be sent in time fails with."""
        if self._connection is None:
            problem = self._keeper.problem or f"{self._settings}: still connecting"
            return ConnectionLost(f"not connected within the timeout of the call: {problem}")
        return CallTimeout(f"{self._settings}: no room to send within the timeout of the call")

    async def _room(self, seconds: float) -> Connection:
        """A connection that takes a request now. Raises ConnectionLost, CallTimeout."""
        loop = self._loop or self._bind()
        deadline = loop.time() + seconds
        while self._direct is None or self._direct.requests.full:
            self._direct = None
            self._keeper.start()
            turn: asyncio.Future[None] = loop.create_future()
            self._turns.append(turn)
            try:
                async with asyncio.timeout_at(None if seconds == math.inf else deadline):
                    await turn
            except TimeoutError as error:
                raise error if isinstance(error, DropError) else self._expired() from None
        return self._direct

    def _refresh(self) -> None:
        """Send what waits; when nothing is left, let everybody go directly again."""
        connection = self._connection
        if connection is None or not connection.usable:
            return
        self._queue.send(connection, connection.now)
        if self._queue or not connection.usable or connection.requests.full:
            return
        self._direct = connection
        self._wake(None)

    def _wake(self, error: DropError | None) -> None:
        turns, self._turns = self._turns, []
        for turn in turns:
            if turn.done():
                continue
            if error is None:
                turn.set_result(None)
            else:
                turn.set_exception(again(error))

    # -- called by the keeper and its connection --------------------------------------------------

    def connected(self, connection: Connection) -> None:
        self._connection = connection
        self._refresh()

    def disconnected(self, error: DropError) -> None:
        self._connection = self._direct = None

    def unreachable(self, error: DropError) -> None:
        self._queue.fail(partial(again, error))
        self._wake(error)

    def progress(self) -> None:
        if self._direct is None:
            self._refresh()

    def paused(self) -> None:
        self._direct = None

    def received(self, events: list[bytes]) -> None:
        raise AssertionError("the connection of the calls has no subscription")

    def gap(self, lost: int) -> None:
        raise AssertionError("the connection of the calls has no subscription")
