"""`Client`: blocking calls from any number of threads.

A call borrows a connection that no other thread uses, or opens one, and gives it back: no lock is
held while a function runs, no thread is started, and there are as many connections as calls were
ever made at the same time (IDLE_MAX of them are kept).
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from functools import partial
from time import monotonic, perf_counter, sleep
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from drop._fast.codec import CALL, CAST, PUBLISH, Batch
from drop.client import limits
from drop.client.address import Address, default_address, default_token, parse_address
from drop.client.backoff import Backoff
from drop.client.blocking_parts import call_parts
from drop.client.blocking_subscription import BlockingSubscription
from drop.client.socket_connection import Reply, SocketConnection
from drop.client.terms import again, control_request, document, timeout_from
from drop.errors import ConnectionLost, DropError, Unauthorized

if TYPE_CHECKING:
    from drop._fast.codec import Octets


class Client:
    """One node. The arguments are those of AsyncClient; every method may be called by any thread.

    Connects at the first use or at connect(). A call whose connection is lost fails with
    ConnectionLost and is not sent again; the next one connects anew, trying for up to its timeout.
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
        where = default_address() if address is None else address
        self._address: Address = parse_address(where)
        self._token = default_token() if token is None else token
        self._timeout = timeout_from(timeout)
        self._connect_timeout = connect_timeout
        self._reconnect = reconnect
        self._name = name
        self._idle: list[SocketConnection] = []  # append and pop are atomic
        self._was_connected = False
        self._lost = False
        self._closed = False

    def __repr__(self) -> str:
        return f"<Client {self._name or self._address} {len(self._idle)} idle connections>"

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def connect(self) -> None:
        """Connect now instead of at the first call. Raises ConnectionLost, Unauthorized."""
        self._give(self._take(self._connect_timeout))

    def close(self) -> None:
        """Close what is idle; calls that other threads are in end as usual."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    # -- requests ---------------------------------------------------------------------------------

    def call(self, pool: str, payload: Octets | str, *, timeout: float | None = None) -> bytes:
        """Put a message into a pool and return the function's answer. Raises DropError."""
        return self._request(CALL, pool, payload, timeout)

    def call_parts(
        self, pool: str, payload: Octets | str, *, timeout: float | None = None
    ) -> Generator[bytes, None, None]:
        """Call, and iterate over the answer in parts as the function writes them (kind `exec`).

        Of other kinds the whole answer is the only part. The call is made when the first part is
        asked for; close() of the iterator, or dropping it, cancels what has not ended. An error
        behind some parts is raised behind them. `timeout` is that of the whole call.
        """
        timeout_ms, seconds = self._timeout if timeout is None else timeout_from(timeout)
        connection = self._take(seconds)
        try:
            yield from call_parts(connection, pool, payload, timeout_ms, seconds)
        finally:
            self._give(connection)

    def publish(self, pool: str, payload: Octets | str, *, timeout: float | None = None) -> None:
        """Put a message into a pool; returns as soon as the pool has taken it."""
        self._request(PUBLISH, pool, payload, timeout)

    def cast(self, pool: str, payload: Octets | str, *, timeout: float | None = None) -> None:
        """Send a message and forget it; waits only until the kernel has taken it."""
        timeout_ms, seconds = self._timeout if timeout is None else timeout_from(timeout)
        connection = self._take(seconds)
        try:
            connection.requests.call(None, CAST, pool, payload, timeout_ms, math.inf)
            connection.send(seconds)
        finally:
            self._give(connection)

    def call_many(
        self, pool: str, payloads: Iterable[Octets | str], *, timeout: float | None = None
    ) -> list[bytes | DropError]:
        """Call for each payload, pipelined; the answers in the order of the payloads.

        What fails is a DropError in the list.
        """
        timeout_ms, seconds = self._timeout if timeout is None else timeout_from(timeout)
        batch = Batch(list(payloads))
        while not batch.done:
            try:
                connection = self._take(seconds)
            except DropError as error:
                batch.refuse_unsent(partial(again, error))
                break
            try:
                connection.call_batch(batch, pool, timeout_ms, seconds)
            except ConnectionLost:
                self._lost = True  # its calls have failed; the others go over the next connection
            finally:
                self._give(connection)
        return cast("list[bytes | DropError]", batch.results)

    def subscribe(
        self, pool: str, filter: Octets | str = b"", *, wait: bool = False
    ) -> BlockingSubscription:
        """The answers of a pool (those that contain `filter`), on a connection of its own.

        In force when this returns. `wait`: slow the pool down rather than lose events.
        """
        octets = filter.encode() if isinstance(filter, str) else bytes(memoryview(filter))
        return BlockingSubscription(self._open, self._reconnect, pool, octets, wait=wait)

    def ping(self) -> float:
        """Seconds to the node and back."""
        connection = self._take(self._timeout[1])
        try:
            reply = Reply()
            start = perf_counter()
            connection.requests.ping(reply, b"", math.inf)
            connection.await_reply(reply, self._timeout[1])
            return perf_counter() - start
        finally:
            self._give(connection)

    def statistics(self, pool: str | None = None) -> dict[str, Any]:
        """The node's counters, or one pool's: docs/protocol.md section 6."""
        connection = self._take(self._timeout[1])
        try:
            reply = Reply()
            connection.requests.statistics(reply, pool, math.inf)
            return document(connection.await_reply(reply, self._timeout[1]))
        finally:
            self._give(connection)

    def control(self, op: str, **args: Any) -> dict[str, Any]:
        """An operation of the control plane; the node's reply, whether `ok` or not."""
        return document(self.call("$control", control_request(op, args)))

    # -- connections ------------------------------------------------------------------------------

    def _request(self, kind: int, pool: str, payload: Octets | str, timeout: float | None) -> bytes:
        timeout_ms, seconds = self._timeout if timeout is None else timeout_from(timeout)
        connection = self._take(seconds)
        try:
            return connection.call(kind, pool, payload, timeout_ms, seconds)
        finally:
            self._give(connection)

    def _take(self, seconds: float) -> SocketConnection:
        """A connection for this thread alone. Raises ConnectionLost, Unauthorized."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._connect(seconds)
            if monotonic() - connection.idle_since < limits.IDLE_CHECK_S or connection.alive():
                return connection
            self._lost = True
            connection.close()

    def _give(self, connection: SocketConnection) -> None:
        if connection.broken:
            self._lost = True
        if connection.reusable and not self._closed and len(self._idle) < limits.IDLE_MAX:
            connection.idle_since = monotonic()
            self._idle.append(connection)
        else:
            connection.close()

    def _connect(self, seconds: float) -> SocketConnection:
        """Once when there never was a connection; else again and again until the time is over."""
        if self._lost and not self._reconnect:
            raise ConnectionLost(f"{self._address}: the connection was lost (reconnect is off)")
        deadline = monotonic() + seconds
        backoff = Backoff()
        while True:
            self._check_open()
            try:
                connection = self._open(min(self._connect_timeout, seconds))
            except DropError as error:
                pause = backoff.next()
                over = monotonic() + pause >= deadline
                if over or isinstance(error, Unauthorized) or not self._was_connected:
                    raise
                sleep(pause)
            else:
                self._was_connected = True
                return connection

    def _open(self, seconds: float | None = None) -> SocketConnection:
        self._check_open()
        return SocketConnection(self._address, self._token, seconds or self._connect_timeout)

    def _check_open(self) -> None:
        if self._closed:
            raise ConnectionLost(f"{self._address}: the client is closed")
