"""One connection on a blocking socket: one send and one recv per call, nothing else.

Timeouts are the kernel's (SO_RCVTIMEO): a Python-level timeout would add a poll() to every call.
Used by one thread at a time; which one is the business of blocking.py.
"""

from __future__ import annotations

import math
import select
import socket
import struct
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from drop._fast.codec import ANSWER, EVENT, GOAWAY, Batch, Decoder, Requests
from drop.client import limits
from drop.client.address import Address
from drop.client.terms import (
    again,
    at,
    first_generation,
    goodbye,
    subscription_ended,
    welcome_from,
)
from drop.errors import CallTimeout, ConnectionLost, DropError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from drop._fast.codec import Frame, Octets

KEEPALIVE = ((socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))


class Reply:
    """What one caller waits for; the part of a future that Requests uses."""

    __slots__ = ("error", "finished", "value")

    def __init__(self) -> None:
        self.value = b""
        self.error: BaseException | None = None
        self.finished = False

    def done(self) -> bool:
        return self.finished

    def cancelled(self) -> bool:
        return False

    def set_result(self, result: bytes, /) -> None:
        self.value = result
        self.finished = True

    def set_exception(self, exception: BaseException, /) -> None:
        self.error = exception
        self.finished = True


class SocketConnection:
    """Connects and shakes hands when it is made; raises ConnectionLost, Unauthorized.

    After any error but a node's answer it is `broken`: close it.
    """

    def __init__(self, address: Address, token: bytes, seconds: float) -> None:
        self.requests = Requests(first_generation())
        self.events: list[bytes] = []
        self.lost = 0
        self.broken = False
        self.idle_since = 0.0
        self._address = address
        self._decoder = Decoder(limits.HEADER + limits.SMALL_BODY_MAX)
        self._others: list[Frame] = []
        self._limit_s = math.inf
        try:
            self._socket = connect(address, seconds)
        except OSError as error:
            raise at(address, error) from None
        try:
            self._handshake(token, seconds)
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        self._socket.close()

    def shutdown(self) -> None:
        """End it from another thread: whoever is blocked in it wakes up with ConnectionLost."""
        with suppress(OSError):  # it has ended already
            self._socket.shutdown(socket.SHUT_RDWR)

    @property
    def reusable(self) -> bool:
        return not self.broken and self.requests.outstanding == 0

    def alive(self) -> bool:
        """Nothing was heard from the node while the connection was idle: no GOAWAY, no end."""
        try:
            self._socket.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    # -- one request ------------------------------------------------------------------------------

    def call(
        self, kind: int, pool: str, payload: Octets | str, timeout_ms: int, seconds: float
    ) -> bytes:
        """A CALL or PUBLISH and its answer. Raises DropError."""
        reply = Reply()
        self.requests.call(reply, kind, pool, payload, timeout_ms, math.inf)
        return self.await_reply(reply, seconds + limits.MARGIN_S)

    def send(self, seconds: float) -> None:
        """Write what is encoded."""
        self.limit(seconds)
        encoder = self.requests.encoder
        try:
            while encoder.size:  # large payloads, and what is before them
                self._send_rest(memoryview(encoder.take()), seconds)
            data = encoder.take()
            sent = self._socket.send(data)
            if sent < len(data):
                self._send_rest(memoryview(data)[sent:], seconds)
        except BlockingIOError:
            self.broken = True
            raise CallTimeout(
                f"{self._address}: the node reads too slowly: {seconds:g} s"
            ) from None
        except OSError as error:
            raise self._dead(self._last_words() or error) from None

    def send_now(self) -> None:
        """Write what is encoded if the kernel takes it; on a connection that is then closed."""
        with suppress(OSError):
            self._socket.send(self.requests.encoder.take(), socket.MSG_DONTWAIT)

    def _send_rest(self, data: memoryview, seconds: float) -> None:
        """A send came back early: interrupted, or as much as went in the time it had."""
        deadline = monotonic() + seconds
        while data:
            data = data[self._socket.send(data) :]
            if data and monotonic() > deadline:
                raise BlockingIOError

    def await_reply(self, reply: Reply, seconds: float) -> bytes:
        """Write what is encoded, then read until the reply is there."""
        self.send(seconds)
        deadline = 0.0
        while not reply.finished:
            if not self._receive_for(lambda: reply.finished and reply.error is None):
                self.give_up(f"no answer within {seconds:g} s")
            elif not reply.finished:  # a piece of a long answer
                now = monotonic()
                deadline = deadline or now + seconds
                if now > deadline:
                    self.give_up(f"no whole answer within {seconds:g} s")
        if reply.error is not None:
            raise reply.error
        return reply.value

    def give_up(self, text: str) -> None:
        """The node keeps the time of calls, and has not kept it: whoever waits gets CallTimeout."""
        self.broken = True
        self.requests.fail(lambda: CallTimeout(f"{self._address}: {text}"))

    def _receive_for(self, satisfied: Callable[[], bool]) -> bool:
        """Like receive; the end of the connection counts less than an answer just before it."""
        try:
            return self.receive()
        except DropError:
            if satisfied():
                return True
            raise

    def receive(self) -> bool:
        """Read once and hand out what came; False when nothing came in time."""
        try:
            size = self._socket.recv_into(self._decoder.get_buffer())
        except BlockingIOError:
            return False
        except OSError as error:
            raise self._dead(error) from None
        if size == 0:
            raise self._dead(ConnectionLost("the node closed the connection"))
        self._hand_out(size)
        return True

    def limit(self, seconds: float) -> None:
        """How long one send or recv may block. Two setsockopt, only when it changes."""
        if seconds == self._limit_s:
            return
        self._limit_s = seconds
        whole = 0 if seconds == math.inf else int(seconds)
        micros = 0 if seconds == math.inf else max(int(seconds % 1 * 1e6), whole == 0)
        value = struct.pack("@ll", whole, micros)  # struct timeval; all zero: for ever
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)

    # -- many calls -------------------------------------------------------------------------------

    def call_batch(self, batch: Batch, pool: str, timeout_ms: int, seconds: float) -> None:
        """Calls and answers at the same time: a node whose answers are not read stops reading.

        Raises ConnectionLost; what was outstanding has failed then, what was not sent is left.
        """
        poll = select.poll()
        output = memoryview(b"")
        heard = monotonic()
        while True:
            now = monotonic()
            if not output:
                if not len(self.requests.encoder):
                    self.requests.call_batch(
                        batch, pool, timeout_ms, now + seconds, limits.WINDOW, limits.OUTPUT_HIGH
                    )
                output = memoryview(self.requests.encoder.take())
            if batch.done:
                return
            wanted = select.POLLIN | select.POLLOUT if output else select.POLLIN
            poll.register(self._socket, wanted)
            ready = sum(events for _, events in poll.poll(limits.MARGIN_S * 1000))
            if ready & select.POLLOUT:
                output = self._send_some(output)
            if ready & ~select.POLLOUT and self._receive_for(lambda: batch.done):
                heard = now
            elif self.requests.sweep(now - limits.MARGIN_S):
                self.broken = True
                if now - heard > limits.MARGIN_S:
                    raise self._dead(ConnectionLost("the node let calls' time run out, silently"))

    def _send_some(self, output: memoryview) -> memoryview:
        try:
            return output[self._socket.send(output, socket.MSG_DONTWAIT) :]
        except BlockingIOError:
            return output
        except OSError as error:
            raise self._dead(self._last_words() or error) from None

    # -- inside -----------------------------------------------------------------------------------

    def _handshake(self, token: bytes, seconds: float) -> None:
        deadline = monotonic() + seconds
        self.requests.encoder.hello(token)
        self.send(seconds)
        try:
            while (frame := self._decoder.next_frame()) is None:
                self.limit(max(deadline - monotonic(), 0.001))
                size = self._socket.recv_into(self._decoder.get_buffer())
                if size == 0:
                    raise ConnectionLost("the node closed the connection before its WELCOME")
                self._decoder.received(size)
            welcome = welcome_from(frame)
        except BlockingIOError:
            text = f"no WELCOME within {seconds:g} s; is it a DROP node?"
            raise self._dead(ConnectionLost(text)) from None
        except (OSError, DropError) as error:
            raise self._dead(error) from None
        welcome.apply(self.requests)
        self._decoder.frame_max = welcome.frame_max

    def _hand_out(self, size: int) -> None:
        self._decoder.received(size)
        try:
            self._decoder.deliver(self.requests, self.events, self._others)
            if self._others:
                self._take_others()
        except DropError as error:
            raise self._dead(error) from None

    def _take_others(self) -> None:
        others, self._others = self._others, []
        for kind, _, code, _, body in others:
            if kind == GOAWAY:
                raise goodbye(code, body)
            if kind == ANSWER:
                raise subscription_ended(body)
            if kind != EVENT:
                raise ProtocolError(f"the node sent type 0x{kind:02x}, which nobody asked for")
            self.lost += int.from_bytes(body, "big")

    def _last_words(self) -> DropError | None:
        """A write failed: what the node said before it closed explains more than EPIPE."""
        try:
            size = self._socket.recv_into(self._decoder.get_buffer(), 0, socket.MSG_DONTWAIT)
            self._hand_out(size)
        except DropError as error:
            return error
        except OSError:
            pass
        return None

    def _dead(self, error: BaseException) -> DropError:
        """What to raise when the connection has ended; everything outstanding fails with it."""
        self.broken = True
        problem = at(self._address, error)
        self.requests.fail(lambda: again(problem))
        return problem


def connect(address: Address, seconds: float) -> socket.socket:
    """A connected, blocking socket. Raises OSError."""
    if address.path:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(seconds)
            connection.connect(address.path)
        except BaseException:
            connection.close()
            raise
    else:
        connection = socket.create_connection((address.host, address.port), seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep_alive(connection)
    connection.settimeout(None)
    return connection


def keep_alive(connection: socket.socket) -> None:
    """Let the kernel notice a host that has vanished, even for calls without a timeout."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE:
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
