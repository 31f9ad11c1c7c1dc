"""Nobody starves: what others do can delay a call by a bounded number of answers, never for good.

Time is not measured. The order in which a worker got the messages is the measure: its answers
carry a number that counts on.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from drop.testing.reference import Frame, Type, request
from system.dataplane import OBEDIENT, Dataplane
from system.gate import Gate
from system.wire import Wire

pytestmark = pytest.mark.system

COUNTING = ["sh", "-c", "n=0; while read m; do n=$((n+1)); echo $n; done"]


@contextmanager
def closed_loop(plane: Dataplane, pool: str, connections: int, depth: int) -> Iterator[None]:
    """Connections that call as fast as they are answered, until the block ends."""
    done = threading.Event()

    def call_on(wire: Wire) -> None:
        with wire:
            wire.call_each(pool, [b"flood"] * depth)
            while not done.is_set():
                assert wire.receive().code == 0
                wire.call(0, pool, b"flood")
            wire.frames(depth)

    threads = [threading.Thread(target=call_on, args=[plane.connect()]) for _ in range(connections)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("overflow", ["block", "default"])
def test_a_call_behind_a_flood(plane: Dataplane, gate: Gate, overflow: str) -> None:
    """Nobody who came later is served before it, and of a flood only what the mailbox took."""
    queue = 16 if overflow == "block" else 3000
    plane.pool("p", OBEDIENT, queue=queue, overflow=overflow)
    with plane.connect() as watcher, plane.connect() as flood, plane.connect() as wire:
        watcher.subscribe(1, "p")
        flood.call(0, "p", gate.message)
        gate.arrive()
        ping_and_call(flood, b"early", 1500)
        ping_and_call(wire, b"mine", 1)
        flood.call_each("p", [b"late"] * 100, 5000)
        gate.release()
        events = [frame.body for frame in watcher.frames(1 + 1500 + 1 + 100)]
    place = events.index(b"mine")
    if overflow == "block":  # one turn in line for each of the two
        assert place <= 2 * queue + 2
    else:
        assert place == 1501
    assert events[-1] == b"late"


def ping_and_call(wire: Wire, payload: bytes, count: int) -> None:
    """Returns when the node has begun with the calls: they come in one piece with the PING."""
    ping = Frame(Type.PING, id=1, body=b"x")
    calls = [request(Type.CALL, number, "p", payload) for number in range(1, count + 1)]
    wire.send(ping, *calls)
    assert wire.receive().type == Type.PONG


@pytest.mark.parametrize(("connections", "depth", "queue"), [(1, 2000, 16), (3, 1, 1), (8, 100, 4)])
def test_single_calls_beside_a_flood(
    plane: Dataplane, connections: int, depth: int, queue: int
) -> None:
    """Before a call is served there may be what the worker and the mailbox hold, and once what
    each other connection may send; the client's own slowness comes on top."""
    plane.pool("p", COUNTING, inflight=1, queue=queue, overflow="block")
    bound = 1 + queue + connections * (1 + min(depth, queue))
    with plane.connect() as wire, closed_loop(plane, "p", connections, depth):
        answers = [int(wire.ask("p", b"x")[1]) for _ in range(300)]
    assert (answers[-1] - answers[0]) / len(answers) <= 3 * bound


def test_a_flood_of_one_pool_leaves_another_alone(plane: Dataplane, gate: Gate) -> None:
    """Also when the mailbox is full, and its connections and sources stand in line."""
    plane.pool("held", OBEDIENT, queue=4, overflow="block")
    plane.pool("source", inflight=16)
    plane.pool("free")
    plane.subscribe("source", "held")
    with plane.connect() as flood, plane.connect() as events, plane.connect() as wire:
        flood.call(0, "held", gate.message)
        gate.arrive()
        flood.call_each("held", [b"x"] * 1000, 1)
        events.call_each("source", [b"x"] * 1000)
        for number in range(100):
            assert wire.ask("free", b"%d" % number) == ("ok", b"%d" % number)
        gate.release()
        assert len(flood.answers(1001)) == 1001
        assert len(events.answers(1000)) == 1000


def test_a_source_is_not_starved_by_callers(plane: Dataplane) -> None:
    """Events for a pool that callers keep full come through, a bounded number at a time."""
    plane.pool("source", inflight=16)
    plane.pool("p", COUNTING, queue=2, overflow="block")
    plane.subscribe("source", "p")
    with plane.connect() as wire, closed_loop(plane, "p", 4, 1):
        first = int(wire.ask("p", b"x")[1])
        wire.call_each("source", [b"event"] * 200)
        assert len(wire.answers(200)) == 200
        last = int(wire.ask("p", b"x")[1])
    assert last - first <= 200 * 40


def test_a_connection_that_sends_without_end_does_not_stop_the_others(plane: Dataplane) -> None:
    """Casts need no answer, so nothing but fair turns holds such a sender back."""
    plane.pool("p", inflight=64, overflow="drop-oldest")
    plane.pool("free")
    done = threading.Event()

    def cast_on(wire: Wire) -> None:
        with wire:
            while not done.is_set():
                for _ in range(100):
                    wire.cast("p", b"x" * 1000)

    sender = threading.Thread(target=cast_on, args=[plane.connect()])
    sender.start()
    with plane.connect() as wire:
        for number in range(200):
            assert wire.ask("free", b"%d" % number) == ("ok", b"%d" % number)
    done.set()
    sender.join()


def test_one_worker_answers_in_the_order_of_a_connection(plane: Dataplane) -> None:
    plane.pool("p", inflight=32, queue=10_000)
    with plane.connect() as wire:
        wire.call_each("p", (b"%d" % number for number in range(10_000)))
        assert [frame.id for frame in wire.frames(10_000)] == list(range(10_000))


def test_a_pool_with_one_worker_keeps_the_order_through_its_death(
    plane: Dataplane, gate: Gate
) -> None:
    """What comes back from a dead worker goes in front of what waited behind it."""
    pool = plane.pool("p", OBEDIENT, respawn=True, inflight=8, queue=1000, retries=5)
    with plane.connect() as wire:
        wire.call(0, "p", gate.message)
        gate.arrive()
        wire.call_each("p", (b"%d" % number for number in range(1, 500)), first_id=1)
        wire.ping()
        plane.kill(max(plane.processes))
        gate.leave()
        plane.wait_gone(pool)
        gate.pass_one()
        assert [frame.id for frame in wire.frames(500)] == list(range(500))
