"""The events of a pool as a blocking iterator, on a connection of its own.

Events are read when the program asks for one; in between they wait in the kernel and at the node,
which drops (and counts) what does not fit, or holds the pool back with WAIT.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from threading import Event
from time import monotonic
from types import TracebackType
from typing import Self

from drop.client.backoff import Backoff
from drop.client.limits import SILENCE_PING_S, STEADY_S
from drop.client.socket_connection import Reply, SocketConnection
from drop.errors import DropError, Unauthorized

ANSWER_S = 30.0  # the node answers SUBSCRIBE at once; this only keeps a broken one from hanging us


class BlockingSubscription:
    """Iterate over it; close() (from any thread) or `with` ends it.

    `lost`: events that the node dropped because this program read too slowly. `reconnects`: how
    often the subscription was renewed; each time events may be missing without being counted.
    """

    def __init__(
        self,
        connect: Callable[[], SocketConnection],
        reconnect: bool,
        pool: str,
        filter: bytes,
        *,
        wait: bool,
    ) -> None:
        self.pool = pool
        self.reconnects = 0
        self._lost = 0  # on the connections before this one
        self._connect = connect
        self._reconnect = reconnect
        self._filter = filter
        self._wait = wait
        self._events: deque[bytes] = deque()
        self._closing = Event()
        self._backoff = Backoff()
        self._connection = self._renewed()

    def __repr__(self) -> str:
        return f"<BlockingSubscription {self.pool} lost={self.lost} reconnects={self.reconnects}>"

    @property
    def lost(self) -> int:
        return self._lost + self._connection.lost

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        self._connection.close()

    def close(self) -> None:
        """End it; a thread that waits for an event gets the end of the iteration."""
        self._closing.set()
        self._connection.shutdown()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        """The next event. Raises ConnectionLost when the node is gone and reconnect is off."""
        while not self._events:
            if self._closing.is_set():
                self._connection.close()
                raise StopIteration
            self._fill()
        return self._events.popleft()

    def _fill(self) -> None:
        """Wait for events, or for the connection's end and then renew it."""
        try:
            if not self._connection.receive():
                # Silent for SILENCE_PING_S. A dead node does not answer this; raises CallTimeout.
                reply = Reply()
                self._connection.requests.ping(reply, b"", math.inf)
                self._connection.await_reply(reply, SILENCE_PING_S)
        except DropError as error:
            self._collect()
            self._connection.close()
            if not self._closing.is_set():
                self._renew(error)
        self._collect()

    def _collect(self) -> None:
        self._events.extend(self._connection.events)
        self._connection.events.clear()

    def _renew(self, error: DropError) -> None:
        if not self._reconnect:
            raise error
        if monotonic() - self._since >= STEADY_S:
            self._backoff.reset()
        while not self._closing.wait(self._backoff.next()):
            try:
                connection = self._renewed()
            except Unauthorized:
                raise
            except DropError:
                continue
            self._lost += self._connection.lost
            self._connection = connection
            self.reconnects += 1
            if self._closing.is_set():
                connection.shutdown()
            return

    def _renewed(self) -> SocketConnection:
        """A new connection with the subscription in force. Raises what the node says."""
        self._since = monotonic()
        connection = self._connect()
        try:
            reply = Reply()
            connection.requests.subscribe(reply, self.pool, self._filter, self._wait, math.inf)
            connection.await_reply(reply, ANSWER_S)
            connection.limit(SILENCE_PING_S)
        except BaseException:
            connection.close()
            raise
        return connection
