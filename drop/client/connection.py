"""One connection on an asyncio loop: bytes in and out, and the watch over a node that falls silent.

Requests are encoded into one buffer that leaves once per loop turn, large payloads in slices as the
kernel takes them; answers are completed in place,
many per read. There is no timer per call: the node keeps the deadlines, and one coarse timer of the
connection notices a node that does not. Who sends what, and reconnecting, is the owner's.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Protocol, cast

from drop._fast.codec import ANSWER, CALL, EVENT, GOAWAY, Batch, Decoder, Requests
from drop.client import limits
from drop.client.address import Address
from drop.client.terms import (
    Welcome,
    again,
    at,
    first_generation,
    goodbye,
    subscription_ended,
    welcome_from,
)
from drop.errors import ConnectionLost, DropError, ProtocolError

if TYPE_CHECKING:
    from drop._fast.codec import Frame, Octets, PartsWaiter, Waiter


class Owner(Protocol):
    """Who uses a connection. Called on the loop, between frames; must not block."""

    def progress(self) -> None:
        """Answers came or output left: there may be room again."""

    def paused(self) -> None:
        """Nothing more can be sent here: until the next progress(), or for good."""

    def received(self, events: list[bytes]) -> None:
        """Events, in order; the list is the connection's."""

    def gap(self, lost: int) -> None:
        """The node dropped that many events."""


class Connection(asyncio.BufferedProtocol):
    """Made by the loop's create_connection; `welcomed`, then `closed`, tell how it goes."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        address: Address,
        token: bytes,
        owner: Owner,
        *,
        events: bool = False,
    ) -> None:
        self.requests = Requests(first_generation())
        self.welcome: Welcome | None = None
        self.welcomed: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[DropError] = loop.create_future()
        self.write_paused = False
        self.now = loop.time()  # of this loop turn, roughly: deadlines are coarse
        self._loop = loop
        self._address = address
        self._token = token
        self._owner = owner
        self._decoder = Decoder(limits.HEADER + limits.SMALL_BODY_MAX)
        self._events: list[bytes] | None = [] if events else None
        self._others: list[Frame] = []
        self._transport: asyncio.Transport | None = None
        self._error: DropError | None = None
        self._flushing = False
        self._watching: asyncio.TimerHandle | None = None
        self._heard = self.now
        self._asked = False
        self._read_paused = False
        self._rest: memoryview | None = None  # of a large payload that is being written

    # -- sending ----------------------------------------------------------------------------------

    def call(
        self,
        waiter: Waiter | None,
        kind: int,
        pool: str,
        payload: Octets | str,
        timeout_ms: int,
        seconds: float,
    ) -> bool:
        """Send a CALL or PUBLISH, or with no waiter a CAST. False: no room, nothing was done."""
        if not self._flushing:
            self.touch()
        waiting = self.requests.call(waiter, kind, pool, payload, timeout_ms, self.now + seconds)
        if waiting >= limits.OUTPUT_HIGH:
            self._write()
        return waiting > 0

    def call_parts(
        self, waiter: PartsWaiter, pool: str, payload: Octets | str, timeout_ms: int
    ) -> None:
        """Send a CALL whose waiter takes the answer in parts and keeps its time by itself."""
        self.touch()
        self.requests.call(waiter, CALL, pool, payload, timeout_ms, math.inf, True)

    def call_batch(self, batch: Batch, pool: str, timeout_ms: int, seconds: float) -> None:
        """Send calls of the batch while its window, `calls_max` and the kernel allow it."""
        self.touch()
        deadline = self.now + seconds
        while self.usable and self.requests.call_batch(
            batch, pool, timeout_ms, deadline, limits.WINDOW, limits.OUTPUT_HIGH
        ):
            self._write()

    def ping(self, waiter: Waiter, seconds: float) -> None:
        self.touch()
        self.requests.ping(waiter, b"", self.now + seconds)

    def statistics(self, waiter: Waiter, pool: str | None, seconds: float) -> None:
        self.touch()
        self.requests.statistics(waiter, pool, self.now + seconds)

    def subscribe(
        self, waiter: Waiter, pool: str, filter: bytes, wait: bool, seconds: float
    ) -> None:
        self.touch()
        self.requests.subscribe(waiter, pool, filter, wait, self.now + seconds)

    def touch(self) -> None:
        """Something is about to be encoded in this loop turn: write it at the turn's end."""
        self.now = self._loop.time()
        if self.requests.outstanding == 0:
            self._heard = self.now
            self._asked = False
        if self._watching is None and not self.closed.done():
            self._watching = self._loop.call_later(limits.WATCH_S, self._watch)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        self._write()

    def _write(self, *, everything: bool = False) -> None:
        """Give the transport what is encoded; of large payloads what it takes, or `everything`."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if (self._rest or self.requests.encoder.size) and not self._write_pieces(
            transport, everything
        ):
            return
        data = self.requests.encoder.take()
        if data:
            transport.write(data)

    def _write_pieces(self, transport: asyncio.Transport, everything: bool) -> bool:
        """Whether all of the large payloads were given away; resume_writing() goes on with them."""
        while everything or not self.write_paused:
            if not self._rest:
                if not self.requests.encoder.size:
                    return True
                self._rest = memoryview(self.requests.encoder.take())
            transport.write(self._rest[: limits.SLICE])
            self._rest = self._rest[limits.SLICE :]
        return False

    @property
    def usable(self) -> bool:
        """Requests may be sent: welcomed, not ending, and the kernel takes output."""
        return self.welcome is not None and not self.write_paused and not self.ending

    @property
    def ending(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def close(self, error: DropError | None = None) -> None:
        """Write what is encoded, then close; the first error given is the one that is told.

        A peer that does not read has CLOSE_S for what is still to be written.
        """
        self._error = self._error or error
        if self._transport is None or self._transport.is_closing():
            return
        self._owner.paused()
        self._write(everything=True)
        self._transport.close()
        if self._watching is not None:
            self._watching.cancel()
        self._watching = self._loop.call_later(limits.CLOSE_S, self._transport.abort)

    def abort(self, error: DropError) -> None:
        """Close without writing: the peer is dead or talks nonsense."""
        self._error = self._error or error
        if self._transport is not None:
            self._owner.paused()
            self._transport.abort()

    def pause_reading(self, paused: bool) -> None:
        """Hold the node back, or let it go on."""
        if self._transport is None or self._transport.is_closing() or paused == self._read_paused:
            return
        self._read_paused = paused
        self._heard = self._loop.time()
        (self._transport.pause_reading if paused else self._transport.resume_reading)()

    # -- called by the transport ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio.Transport, so it cannot be asked for
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=limits.TRANSPORT_HIGH)
        self.requests.encoder.hello(self._token)
        self._write()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._decoder.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        self._heard = self._loop.time()
        self._asked = False
        self._decoder.received(nbytes)
        try:
            if self.welcome is None and not self._handshake():
                return
            self._decoder.deliver(self.requests, self._events, self._others)
            if self._others:
                self._take_others()
        except DropError as error:
            self.abort(error)
            return
        if self._events:
            self._owner.received(self._events)
            self._events.clear()
        self._owner.progress()

    def eof_received(self) -> bool:
        return False  # the node has said all it will: close

    def pause_writing(self) -> None:
        self.write_paused = True
        self._owner.paused()

    def resume_writing(self) -> None:
        self.write_paused = False
        self._heard = self._loop.time()  # a node that reads is not dead: this may take a while
        self._write()
        if not self.write_paused:
            self._owner.progress()

    def connection_lost(self, exc: Exception | None) -> None:
        reason = exc or ConnectionLost("the connection ended")
        error = at(self._address, self._error or reason)
        self._owner.paused()  # first: those who fail now may call again at once
        if self._watching is not None:
            self._watching.cancel()
        self.requests.fail(lambda: again(error))
        if not self.welcomed.done():
            self.welcomed.set_exception(error)
        if not self.closed.done():
            self.closed.set_result(error)

    # -- frames that are not answers --------------------------------------------------------------

    def _handshake(self) -> bool:
        frame = self._decoder.next_frame()
        if frame is None:
            return False
        self.welcome = welcome_from(frame)
        self.welcome.apply(self.requests)
        self._decoder.frame_max = self.welcome.frame_max
        if not self.welcomed.done():
            self.welcomed.set_result(None)
        if self._events is not None:
            self.touch()
        return True

    def _take_others(self) -> None:
        others, self._others = self._others, []
        for kind, _, code, _, body in others:
            if kind == GOAWAY:
                self.close(goodbye(code, body))
            elif kind == EVENT and self._events is not None:
                self._owner.gap(int.from_bytes(body, "big"))
            elif kind == ANSWER:
                self.close(subscription_ended(body))
            else:
                raise ProtocolError(f"the node sent type 0x{kind:02x}, which nobody asked for")

    # -- the watch --------------------------------------------------------------------------------

    def _watch(self) -> None:
        now = self._loop.time()
        silence = 0.0 if self._read_paused else now - self._heard
        failed = self.requests.sweep(now - limits.MARGIN_S)
        busy = self.requests.outstanding > 0
        waiting = busy or self._events is not None
        if failed and silence >= limits.MARGIN_S:
            self.abort(ConnectionLost("the node let a call's time run out and is silent"))
        elif waiting and silence >= limits.SILENCE_MAX_S:
            self.abort(ConnectionLost(f"the node has been silent for {silence:.0f} s"))
        elif waiting and silence >= limits.SILENCE_PING_S and not self._asked:
            self._asked = True
            self.requests.encoder.ping(0)
        self._write()
        self._watching = None
        if waiting and not self.ending:
            pause = limits.WATCH_S if busy else limits.WATCH_IDLE_S
            self._watching = self._loop.call_later(pause, self._watch)
        if failed:
            self._owner.progress()


async def open_connection(connection: Connection, address: Address, seconds: float) -> None:
    """Connect and shake hands. Raises ConnectionLost, Unauthorized or ProtocolError."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            if address.path:
                await loop.create_unix_connection(lambda: connection, address.path)
            else:
                await loop.create_connection(lambda: connection, address.host, address.port)
            await connection.welcomed
    except TimeoutError:
        error = ConnectionLost(f"{address}: no WELCOME within {seconds:g} s; is it a DROP node?")
        connection.abort(error)
        raise error from None
    except OSError as error:
        if isinstance(error, DropError):
            raise
        raise at(address, error) from None
    except asyncio.CancelledError:
        connection.abort(ConnectionLost("the client was closed"))
        raise
