"""A chain of two pools by subscription, beside one pool alone: CAST in, EVENT out, nothing lost.

A sender writes CASTs as fast as the node reads them; a subscriber with WAIT reads the last pool's
events. The mailbox says `overflow: block`, so a full pool slows its senders: what is counted went
through all of it.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import ExitStack, suppress
from functools import partial

from bench.system.figures import Row, Sample, at_least, median
from bench.system.load import PAYLOAD, TIMEOUT_MS, WARMUP_S, calls
from bench.system.node import Node, function
from bench.system.setting import Setting
from drop._fast.codec import ANSWER, CAST, EVENT, Encoder
from drop.cli.bench import Plan, open_connections
from drop.client.address import parse_address
from drop.client.limits import HEADER as HEADER_SIZE

NAME = "chain A -> B, 4 + 4 C workers w256"
INFLIGHT = 256
CASTS = 512  # frames in one write
SUBSCRIPTION = 1
BUFFER = 1 << 18
READ_SECONDS_MAX = 10.0


def chain(setting: Setting) -> list[Row]:
    command = setting.worker("c")
    functions = [
        function("single", command, 4, INFLIGHT, overflow="block"),
        function("a", command, 4, INFLIGHT, overflow="block"),
        function("b", command, 4, INFLIGHT, sub=[{"name": "a"}]),
    ]
    with Node(functions) as node:
        results = setting.alternate(
            NAME,
            single=partial(through, node.address, "single", "single", setting.seconds),
            chain=partial(through, node.address, "a", "b", setting.seconds),
            calls=partial(calls, node.address, "single", 1, 4 * INFLIGHT, setting.seconds),
        )
        _check_nothing_lost(node)
    rate = {name: median(samples, "rate") for name, samples in results.items()}
    return [
        Row(NAME, f"messages/s (yardstick: {what})", rate["chain"], rate[name], at_least(0.45))
        for name, what in (("single", "one pool"), ("calls", "calls of one pool"))
    ]


def through(address: str, first: str, last: str, seconds: float) -> Sample:
    """Events per second of `last` while `first` gets all that it can take."""
    plan = Plan(first, PAYLOAD, 2, 1, seconds, TIMEOUT_MS, verify=False)
    with ExitStack() as stack:
        sender, subscriber = open_connections(parse_address(address), b"", plan, stack)
        subscriber.settimeout(READ_SECONDS_MAX)
        events = Events(subscriber, last)
        stack.callback(_start_sender(sender, first))
        events.count_until(time.perf_counter() + WARMUP_S)
        start = time.perf_counter()
        count = events.count_until(start + seconds)
        return {"rate": count / (time.perf_counter() - start)}


class Events:
    """Counts the events of a pool by their bytes, and checks one header of every read."""

    HEADER = struct.pack(">IBBBBQ", HEADER_SIZE - 4 + len(PAYLOAD), EVENT, 0, 0, 0, SUBSCRIPTION)
    SIZE = HEADER_SIZE + len(PAYLOAD)

    def __init__(self, connection: socket.socket, pool: str) -> None:
        self._connection = connection
        self._buffer = bytearray(BUFFER)
        self._part = 0  # bytes received of the frame that is not complete
        _subscribe(connection, pool)

    def count_until(self, end: float) -> int:
        """The frames that end before this time (perf_counter)."""
        frames = 0
        while time.perf_counter() < end:
            received = self._connection.recv_into(self._buffer)
            if not received:
                raise RuntimeError("the node closed the subscriber's connection")
            frames += (self._part + received) // self.SIZE
            first = -self._part % self.SIZE  # where a frame begins in what was received
            head = self._buffer[first : min(first + len(self.HEADER), received)]
            if not self.HEADER.startswith(head):
                raise RuntimeError(f"a frame that is no event of {SUBSCRIPTION}: {head.hex(' ')}")
            self._part = (self._part + received) % self.SIZE
        return frames


def _subscribe(connection: socket.socket, pool: str) -> None:
    encoder = Encoder()
    encoder.subscribe(SUBSCRIPTION, pool, wait=True)
    connection.sendall(encoder.take())
    answer = connection.recv(HEADER_SIZE, socket.MSG_WAITALL)
    if answer[4] != ANSWER or answer[6] != 0:
        raise RuntimeError(f"{pool}: SUBSCRIBE was answered by {answer.hex(' ')}")


def _start_sender(connection: socket.socket, pool: str) -> partial[None]:
    """Sends for ever in a thread; calling what it returns ends that."""
    encoder = Encoder()
    for _ in range(CASTS):
        encoder.request(CAST, 0, pool, PAYLOAD, TIMEOUT_MS)
    frames = encoder.take()

    def send() -> None:
        with suppress(OSError):  # the other end of this is the shutdown below
            while True:
                connection.sendall(frames)

    thread = threading.Thread(target=send, name="sender", daemon=True)
    thread.start()
    return partial(_stop_sender, connection, thread)


def _stop_sender(connection: socket.socket, thread: threading.Thread) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    thread.join()


def _check_nothing_lost(node: Node) -> None:
    for pool in node.statistics()["pools"]:
        if pool["errors"] or pool["dropped"]:
            raise RuntimeError(
                f"{pool['name']}: errors {pool['errors']}, dropped {pool['dropped']}"
            )
