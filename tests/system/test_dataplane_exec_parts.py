"""Answers in parts: as a process writes them, at the pace of who reads them, with one end."""

from collections.abc import Iterator

import pytest

from system.dataplane import Dataplane, balance
from system.exec_checks import nothing_is_left
from system.gate import Gate

pytestmark = pytest.mark.system

TWICE_HELD = ["sh", "-c", 'read verb path; echo one; cat "$path"; exit ${code:-0}']


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    with nothing_is_left():
        yield


def test_a_part_comes_before_the_end(plane: Dataplane, gate: Gate) -> None:
    plane.exec_pool("p", TWICE_HELD)
    with plane.connect() as wire:
        wire.call(1, "p", gate.message, parts=True)
        first = wire.receive()
        assert (first.flags, first.body) == (1, b"one\n")
        gate.pass_one(b"two\n")
        parts, status, rest = wire.parts(1)
        assert (b"".join(parts) + rest, status) == (b"two\n", "ok")
    assert balance(plane.figures("p"))["answered"] == 1


def test_much_more_than_payload_max(plane: Dataplane) -> None:
    plane.exec_pool("p", ["seq", "3000000"], spare=0)
    with plane.connect() as wire:
        wire.call(1, "p", b"", parts=True)
        parts, status, rest = wire.parts(1)
    whole = b"".join(parts) + rest
    assert status == "ok"
    assert len(whole) > 20 << 20
    assert whole == b"".join(b"%d\n" % n for n in range(1, 3_000_001))
    assert max(map(len, parts)) <= 1 << 20


def test_a_slow_reader_stops_the_process(plane: Dataplane) -> None:
    """The node holds about a mebibyte of it, whatever the process would like to write."""
    plane.exec_pool("p", ["head", "-c", "100M", "/dev/zero"], spare=0)
    with plane.connect(receive_buffer=4096) as wire:
        wire.call(1, "p", b"", parts=True)
        written = 0

        def stands_still() -> bool:
            nonlocal written
            written, before = plane.figures("p")["bytes_out"], written
            return 0 < written == before

        plane.until(stands_still)
        assert written < 10 << 20
        assert plane.statistics()["memory"]["in_use"] < 4 << 20
        parts, status, rest = wire.parts(1)
    assert (sum(map(len, parts)) + len(rest), status) == (100 << 20, "ok")


def test_an_error_behind_parts(plane: Dataplane) -> None:
    plane.exec_pool("p", ["sh", "-c", "seq 100000; exit 3"], spare=0)
    with plane.connect() as wire:
        wire.call(1, "p", b"", parts=True)
        parts, status, text = wire.parts(1)
    assert (status, text) == ("error", b"exit code 3")
    assert b"".join(parts).endswith(b"100000\n")


def test_a_timeout_behind_parts(plane: Dataplane) -> None:
    plane.exec_pool("p", ["sh", "-c", "echo one; sleep 1000"], spare=0, timeout_ms=300)
    with plane.connect() as wire:
        wire.call(1, "p", b"", parts=True)
        parts, status, _ = wire.parts(1)
    assert (parts, status) == ([b"one\n"], "timeout")


def test_the_caller_is_slow_and_not_the_function(plane: Dataplane) -> None:
    """While it cannot write, its timeout does not run."""
    plane.exec_pool("p", ["head", "-c", "30M", "/dev/zero"], spare=0, timeout_ms=400)
    with plane.connect(receive_buffer=4096) as wire, plane.connect() as other:
        wire.call(1, "p", b"", parts=True)
        plane.until(lambda: plane.figures("p")["bytes_out"] > 1 << 20)
        plane.exec_pool("q", ["sleep", "0.6"], spare=0)
        assert other.ask("q", b"") == ("ok", b"")
        parts, status, rest = wire.parts(1)
    assert (sum(map(len, parts)) + len(rest), status) == (30 << 20, "ok")


@pytest.mark.parametrize("cancels", [True, False])
def test_a_caller_that_gives_up_between_parts(plane: Dataplane, gate: Gate, cancels: bool) -> None:
    plane.exec_pool("p", TWICE_HELD)
    with plane.connect() as wire:
        wire.call(1, "p", gate.message, timeout_ms=0 if cancels else 300, parts=True)
        assert wire.receive().body == b"one\n"
        gate.arrive()
        if cancels:
            wire.cancel(1, "p")
        assert wire.answer(1)[0] == ("cancelled" if cancels else "timeout")
        gate.release(b"x" * 3_000_000)
        plane.until(lambda: plane.figures("p")["late"] == 1)
        wire.ping()


def test_a_caller_that_vanishes(plane: Dataplane) -> None:
    plane.exec_pool("p", ["head", "-c", "30M", "/dev/zero"], spare=0)
    for _ in range(3):
        wire = plane.connect(receive_buffer=4096)
        wire.call(1, "p", b"", parts=True)
        wire.receive()
        wire.vanish()
    plane.until(lambda: plane.figures("p")["inflight"] == 0)
    plane.until(lambda: plane.statistics()["memory"]["in_use"] < 1 << 20)
    assert balance(plane.figures("p"))["answered"] == 3


def test_the_pool_is_removed_between_parts(plane: Dataplane, gate: Gate) -> None:
    pool = plane.exec_pool("p", TWICE_HELD)
    with plane.connect() as wire:
        wire.call(1, "p", gate.message, parts=True)
        assert wire.receive().body == b"one\n"
        gate.arrive()
        plane.reactor.pool_remove(pool)
        assert wire.answer(1)[0] == "draining"
        gate.leave()


def test_other_kinds_answer_whole(plane: Dataplane) -> None:
    plane.pool("p")
    with plane.connect() as wire:
        wire.call(1, "p", b"x", parts=True)
        assert wire.parts(1) == ([], "ok", b"x")


def test_with_subscribers_it_comes_whole(plane: Dataplane) -> None:
    plane.exec_pool("p", ["seq", "100000"], spare=0)
    with plane.connect() as wire, plane.connect() as watcher:
        watcher.subscribe(1, "p")
        wire.call(1, "p", b"", parts=True)
        parts, status, body = wire.parts(1)
        assert (parts, status) == ([], "ok")
        assert watcher.receive().body == body
