"""One call from its acceptance to its one answer: deadlines, cancelling, bytes, ids."""

from collections.abc import Callable

import pytest

from drop.testing.reference import Frame, Type
from system.dataplane import OBEDIENT, Dataplane, balance, program
from system.gate import Gate
from system.wire import options_of, statuses

pytestmark = pytest.mark.system

StartPlane = Callable[..., Dataplane]

# ---- deadlines and cancelling -------------------------------------------------------------------


def test_a_deadline_passes_while_the_worker_works(plane: Dataplane, gate: Gate) -> None:
    """The caller is told; the worker goes on, and its late answer goes to subscribers only."""
    pool = plane.pool("p", OBEDIENT)
    with plane.connect() as wire, plane.connect() as watcher:
        watcher.subscribe(1, "p")
        wire.call(1, "p", gate.message, timeout_ms=50)
        gate.arrive()
        assert wire.answer(1)[0] == "timeout"
        gate.release()
        assert watcher.receive().body == b"held"
        assert wire.ask("p", b"next") == ("ok", b"next")
    figures = plane.figures("p")
    assert (figures["late"], figures["errors"]) == (1, {"timeout": 1})
    assert balance(figures) == {"answered": 1, "failed": 1, "dropped": 0, "there": 0}
    assert not [each for each in plane.told if each[1] == pool]


def test_a_deadline_passes_while_the_message_waits(plane: Dataplane, gate: Gate) -> None:
    """It never runs; those with more time, in front and behind, do."""
    plane.pool("p", OBEDIENT, queue=100)
    with plane.connect() as wire, plane.connect() as watcher:
        watcher.subscribe(1, "p")
        wire.call(0, "p", gate.message)
        gate.arrive()
        for id in range(1, 21):
            wire.call(id, "p", b"%d" % id, timeout_ms=50 if id % 2 else 60_000)
        expired = wire.answers(10)
        assert set(expired) == set(range(1, 21, 2))
        assert statuses(expired) == {"timeout": 10}
        gate.release()
        assert statuses(wire.answers(11)) == {"ok": 11}
        events = [frame.body for frame in watcher.frames(11)]
    assert events == [b"held", *(b"%d" % id for id in range(2, 21, 2))]


def test_deadlines_of_messages_that_nobody_waits_for(plane: Dataplane, gate: Gate) -> None:
    plane.pool("p", OBEDIENT)
    with plane.connect() as wire:
        wire.call(0, "p", gate.message)
        gate.arrive()
        wire.cast("p", b"cast", timeout_ms=1)
        wire.publish(1, "p", b"publish", timeout_ms=1)
        assert wire.answer(1) == ("ok", b"")
        wire.call(2, "p", b"call", timeout_ms=50)
        assert wire.answer(2)[0] == "timeout"
        gate.release()
        assert wire.answer(0) == ("ok", b"held")
    figures = plane.figures("p")
    assert (figures["dropped"], figures["errors"]) == ({"timeout": 2}, {"timeout": 1})
    balance(figures)


def test_cancelling_what_waits_and_what_runs(plane: Dataplane, gate: Gate) -> None:
    plane.pool("p", OBEDIENT)
    with plane.connect() as wire, plane.connect() as watcher:
        watcher.subscribe(1, "p")
        wire.call_each("p", [gate.message, b"waits", b"stays"])
        gate.arrive()
        for id in (1, 0, 7):  # the last one does not exist, and cancelling it is not answered
            wire.cancel(id, "p")
        wire.cancel(2, "elsewhere")
        assert [wire.answer(id)[0] for id in (1, 0)] == ["cancelled", "cancelled"]
        gate.release()
        assert wire.answer(2) == ("ok", b"stays")
        wire.cancel(2, "p")
        wire.ping()
        assert [frame.body for frame in watcher.frames(2)] == [b"held", b"stays"]
    figures = plane.figures("p")
    assert figures["late"] == 1
    assert balance(figures) == {"answered": 1, "failed": 2, "dropped": 0, "there": 0}


def test_only_the_connection_that_called_can_cancel(plane: Dataplane, gate: Gate) -> None:
    plane.pool("p", OBEDIENT)
    with plane.connect() as wire, plane.connect() as other:
        wire.call(1, "p", gate.message)
        gate.arrive()
        other.cancel(1, "p")
        other.ping()
        gate.release()
        assert wire.answer(1) == ("ok", b"held")


def test_a_timeout_and_a_death_answer_a_call_once(plane: Dataplane, gate: Gate) -> None:
    """Told `timeout`, it is not told `error` when its worker dies, and it is not run again."""
    pool = plane.pool("p", OBEDIENT, respawn=True, retries=5)
    with plane.connect() as wire:
        wire.call(1, "p", gate.message, timeout_ms=50)
        gate.arrive()
        assert wire.answer(1)[0] == "timeout"
        plane.kill(max(plane.processes))
        gate.leave()
        plane.wait_gone(pool)
        assert wire.ask("p", b"next") == ("ok", b"next")
    assert balance(plane.figures("p")) == {"answered": 1, "failed": 1, "dropped": 0, "there": 0}


# ---- bytes --------------------------------------------------------------------------------------

AWKWARD = [
    b"",
    b"\r",
    b"a\rb\r",
    b"\x00",
    b"\xff\xfe\x00",
    b" \t ",
    b"\tncm",
    b"ncm\t",
    "ü€".encode(),
]


@pytest.mark.parametrize("inflight", [1, 16])
def test_lines_pass_unaltered(plane: Dataplane, inflight: int) -> None:
    plane.pool("p", inflight=inflight)
    every_byte = bytes(byte for byte in range(256) if byte != 0x0A)
    with plane.connect() as wire:
        messages = [*AWKWARD, every_byte, b"\tncm\t", b"", b"", b"last"]
        wire.call_each("p", messages)
        answers = wire.answers(len(messages))
        assert [answers[id][1] for id in range(len(messages))] == messages
        status, text = wire.ask("p", b"two\nlines")
    assert (status, b"ncm" in text) == ("bad_request", True)
    balance(plane.figures("p"))


def test_newlines_travel_as_ncm_both_ways(plane: Dataplane) -> None:
    plane.pool("p", newline="ncm", inflight=16)
    plane.pool("seen", ["sh", "-c", 'while read -r m; do printf "%s\\n" "$m" | od -An -c; done'])
    plane.pool("plain")
    plane.subscribe("p", "plain")
    messages = [*AWKWARD, b"\n", b"a\nb\n\nc", b"\n\n\n", b"\t\n\t"]
    with plane.connect() as wire:
        wire.call_each("p", messages)
        answers = wire.answers(len(messages))
        assert [answers[id][1] for id in range(len(messages))] == messages
        # What looks like ncm in a message comes back as a newline: the convention has no escape.
        assert wire.ask("p", b"x\tncm\ty") == ("ok", b"x\ny")
    plane.until(lambda: plane.statistics()["pending"] == 0)
    figures = plane.figures("plain")
    assert figures["dropped"] == {"bad_request": 5}
    assert figures["answers"] == len(AWKWARD)


def test_frames_carry_anything(plane: Dataplane) -> None:
    plane.pool("p", program("frames", "echo"), kind="frame", inflight=16)
    messages = [
        *AWKWARD,
        bytes(range(256)),
        b"\n",
        b"\n\n",
        b"\x00\x00\x00\x05hello",
        b"x" * 300_000,
    ]
    with plane.connect() as wire:
        wire.call_each("p", messages)
        answers = wire.answers(len(messages))
    assert [answers[id][1] for id in range(len(messages))] == messages


@pytest.mark.parametrize("kind", ["line", "frame"])
def test_16_mib_and_not_a_byte_more(start_plane: StartPlane, kind: str) -> None:
    limit = 16 << 20
    plane = start_plane(payload_max=limit, memory_max=512 << 20)
    command = program("frames", "echo") if kind == "frame" else ["cat"]
    plane.pool("p", command, kind=kind)
    message = bytes([0xFF, 0x0D, 0x00, 0x20]) * (limit // 4)
    with plane.connect() as wire:
        assert options_of(wire)["payload_max"] == limit
        assert wire.ask("p", message) == ("ok", message)
        assert wire.ask("p", message + b"x")[0] == "too_large"
        wire.publish(5, "p", message + b"x")
        assert wire.answer(5)[0] == "too_large"
        wire.cast("p", message + b"x")
        assert wire.ask("p", b"still here") == ("ok", b"still here")
    assert plane.statistics()["refused"] == {"too_large": 3}
    assert plane.statistics()["memory"]["in_use"] < 1 << 20


# ---- ids and order ------------------------------------------------------------------------------


def test_ids_are_the_clients_own(plane: Dataplane) -> None:
    """The whole range of 64 bits; two connections may use the same."""
    plane.pool("p")
    ids = [0, 1, 2**32, 2**63, 2**64 - 1]
    with plane.connect() as one, plane.connect() as two:
        for wire, name in ((one, b"one"), (two, b"two")):
            for id in ids:
                wire.call(id, "p", name)
        assert one.answers(5) == dict.fromkeys(ids, ("ok", b"one"))
        assert two.answers(5) == dict.fromkeys(ids, ("ok", b"two"))


def test_pings_come_in_the_order_of_the_frames(plane: Dataplane) -> None:
    with plane.connect() as wire:
        pings = [Frame(Type.PING, id=id, body=b"%d" % id) for id in range(1000)]
        wire.send(*pings)
        assert [(frame.id, frame.body) for frame in wire.frames(1000)] == [
            (ping.id, ping.body) for ping in pings
        ]
