"""Full mailboxes under each policy, for calls and subscriptions: what is refused, what waits."""

from collections.abc import Callable

import pytest

from drop._fast.reactor import PUBLISHED
from drop.testing.reference import Frame, Type
from system.dataplane import OBEDIENT, Dataplane, balance, program
from system.gate import Gate
from system.wire import statuses

pytestmark = pytest.mark.system

QUEUE = 4


def numbers(start: int, stop: int) -> list[bytes]:
    return [b"%d" % number for number in range(start, stop)]


def full_pool(plane: Dataplane, gate: Gate, overflow: str) -> int:
    """One worker that is held, inflight 1: the mailbox takes QUEUE messages more."""
    pool: int = plane.pool("p", OBEDIENT, queue=QUEUE, overflow=overflow)
    plane.reactor.publish(pool, [gate.message])
    gate.arrive()
    return pool


@pytest.mark.parametrize("overflow", ["default", "reject"])
def test_calls_are_refused(plane: Dataplane, gate: Gate, overflow: str) -> None:
    full_pool(plane, gate, overflow)
    with plane.connect() as wire:
        wire.call_each("p", numbers(0, 10))
        refused = wire.answers(10 - QUEUE)
        assert set(refused) == set(range(QUEUE, 10))
        assert statuses(refused) == {"overloaded": 10 - QUEUE}
        gate.release()
        assert wire.answers(QUEUE) == {i: ("ok", b"%d" % i) for i in range(QUEUE)}
    books = balance(plane.figures("p"))
    assert books == {"answered": QUEUE + 1, "failed": 10 - QUEUE, "dropped": 0, "there": 0}


def test_the_oldest_call_gives_way(plane: Dataplane, gate: Gate) -> None:
    full_pool(plane, gate, "drop-oldest")
    with plane.connect() as wire:
        wire.call_each("p", numbers(0, 10))
        refused = wire.answers(10 - QUEUE)
        assert list(refused) == list(range(10 - QUEUE))
        assert statuses(refused) == {"overloaded": 10 - QUEUE}
        gate.release()
        assert set(wire.answers(QUEUE)) == set(range(10 - QUEUE, 10))
    balance(plane.figures("p"))


def test_calls_wait_and_the_connection_is_not_read(plane: Dataplane, gate: Gate) -> None:
    full_pool(plane, gate, "block")
    with plane.connect() as wire, plane.connect() as other:
        wire.call_each("p", numbers(0, 1000))
        plane.until(lambda: plane.figures("p")["waiting"] == QUEUE)
        other.ping()
        assert plane.figures("p")["messages"] == 1 + QUEUE
        gate.release()
        answers = wire.answers(1000)
    assert list(answers.values()) == [("ok", each) for each in numbers(0, 1000)]


@pytest.mark.parametrize(
    ("overflow", "kept"),
    [
        ("default", range(20)),
        ("block", range(20)),
        ("reject", range(QUEUE)),
        ("drop-oldest", range(20 - QUEUE, 20)),
    ],
)
def test_events_for_a_full_pool(plane: Dataplane, gate: Gate, overflow: str, kept: range) -> None:
    plane.pool("source", inflight=64)
    full_pool(plane, gate, overflow)
    plane.subscribe("source", "p")
    loses = overflow not in ("default", "block")
    with plane.connect() as watcher, plane.connect() as wire:
        watcher.subscribe(1, "p")
        wire.call_each("source", numbers(0, 20))
        if loses:
            wire.answers(20)
        else:  # the event that finds no room holds back its own answer, and those behind it
            assert set(wire.answers(QUEUE)) == set(range(QUEUE))
        gate.release()
        assert watcher.receive().body == b"held"
        events = [frame.body for frame in watcher.frames(len(kept))]
        assert events == [b"%d" % number for number in kept]
        if not loses:
            assert set(wire.answers(20 - QUEUE)) == set(range(QUEUE, 20))
    books = balance(plane.figures("p"))
    assert books == {
        "answered": len(kept) + 1,
        "failed": 0,
        "dropped": 20 - len(kept),
        "there": 0,
    }


@pytest.mark.parametrize(
    ("overflow", "accepted"), [("default", 50), ("block", 50), ("reject", 4), ("drop-oldest", 50)]
)
def test_batches_for_a_full_pool(
    plane: Dataplane, gate: Gate, overflow: str, accepted: int
) -> None:
    pool = full_pool(plane, gate, overflow)
    request = plane.reactor.publish(pool, numbers(0, 50))
    plane.settle()  # the batch has gone as far as it can
    gate.release()
    (told,) = plane.wait(PUBLISHED, request)
    assert told[2:] == (accepted, 50 - accepted)
    plane.until(lambda: plane.statistics()["pending"] == 0)
    balance(plane.figures("p"))


def test_a_chain_with_a_slow_end_loses_nothing(plane: Dataplane, gate: Gate) -> None:
    """A -> B -> C, C held: the whole chain stops, the client too, and memory with it."""
    for name in ("a", "b"):
        plane.pool(name, inflight=16, queue=QUEUE, overflow="block")
    plane.pool("c", OBEDIENT, queue=QUEUE, overflow="block")
    plane.subscribe("a", "b")
    plane.subscribe("b", "c")
    count, size = 2000, 1000
    messages = [b"%d-" % number + b"x" * size for number in range(count)]
    with plane.connect() as watcher, plane.connect() as wire:
        watcher.subscribe(1, "c")
        wire.call(0, "c", gate.message)
        gate.arrive()
        wire.call_each("a", messages, first_id=1)
        plane.until(lambda: plane.figures("b")["inflight"] == 16)
        plane.until(lambda: plane.figures("a")["waiting"] == QUEUE)
        plane.until(lambda: plane.statistics()["memory"]["in_use"] < 1 << 20)
        assert plane.figures("a")["messages"] < 100
        gate.release()
        assert len(wire.answers(count + 1)) == count + 1
        events = [frame.body for frame in watcher.frames(count + 1)]
    assert events == [b"held", *messages]
    for name in ("a", "b", "c"):
        assert balance(plane.figures(name))["dropped"] == 0


def test_a_worker_whose_answer_finds_no_room_is_not_blamed(plane: Dataplane, gate: Gate) -> None:
    """It has answered in time: that nobody reads it is the fault of the pool behind it."""
    source = plane.pool("source", inflight=8, timeout_ms=200)
    full_pool(plane, gate, "block")
    plane.subscribe("source", "p")
    with plane.connect() as wire, plane.connect() as clock:
        wire.call_each("source", numbers(0, 20))
        wire.answers(QUEUE)
        plane.pool("clock", OBEDIENT, timeout_ms=500)
        assert clock.ask("clock", b"half")[0] == "timeout"  # more than source's timeout is over
        assert plane.figures("source")["workers"] == 1
        gate.release()
        assert statuses(wire.answers(20 - QUEUE)) == {"ok": 20 - QUEUE}
    assert not [each for each in plane.told if each[1] == source]


# ---- subscriptions to every worker --------------------------------------------------------------


def test_all_reaches_every_worker(plane: Dataplane) -> None:
    plane.pool("source", inflight=16)
    plane.pool("p", ["sh", "-c", 'while read m; do echo "$$ $m"; done'], workers=3)
    plane.subscribe("source", "p", mode="all")
    with plane.connect() as watcher, plane.connect() as wire:
        watcher.subscribe(1, "p")
        wire.call_each("source", numbers(0, 20))
        wire.answers(20)
        events = [frame.body.split() for frame in watcher.frames(60)]
    by_worker: dict[bytes, list[bytes]] = {}
    for pid, message in events:
        by_worker.setdefault(pid, []).append(message)
    assert list(by_worker.values()) == [numbers(0, 20)] * 3


def test_all_waits_for_the_slowest_worker(
    plane: Dataplane, make_gate: Callable[[str], Gate]
) -> None:
    plane.pool("source", inflight=64)
    plane.pool("p", OBEDIENT, workers=2, queue=QUEUE)
    plane.subscribe("source", "p", mode="all")
    gate = make_gate("slow")
    with plane.connect() as watcher, plane.connect() as wire:
        wire.call(1000, "p", gate.message)  # holds one of the two
        gate.arrive()
        watcher.subscribe(1, "p")
        wire.call_each("source", numbers(0, 50))
        assert set(wire.answers(QUEUE)) == set(range(QUEUE))
        gate.release()
        assert len(wire.answers(1 + 50 - QUEUE)) == 1 + 50 - QUEUE
        bodies = [frame.body for frame in watcher.frames(101)]
    assert sorted(bodies) == sorted([b"held", *numbers(0, 50), *numbers(0, 50)])
    assert balance(plane.figures("p"))["dropped"] == 0


def test_filters_are_bytes_anywhere_in_the_answer(plane: Dataplane) -> None:
    plane.pool("source", program("frames", "echo"), kind="frame")
    plane.pool("p", program("frames", "echo"), kind="frame")
    plane.subscribe("source", "p", b"\x00,\xff")
    messages = [b"a\x00,\xffb", b"\x00,", b"\x00,\xff", b"", b"\xff,\x00"]
    with plane.connect() as watcher, plane.connect() as wire:
        watcher.subscribe(1, "p")
        watcher.subscribe(2, "source", b"\xff")
        wire.call_each("source", messages)
        wire.answers(len(messages))
        got = [(frame.id, frame.body) for frame in watcher.frames(5)]
    assert {body for id, body in got if id == 1} == {messages[0], messages[2]}
    assert [body for id, body in got if id == 2] == [messages[0], messages[2], messages[4]]


def test_an_event_with_a_newline_for_a_line_pool_is_counted(plane: Dataplane) -> None:
    plane.pool("source", program("frames", "echo"), kind="frame")
    plane.pool("p")
    plane.subscribe("source", "p")
    with plane.connect() as wire:
        wire.call_each("source", [b"a\nb", b"fine"])
        wire.answers(2)
    plane.until(lambda: plane.figures("p")["answers"] == 1)
    assert plane.figures("p")["dropped"] == {"bad_request": 1}


# ---- subscriptions of clients -------------------------------------------------------------------

PING, PONG = Frame(Type.PING, id=1, body=b"x"), Frame(Type.PONG, id=1, body=b"x")
EVENT_BYTES = 100_000
EVENTS = 400  # more than the kernel's buffers and the node's 1 MiB hold


def test_a_lossy_subscriber_is_told_what_it_lost(plane: Dataplane) -> None:
    plane.pool("p", inflight=16)
    with plane.connect(receive_buffer=4096) as lazy, plane.connect() as wire:
        lazy.subscribe(7, "p")
        for number in range(EVENTS):
            assert wire.ask("p", b"%06d" % number + b"x" * EVENT_BYTES)[0] == "ok"
        lazy.send(PING)  # is answered behind everything that waits for it to read
        frames = list(iter(lazy.receive, PONG))
        assert wire.ask("p", b"%06d" % EVENTS)[0] == "ok"
        frames.append(lazy.receive())
        if frames[-1].flags:
            frames.append(lazy.receive())
    got = lost = 0
    for frame in frames:
        assert (frame.type, frame.id) == (Type.EVENT, 7)
        if frame.flags:
            lost += int.from_bytes(frame.body, "big")
        else:
            assert int(frame.body[:6]) == got + lost  # the gap is told where it is
            got += 1
    assert lost > 0
    assert got + lost == EVENTS + 1


def test_a_waiting_subscriber_loses_nothing(plane: Dataplane) -> None:
    plane.pool("p", inflight=16, queue=EVENTS)
    with plane.connect(receive_buffer=4096) as lazy, plane.connect() as wire:
        lazy.subscribe(7, "p", wait=True)
        for number in range(EVENTS):
            wire.cast("p", b"%06d" % number + b"x" * EVENT_BYTES)
        plane.until(lambda: plane.figures("p")["waiting"] > 0)
        assert plane.statistics()["memory"]["in_use"] < 128 << 20
        got = [int(frame.body[:6]) for frame in lazy.frames(EVENTS)]
    assert got == list(range(EVENTS))


def test_a_waiting_subscriber_that_goes_lets_the_pool_go_on(plane: Dataplane) -> None:
    plane.pool("p", inflight=16, queue=EVENTS)
    with plane.connect() as wire:
        lazy = plane.connect(receive_buffer=4096)
        lazy.subscribe(7, "p", wait=True)
        wire.call_each("p", [b"x" * EVENT_BYTES] * EVENTS)
        plane.until(lambda: plane.figures("p")["waiting"] > 0)
        lazy.vanish()
        assert statuses(wire.answers(EVENTS)) == {"ok": EVENTS}


def test_unsubscribe_ends_the_events(plane: Dataplane) -> None:
    plane.pool("p")
    with plane.connect() as wire:
        wire.subscribe(7, "p")
        wire.call(1, "p", b"one")
        seen = wire.frames(2)
        assert {(frame.type, frame.body) for frame in seen} == {
            (Type.EVENT, b"one"),
            (Type.ANSWER, b"one"),
        }
        wire.send(Frame(Type.UNSUBSCRIBE, id=7))
        assert wire.answer(7) == ("ok", b"")
        assert wire.ask("p", b"two") == ("ok", b"two")
        wire.send(Frame(Type.UNSUBSCRIBE, id=7))
        assert wire.answer(7)[0] == "bad_request"
