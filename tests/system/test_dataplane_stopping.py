"""Stopping a node or a pool: what was accepted is finished, what comes later is refused."""

from collections.abc import Callable

import pytest

from drop._fast.reactor import DRAINED, POOL_DRAINED, WORKER_DRAINED
from drop.testing.reference import Type, request
from system.dataplane import OBEDIENT, Dataplane, balance
from system.gate import Gate
from system.wire import statuses

pytestmark = pytest.mark.system

StartPlane = Callable[..., Dataplane]


def test_drain_finishes_what_was_accepted_and_takes_no_more(plane: Dataplane, gate: Gate) -> None:
    plane.pool("p", OBEDIENT)
    plane.pool("behind")
    plane.subscribe("p", "behind")
    with plane.connect() as wire, plane.connect() as idle:
        wire.call_each("p", [gate.message, b"a", b"b"])
        gate.arrive()
        wire.ping()
        plane.reactor.drain()
        plane.settle()
        wire.call(9, "p", b"too late")
        assert wire.answer(9)[0] == "draining"
        with pytest.raises(ConnectionError):
            plane.connect()
        gate.release()
        assert statuses(wire.answers(3)) == {"ok": 3}
        assert wire.goaway() == "draining"
        assert idle.goaway() == "draining"
    plane.wait(DRAINED)
    assert balance(plane.figures("behind"))["answered"] == 3
    assert plane.statistics()["pending"] == 0


def test_drain_of_an_idle_node(plane: Dataplane) -> None:
    with plane.connect() as wire:
        plane.reactor.drain()
        plane.settle()
        assert wire.goaway() == "draining"
    plane.wait(DRAINED)


def test_draining_and_removing_a_pool(plane: Dataplane, gate: Gate) -> None:
    pool = plane.pool("p", OBEDIENT)
    plane.pool("other")
    with plane.connect() as wire:
        wire.call_each("p", [gate.message, b"a"])
        gate.arrive()
        wire.ping()
        plane.reactor.pool_drain(pool)
        plane.settle()
        wire.call(9, "p", b"too late")
        assert wire.answer(9)[0] == "draining"
        gate.release()
        assert statuses(wire.answers(2)) == {"ok": 2}
        plane.wait(POOL_DRAINED, pool)
        worker = min(plane.processes)
        plane.reactor.worker_remove(worker, drain=True)
        plane.wait(WORKER_DRAINED, pool, worker)
        plane.reactor.pool_remove(pool)
        plane.settle()
        status, text = wire.ask("p", b"x")
        assert (status, b"p" in text) == ("no_pool", True)
        assert wire.ask("other", b"x") == ("ok", b"x")


def test_removing_a_pool_under_load(plane: Dataplane, gate: Gate) -> None:
    """Waiting calls, calls that stand in line, a source that stands in line: all have an end."""
    pool = plane.pool("p", OBEDIENT, queue=4, overflow="block")
    plane.pool("source", inflight=16)
    plane.subscribe("source", "p")
    with plane.connect() as wire, plane.connect() as events, plane.connect() as watcher:
        watcher.subscribe(1, "p")
        wire.call(0, "p", gate.message)
        gate.arrive()
        wire.call_each("p", [b"x"] * 20, first_id=1)
        events.call_each("source", [b"x"] * 20)
        plane.until(lambda: plane.figures("p")["waiting"] == 4)
        plane.reactor.pool_remove(pool)
        plane.settle()
        answers = wire.answers(21)
        assert statuses(events.answers(20)) == {"ok": 20}
        assert statuses(answers).keys() == {"draining", "no_pool"}
        again = plane.pool("p")
        assert again != pool
        assert wire.ask("p", b"new") == ("ok", b"new")
    assert plane.statistics()["pending"] == 0


def test_stopping_in_the_middle_of_everything(start_plane: StartPlane, gate: Gate) -> None:
    """stop() frees what is under way: the leak counters of a debug build see to that."""
    plane = start_plane()
    pool = plane.pool("p", OBEDIENT, queue=4, overflow="block", inflight=4)
    plane.pool("source", inflight=16)
    plane.subscribe("source", "p", mode="all")
    wire, slow = plane.connect(), plane.connect(receive_buffer=4096)
    slow.subscribe(1, "source", wait=True)
    wire.call(0, "p", gate.message)
    gate.arrive()
    wire.call_each("p", [b"x"] * 100, first_id=1)
    slow.call_each("source", [b"x" * 1000] * 1000)
    plane.reactor.publish(pool, [b"batch"] * 100)
    wire.socket.sendall(request(Type.CALL, 1, "p", b"half").encode()[:18])
    plane.settle()
    plane.reactor.stop()
    gate.leave()
    for each in (wire, slow):
        each.rest()
        each.close()
    with pytest.raises(ValueError, match="stopped"):
        plane.reactor.statistics()
