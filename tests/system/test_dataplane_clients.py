"""Clients that are slow, half there or gone harm themselves only, and memory stays bounded."""

from collections.abc import Callable

import pytest

from drop.testing.reference import Frame, Type, hello, request
from system.dataplane import OBEDIENT, Dataplane, balance, program
from system.gate import Gate
from system.wire import Wire, statuses

pytestmark = pytest.mark.system

StartPlane = Callable[..., Dataplane]


def check_unharmed(plane: Dataplane) -> None:
    """Another client is answered, in the pool that the culprit used."""
    with plane.connect() as wire:
        for number in range(20):
            assert wire.ask("p", b"%d" % number) == ("ok", b"%d" % number)


# ---- slow readers -------------------------------------------------------------------------------


def test_a_client_that_never_reads_is_slowed_then_cut(start_plane: StartPlane) -> None:
    """500 MB of answers are asked for; what the node holds of them is bounded throughout."""
    plane = start_plane(slow_client_ms=300, calls_max=64)
    plane.pool("p", inflight=64)
    with plane.connect(receive_buffer=4096) as slow:
        slow.socket.settimeout(0.05)
        frame = request(Type.CALL, 1, "p", b"x" * 100_000).encode()
        sent = 0
        try:
            while sent < 5000:
                slow.socket.sendall(frame)
                sent += 1
        except (TimeoutError, ConnectionError):
            pass  # the node does not read from who does not read
        assert sent < 5000
        assert plane.statistics()["memory"]["in_use"] < 32 << 20
        check_unharmed(plane)
        plane.until(lambda: plane.statistics()["connections"]["cut_slow"] == 1, turns=1_000_000)
        slow.socket.settimeout(30)
        slow.rest()  # ends
    check_unharmed(plane)
    plane.until(lambda: plane.statistics()["pending"] == 0)
    figures = plane.statistics()
    assert figures["connections"]["open"] <= 1
    assert figures["memory"]["in_use"] < 1 << 20
    balance(plane.figures("p"))


def test_a_client_that_reads_slowly_but_reads_is_not_cut(start_plane: StartPlane) -> None:
    plane = start_plane(slow_client_ms=1000)
    plane.pool("p", OBEDIENT, inflight=64, queue=1000)
    plane.pool("clock", OBEDIENT, respawn=True, timeout_ms=300)
    with plane.connect(receive_buffer=4096) as slow, plane.connect() as clock:
        slow.call_each("p", [b"long 100000"] * 200)
        plane.until(lambda: plane.figures("p")["answers"] > 100)
        for _ in range(5):  # more than slow_client_ms altogether
            assert clock.ask("clock", b"half")[0] == "timeout"
            slow.frames(10)
        assert len(slow.frames(150)) == 150
    assert plane.statistics()["connections"]["cut_slow"] == 0


def test_output_is_bounded_whatever_a_client_asked_for(start_plane: StartPlane) -> None:
    """1000 answers of 1 MiB to small questions: 64 MiB may wait, then the client is cut at once."""
    plane = start_plane(payload_max=1 << 20, memory_max=512 << 20)
    plane.pool("p", OBEDIENT, inflight=64, queue=2000)
    with plane.connect(receive_buffer=4096) as slow:
        slow.call_each("p", [b"long 1000000"] * 1000)
        plane.until(lambda: plane.statistics()["connections"]["cut_slow"] == 1, turns=1_000_000)
        slow.rest()
    check_unharmed(plane)
    assert plane.statistics()["memory"]["in_use"] < 1 << 20


def test_a_waiting_subscriber_that_never_reads_is_cut(start_plane: StartPlane) -> None:
    plane = start_plane(slow_client_ms=300)
    plane.pool("p", inflight=16)
    with plane.connect(receive_buffer=4096) as slow, plane.connect() as wire:
        slow.subscribe(7, "p", wait=True)
        for _ in range(300):
            assert wire.ask("p", b"x" * 100_000)[0] == "ok"
        slow.rest()
    assert plane.statistics()["connections"]["cut_slow"] == 1


def test_more_calls_than_calls_max_are_slowed(start_plane: StartPlane, gate: Gate) -> None:
    plane = start_plane(calls_max=10)
    plane.pool("p", OBEDIENT, inflight=4)
    with plane.connect() as wire:
        wire.call(0, "p", gate.message)
        gate.arrive()
        wire.call_each("p", [b"x"] * 500, first_id=1)
        plane.until(lambda: plane.figures("p")["messages"] == 10)
        plane.settle()
        assert plane.figures("p")["messages"] == 10
        gate.release()
        assert statuses(wire.answers(501)) == {"ok": 501}


def test_a_worker_that_breaks_its_contract_while_its_answers_wait(plane: Dataplane) -> None:
    """Its second line is found when the subscriber reads again, together with new work for it."""
    plane.pool("filler", OBEDIENT, inflight=64, queue=1000)
    pool = plane.pool("p", OBEDIENT, respawn=True)
    with plane.connect(receive_buffer=4096) as slow, plane.connect() as wire:
        slow.subscribe(1, "filler", wait=True)
        slow.subscribe(2, "p", wait=True)
        for _ in range(60):
            wire.cast("filler", b"long 1000000")
        plane.until(lambda: plane.statistics()["memory"]["in_use"] > 2 << 20)
        wire.call_each("p", [b"twice"] + [b"%d" % number for number in range(100)])
        plane.until(lambda: plane.figures("p")["waiting"] == 100)
        slow.frames(60 + 101)
        answers = wire.answers(101)
    assert statuses(answers) == {"ok": 101}
    assert [reason for reason, _ in plane.wait_gone(pool)] == ["unasked"]


# ---- half-open and vanishing clients ------------------------------------------------------------


def test_half_a_frame_then_nothing(plane: Dataplane) -> None:
    plane.pool("p")
    call = request(Type.CALL, 1, "p", b"hello").encode()
    halves = [plane.connect() for _ in range(len(call) - 1)]
    for length, wire in enumerate(halves, 1):
        wire.socket.sendall(call[:length])
    check_unharmed(plane)
    for length, wire in enumerate(halves, 1):
        wire.socket.sendall(call[length:])
        assert wire.answer(1) == ("ok", b"hello")
        wire.close()


def test_announced_frames_cost_no_memory_before_they_come(start_plane: StartPlane) -> None:
    """100 clients announce 16 MiB each; the node's budget is 64 MiB, and the others go on."""
    plane = start_plane(payload_max=16 << 20, memory_max=64 << 20)
    plane.pool("p")
    call = request(Type.CALL, 1, "p", b"x" * (16 << 20)).encode()
    announcers = [plane.connect() for _ in range(100)]
    for wire in announcers:
        wire.socket.sendall(call[:1000])
    for wire in announcers:
        wire.socket.sendall(call[1000:2000])
    check_unharmed(plane)
    assert plane.statistics()["memory"]["in_use"] < 16 << 20
    for wire in announcers:
        wire.close()


def test_a_client_that_ends_its_side_gets_what_it_asked_for(plane: Dataplane, gate: Gate) -> None:
    plane.pool("p", OBEDIENT, inflight=8)
    with plane.connect() as wire:
        wire.call_each("p", [gate.message, b"a", b"b"])
        wire.socket.sendall(request(Type.CALL, 9, "p", b"torn").encode()[:20])
        wire.end()
        gate.pass_one()
        assert [(f.id, f.body) for f in wire.rest()] == [(0, b"held"), (1, b"a"), (2, b"b")]


def test_a_client_that_ends_its_side_while_it_stands_in_line(plane: Dataplane, gate: Gate) -> None:
    plane.pool("p", OBEDIENT, queue=1, overflow="block")
    with plane.connect() as wire:
        wire.call_each("p", [gate.message, b"1", b"2", b"3"])
        wire.end()
        gate.pass_one()
        assert [frame.id for frame in wire.rest()] == [0, 1, 2, 3]


@pytest.mark.parametrize("rude", [False, True], ids=["closes", "resets"])
def test_a_client_that_vanishes(plane: Dataplane, gate: Gate, rude: bool) -> None:
    """What it left in the mailbox is not run; what a worker has is answered to nobody."""
    plane.pool("p", OBEDIENT, queue=100)
    wire = plane.connect()
    wire.call_each("p", [gate.message, *[b"x"] * 50])
    gate.arrive()
    wire.ping()
    if rude:
        wire.vanish()
    else:
        wire.close()
    plane.until(lambda: rude is False or plane.statistics()["connections"]["open"] == 0)
    with plane.connect() as other:
        other.call(1, "p", b"other")
        other.ping()
        gate.release()
        assert other.answer(1) == ("ok", b"other")
    plane.until(lambda: plane.statistics()["pending"] == 0)
    books = balance(plane.figures("p"))
    if rude:
        assert books == {"answered": 2, "failed": 50, "dropped": 0, "there": 0}
        assert plane.figures("p")["errors"] == {"cancelled": 50}


def test_a_client_that_vanishes_while_it_stands_in_line(plane: Dataplane, gate: Gate) -> None:
    plane.pool("p", OBEDIENT, queue=2, overflow="block")
    with plane.connect() as first:
        first.call(0, "p", gate.message)
        gate.arrive()
        for _ in range(10):
            wire = plane.connect()
            wire.call_each("p", [b"x"] * 10)
            plane.settle()
            wire.vanish()
        last = plane.connect()
        last.call(5, "p", b"last")
        gate.release()
        assert first.answer(0) == ("ok", b"held")
        assert last.answer(5) == ("ok", b"last")
        last.close()
    plane.until(lambda: plane.statistics()["pending"] == 0)


def test_connections_over_the_limit(start_plane: StartPlane) -> None:
    plane = start_plane(connections_max=5)
    plane.pool("p")
    wires = [plane.connect() for _ in range(5)]
    with Wire(plane.port, greet=False) as refused:
        refused.send(hello())
        assert refused.goaway() == "overloaded"
    assert wires[0].ask("p", b"x") == ("ok", b"x")
    wires.pop().vanish()
    plane.until(lambda: plane.statistics()["connections"]["open"] < 5)
    check_unharmed(plane)
    for wire in wires:
        wire.close()


# ---- the node's memory --------------------------------------------------------------------------


def test_a_full_memory_refuses_and_recovers(start_plane: StartPlane, gate: Gate) -> None:
    plane = start_plane(memory_max=8 << 20)
    plane.pool("p", OBEDIENT, queue=1000)
    with plane.connect() as wire, plane.connect() as other:
        wire.call(0, "p", gate.message)
        gate.arrive()
        wire.call_each("p", [b"x" * 100_000] * 200, first_id=1)
        early = wire.answers(100)
        assert statuses(early) == {"overloaded": 100}
        gate.release()
        late = wire.answers(101)
        assert statuses(late)["ok"] >= 20
        assert other.ask("p", b"small") == ("ok", b"small")
    assert plane.statistics()["memory"]["refusals"] > 0
    balance(plane.figures("p"))


def test_a_message_that_found_no_memory_on_its_way_to_a_worker_is_not_forgotten(
    start_plane: StartPlane, gate: Gate
) -> None:
    """A mailbox may have room for it where the buffer of an idle worker does not."""
    plane = start_plane(memory_max=8 << 20, payload_max=2 << 20)
    plane.pool("hog", OBEDIENT, queue=1000)
    plane.pool("p", program("frames", "early"), kind="frame", queue=1000)
    with plane.connect() as hog, plane.connect() as wire:
        hog.call(0, "hog", gate.message)
        gate.arrive()
        for number in range(25):  # from a memory that is free to one that is full
            hog.cast("hog", b"x" * 250_000)
            hog.ping()
            wire.call(number, "p", b"x" * 1_900_000)
        gate.release()
        answers = wire.answers(25)
    assert set(statuses(answers)) == {"ok", "overloaded"}


def test_a_frame_of_the_largest_size(start_plane: StartPlane) -> None:
    plane = start_plane(payload_max=16 << 20, memory_max=256 << 20)
    plane.pool("p", timeout_ms=20_000)
    message = b"\x00\xff\r " * (4 << 20)
    with plane.connect() as wire, plane.connect() as other:
        wire.call(1, "p", message)
        assert other.ask("p", b"beside") == ("ok", b"beside")
        assert wire.answer(1) == ("ok", message)
        wire.send(Frame(Type.PING, id=1, body=b"x"))
        assert wire.receive().type == Type.PONG
    plane.until(lambda: plane.statistics()["memory"]["in_use"] < 1 << 20)
