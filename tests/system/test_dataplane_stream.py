"""Kind stream with real processes: every line is an event, and who has no room stops the source."""

import pytest

from drop._fast.reactor import POOL_DRAINED, WORKER_GONE
from drop.testing.reference import Type
from system.dataplane import OBEDIENT, Dataplane, balance
from system.gate import Gate
from system.wire import Wire

pytestmark = pytest.mark.system


def source(plane: Dataplane, script: str, **options: object) -> tuple[int, int]:
    """A pool and its worker."""
    pool = plane.pool("s", workers=0, kind="stream", **options)
    return pool, plane.worker(pool, ["sh", "-c", script])


def lines(wire: Wire, count: int) -> list[bytes]:
    frames = wire.frames(count)
    assert {frame.type for frame in frames} == {Type.EVENT}
    return [frame.body for frame in frames]


def test_every_line_is_an_event(plane: Dataplane) -> None:
    pool = plane.pool("s", workers=0, kind="stream")
    with plane.connect() as wire:
        wire.subscribe(1, "s", wait=True)
        plane.worker(pool, ["sh", "-c", r"printf 'one\n\ntwo\r\nthree'"])
        assert lines(wire, 4) == [b"one", b"", b"two\r", b"three"]
        assert plane.wait_gone(pool) == [("eof", 0)]
        assert wire.ask("s", b"x")[0] == "bad_request"
    figures = plane.figures("s")
    assert (figures["answers"], figures["events"]) == (4, 4)


def test_a_source_is_started_again(plane: Dataplane) -> None:
    """Nothing of one life is mixed with the next, and no line of either is lost."""
    pool = plane.pool("s", workers=0, kind="stream")
    with plane.connect() as wire:
        wire.subscribe(1, "s", wait=True)
        for life in range(5):
            plane.worker(pool, ["sh", "-c", f"seq {life}000 {life}999; printf half"])
            plane.wait(WORKER_GONE, pool, count=life + 1)
        expected = [b"%d" % n for life in range(5) for n in range(life * 1000, life * 1000 + 1000)]
        found = lines(wire, 5005)
    assert [each for each in found if each != b"half"] == expected
    assert found[1000::1001] == [b"half"] * 5


def test_a_slow_client_slows_the_source(plane: Dataplane) -> None:
    """A million lines through a client that reads when it likes; the node holds a few of them."""
    pool = plane.pool("s", workers=0, kind="stream")
    with plane.connect(receive_buffer=4096) as wire:
        wire.subscribe(1, "s", wait=True)
        plane.worker(pool, ["seq", "300000"])
        before = 0

        def stands_still() -> bool:
            nonlocal before
            before, last = plane.figures("s")["answers"], before
            return 0 < before == last

        plane.until(stands_still)
        assert before < 300_000
        assert plane.statistics()["memory"]["in_use"] < 4 << 20
        assert lines(wire, 300_000) == [b"%d" % n for n in range(1, 300_001)]


def test_a_client_that_does_not_wait_loses_and_is_told(plane: Dataplane) -> None:
    """Each line came, or is in the count of those that did not."""
    pool = plane.pool("s", workers=0, kind="stream")
    with plane.connect(receive_buffer=4096) as wire:
        wire.subscribe(1, "s")
        plane.worker(pool, ["seq", "1000000"])
        assert plane.wait_gone(pool) == [("eof", 0)]
        got = lost = 0
        while not lost:
            frame = wire.receive()
            if frame.flags:
                lost = int.from_bytes(frame.body, "big")
            else:
                got += 1
                if not got % 1000:  # once there is room again, one more event tells of the others
                    plane.worker(pool, ["echo", "more"])
        assert 1_000_000 <= got + lost <= 1_000_000 + got // 1000


@pytest.mark.parametrize("mode", ["one", "all"])
def test_a_full_pool_slows_the_source(plane: Dataplane, gate: Gate, mode: str) -> None:
    """Its worker is held: the source stands still, and then every event comes, in order."""
    pool = plane.pool("s", workers=0, kind="stream")
    plane.pool("p", OBEDIENT, queue=5)
    plane.subscribe("s", "p", mode=mode)
    with plane.connect() as wire:
        wire.subscribe(1, "p", wait=True)
        wire.cast("p", gate.message)
        gate.arrive()
        plane.worker(pool, ["seq", "50000"])
        plane.until(lambda: plane.figures("p")["waiting"] == 5)
        assert plane.figures("s")["answers"] == 5
        gate.release()
        found = lines(wire, 50_001)
    assert found == [b"held", *(b"%d" % n for n in range(1, 50_001))]
    assert balance(plane.figures("p"))["dropped"] == 0
    assert plane.wait_gone(pool) == [("eof", 0)]


def test_a_full_pool_that_refuses(plane: Dataplane, gate: Gate) -> None:
    """As its flow says: the source goes on, and each lost event is counted."""
    pool = plane.pool("s", workers=0, kind="stream")
    plane.pool("p", OBEDIENT, queue=5, overflow="reject")
    plane.subscribe("s", "p")
    with plane.connect() as wire:
        wire.cast("p", gate.message)
        gate.arrive()
        plane.worker(pool, ["seq", "50000"])
        assert plane.wait_gone(pool) == [("eof", 0)]
        assert plane.figures("p")["dropped"] == {"overloaded": 50_000 - 5}
        gate.release()


def test_draining_ends_its_stdin_and_what_it_still_writes_counts(plane: Dataplane) -> None:
    pool, worker = source(plane, "cat > /dev/null; echo goodbye; printf end")
    with plane.connect() as wire:
        wire.subscribe(1, "s", wait=True)
        plane.reactor.worker_remove(worker, drain=True)
        assert lines(wire, 2) == [b"goodbye", b"end"]
        assert plane.wait_gone(pool) == [("eof", 0)]
    plane.reactor.pool_drain(pool)
    plane.wait(POOL_DRAINED, pool)


def test_a_source_that_is_known_to_be_dead(plane: Dataplane) -> None:
    """Its stdout stays open in a child that it has left behind."""
    pool, worker = source(plane, "echo one; printf two; sleep 1000 & kill -9 $$")
    with plane.connect() as wire:
        wire.subscribe(1, "s", wait=True)
        plane.processes[worker].wait()
        plane.reactor.worker_exited(worker, "killed by SIGKILL")
        assert plane.wait_gone(pool) == [("eof", 0)]
    assert plane.figures("s")["answers"] == 2


def test_a_line_of_a_gibibyte(plane: Dataplane) -> None:
    """It is gone when the line is too long; meanwhile and afterwards nobody else notices."""
    pool = plane.pool("s", workers=0, kind="stream")
    plane.pool("p")
    plane.worker(pool, ["sh", "-c", "echo before; head -c 1G /dev/zero"])
    with plane.connect() as wire:
        assert [wire.ask("p", b"%d" % n) for n in range(100)] == [
            ("ok", b"%d" % n) for n in range(100)
        ]
    assert plane.wait_gone(pool) == [("too_large", 0)]
    assert plane.figures("s")["answers"] == 1
    assert plane.statistics()["memory"]["in_use"] < 1 << 20


def test_newlines_travel_as_ncm(plane: Dataplane) -> None:
    pool = plane.pool("s", workers=0, kind="stream", newline="ncm")
    with plane.connect() as wire:
        wire.subscribe(1, "s")
        plane.worker(pool, ["printf", r"a\tncm\tb\n"])
        assert lines(wire, 1) == [b"a\nb"]


def test_a_pool_is_removed_while_its_source_stands_still(plane: Dataplane, gate: Gate) -> None:
    pool = plane.pool("s", workers=0, kind="stream")
    plane.pool("p", OBEDIENT, queue=5)
    plane.subscribe("s", "p")
    with plane.connect() as wire:
        wire.cast("p", gate.message)
        gate.arrive()
        plane.worker(pool, ["seq", "50000"])
        plane.until(lambda: plane.figures("p")["waiting"] == 5)
        plane.reactor.pool_remove(pool)
        assert plane.wait_gone(pool) == [("removed", 0)]
        gate.release()
        plane.until(lambda: balance(plane.figures("p"))["there"] == 0)
    assert balance(plane.figures("p"))["answered"] == 6
