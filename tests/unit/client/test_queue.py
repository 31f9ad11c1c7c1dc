"""Calls that wait in the client: in order, bounded, with an end."""

import asyncio
import math

import pytest

from drop._fast.codec import CALL
from drop.client import limits
from drop.client import queue as module
from drop.client.queue import Queue, Waiting
from drop.errors import ConnectionLost, Overloaded, TooLarge


class Room:
    """A connection that takes so many calls."""

    usable = True

    def __init__(self, calls: int) -> None:
        self.calls = calls
        self.sent: list[tuple[bytes, int]] = []

    def call(
        self, waiter: object, kind: int, pool: str, payload: bytes, timeout_ms: int, seconds: float
    ) -> bool:
        if payload == b"huge":
            raise TooLarge("huge")
        if len(self.sent) == self.calls:
            return False
        self.sent.append((payload, timeout_ms))
        return True


def waiting(payload: bytes, deadline: float = math.inf) -> Waiting:
    future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    return Waiting(future, CALL, "p", payload, deadline)


async def test_sends_in_order_while_there_is_room() -> None:
    queue, room = Queue(), Room(2)
    calls = [waiting(b"0"), waiting(b"1", 12.0), waiting(b"huge"), waiting(b"2")]
    for call in calls:
        queue.add(call)
    queue.send(room, 10.0)
    assert room.sent == [(b"0", 0), (b"1", 2000)]
    assert isinstance(calls[2].future.exception(), TooLarge)
    assert len(queue) == 1
    room.calls = 3
    queue.send(room, 10.0)
    assert room.sent[2:] == [(b"2", 0)]
    assert len(queue) == 0


async def test_skips_what_was_given_up() -> None:
    queue, room = Queue(), Room(9)
    gone, kept = waiting(b"gone"), waiting(b"kept")
    queue.add(gone)
    queue.add(kept)
    gone.future.cancel()
    queue.send(room, 0.0)
    assert room.sent == [(b"kept", 0)]


async def test_expires_anywhere_in_the_queue() -> None:
    queue = Queue()
    first, second = waiting(b"1", 9.0), waiting(b"2", 5.0)
    queue.add(first)
    queue.add(second)
    queue.expire(6.0, lambda: ConnectionLost("no"))
    assert isinstance(second.future.exception(), ConnectionLost)
    assert not first.future.done()
    queue.fail(lambda: ConnectionLost("closed"))
    assert str(first.future.exception()) == "closed"
    assert len(queue) == 0


async def test_is_bounded_in_calls_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_MAX", 2)
    monkeypatch.setattr(module, "WAITING_BYTES_MAX", 10)
    queue = Queue()
    queue.add(waiting(b"12345678"))
    with pytest.raises(Overloaded, match="8 bytes"):
        queue.add(waiting(b"123"))
    queue.add(waiting(b"1"))
    with pytest.raises(Overloaded, match="2 calls"):
        queue.add(waiting(b""))
    queue.fail(lambda: ConnectionLost("closed"))
    queue.add(waiting(b"1234567890"))
    assert len(queue) == 1
    assert limits.WAITING_MAX == 65_536
