"""For tests of discovery: heralds on 127.0.0.1, and a node that speaks through the reference codec.

Waiting is for packets or for a herald's event; WAIT only ends a test that hangs.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from drop._fast.herald import Conflict, Heard, Herald, Left
from drop.testing.beacons import Beacon, Type, decode, encode

WAIT = 20.0
INTERVAL_MS = 20
KEY, OTHER_KEY = b"k" * 32, b"K" * 32

Address = tuple[str, int]


def open_socket() -> socket.socket:
    """A UDP socket on 127.0.0.1 with a port of its own."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    return made


def give(herald: Herald, own: socket.socket, *destinations: Address, **how: bool) -> Address:
    """Hands a socket over; returns where it is."""
    where: Address = own.getsockname()
    herald.set_sockets([(own.fileno(), [(*to, 0) for to in destinations])], **how)
    own.detach()
    return where


@contextmanager
def running(number: int, *, keys: tuple[bytes, ...] = (KEY,), **more: int) -> Iterator[Herald]:
    """A herald of node NUMBER that runs, has keys and content, and no socket."""
    options = {"incarnation": 5, "interval_ms": INTERVAL_MS, "peers_max": 16, **more}
    herald = Herald(node_id=bytes([number]) * 16, **options)
    herald.set_keys(keys)
    announce(herald, f"node-{number}")
    herald.start()
    try:
        yield herald
    finally:
        herald.stop()


def announce(herald: Herald, name: str) -> None:
    herald.announce(
        name=name, namespace="default", version="1.2.3", port=8085, addresses=["127.0.0.1", "::1"]
    )


def next_happenings(herald: Herald) -> list[Heard | Left | Conflict]:
    """Waits until something has happened."""
    assert select.select([herald.event_fd()], [], [], WAIT)[0], "nothing happens"
    return herald.take()


def next_happening(herald: Herald) -> Heard | Left | Conflict:
    (happening,) = next_happenings(herald)
    return happening


class Node:
    """Another node: a socket, and what it says next."""

    def __init__(self, herald: Herald, number: int = 200, *, key: bytes = KEY) -> None:
        self.herald = herald
        self.key = key
        self.socket = open_socket()
        self.socket.settimeout(WAIT)
        self.address: Address = self.socket.getsockname()
        self.to = give(herald, open_socket(), self.address)
        self.beacon = Beacon(bytes([number]) * 16, 10, 77, 0, name="other", port=1234)

    def send(self, data: bytes) -> bytes:
        self.socket.sendto(data, self.to)
        return data

    def say(self, kind: Type = Type.BEACON, **changed: object) -> bytes:
        """Sends the next packet of this life; returns its bytes."""
        said = replace(self.beacon.next(**changed), type=kind)
        self.beacon = replace(said, type=Type.BEACON, nonce=0)
        return self.send(encode(said, self.key))

    def hear(self, wanted: Callable[[Beacon], bool]) -> Beacon:
        """The next packet of the herald's that is wanted, past others."""
        while True:
            beacon = decode(self.socket.recv(2000), [KEY, OTHER_KEY])
            if wanted(beacon):
                return beacon

    def hear_probe(self) -> int:
        return self.hear(lambda beacon: beacon.type is Type.PROBE).nonce

    def meet(self) -> Heard:
        """Is heard and asked, and answers."""
        self.say()
        self.say(nonce=self.hear_probe())
        happening = next_happening(self.herald)
        assert isinstance(happening, Heard)
        return happening

    def until(self, condition: Callable[[dict[str, int]], bool]) -> dict[str, int]:
        """Waits, a beacon of the herald's at a time, until its counters are so."""
        while not condition(statistics := self.herald.statistics()):
            self.socket.recv(2000)
        return statistics

    def close(self) -> None:
        self.socket.close()


@contextmanager
def met(number: int = 1, **more: object) -> Iterator[Node]:
    """A running herald with a node beside it, which is known."""
    with alone(number, **more) as node:
        node.meet()
        yield node


@contextmanager
def alone(number: int = 1, **more: object) -> Iterator[Node]:
    """A running herald with a node beside it, which has said nothing."""
    with running(number, **more) as herald:  # type: ignore[arg-type]
        node = Node(herald)
        try:
            yield node
        finally:
            node.close()
