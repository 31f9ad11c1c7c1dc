"""An answer in parts for a program that blocks: a part is read when the program asks for one.

In between, parts wait in the kernel; when it has taken what it can, the node stops reading from the
function, and so the function waits for the program.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator
from contextlib import suppress
from typing import TYPE_CHECKING

from drop._fast.codec import CALL
from drop.client.limits import MARGIN_S
from drop.client.socket_connection import Reply, SocketConnection
from drop.errors import DropError

if TYPE_CHECKING:
    from drop._fast.codec import Octets


class PartsReply(Reply):
    """A reply whose parts are kept until they are asked for."""

    __slots__ = ("given_up", "parts")

    def __init__(self) -> None:
        super().__init__()
        self.parts: deque[bytes] = deque()
        self.given_up = False

    def cancelled(self) -> bool:
        return self.given_up

    def part(self, part: bytes, /) -> None:
        self.parts.append(part)


def call_parts(
    connection: SocketConnection,
    pool: str,
    payload: Octets | str,
    timeout_ms: int,
    seconds: float,
) -> Generator[bytes, None, None]:
    """Calls, and gives the parts of the answer as they come. Raises DropError behind them.

    Left early, it cancels the call and leaves the connection broken.
    """
    reply = PartsReply()
    connection.requests.call(reply, CALL, pool, payload, timeout_ms, math.inf, True)
    sent = False
    try:
        connection.send(seconds + MARGIN_S)
        sent = True
        while not reply.finished:
            _receive(connection, reply, seconds)
            while reply.parts:
                yield reply.parts.popleft()
    finally:
        if not reply.finished:
            _leave(connection, reply, tell=sent)
    if reply.error is not None:
        raise reply.error
    if reply.value:
        yield reply.value


def _receive(connection: SocketConnection, reply: PartsReply, seconds: float) -> None:
    """Reads once. What ends the connection is in the reply then, behind the parts before it."""
    with suppress(DropError):
        if not connection.receive():
            # Silent for longer than the whole call may take: the node does not keep the time.
            connection.give_up(f"no part of the answer within {seconds + MARGIN_S:g} s")
    assert not connection.broken or reply.finished


def _leave(connection: SocketConnection, reply: PartsReply, *, tell: bool) -> None:
    """The connection cannot be used again: parts may be under way, or half of the payload is."""
    if tell and not connection.broken:
        reply.given_up = True
        connection.requests.sweep(-math.inf)
        connection.send_now()
    connection.broken = True
