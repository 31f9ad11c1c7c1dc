"""Kind async with real processes: any order, tokens of every sort, deaths with much outstanding."""

import pytest

from drop._fast.reactor import UNKNOWN_TOKEN, WORKER_DRAINED, WORKER_HEALTH
from system.dataplane import Dataplane, balance, program
from system.gate import Gate
from system.wire import Wire, statuses

pytestmark = pytest.mark.system

TOKENS = program("tokens")


def start(plane: Dataplane, *, inflight: int = 200, **options: object) -> int:
    return plane.pool("p", TOKENS, kind="async", inflight=inflight, **options)


def test_answers_come_in_any_order(plane: Dataplane) -> None:
    start(plane)
    with plane.connect() as wire:
        wire.call_each("p", [b"later"] * 100)
        wire.call(100, "p", b"flush")
        frames = wire.frames(101)
    assert [frame.id for frame in frames] == [*range(99, -1, -1), 100]
    assert balance(plane.figures("p")) == {"answered": 101, "failed": 0, "dropped": 0, "there": 0}


def test_a_thousand_outstanding(plane: Dataplane) -> None:
    """More than the table has places at first, and again when every place was used before."""
    start(plane, inflight=1024, queue=4000)
    with plane.connect() as wire:
        for _ in range(3):
            wire.call_each("p", [b"later"] * 1023)
            wire.call(1023, "p", b"flush")
            assert statuses(wire.answers(1024)) == {"ok": 1024}


FORGED = [
    b"",
    b"::",
    b"no token",
    b"x::y",
    b"00::y",
    b"A::y",
    b"-1::y",
    b"ffffffffffffffffffffffff::y",
    b"\xff\x00::y",
    b"3ff::y",
    b"1::y",
]


def test_tokens_that_nobody_waits_for(plane: Dataplane) -> None:
    """Each is counted, the first is told of, and every call has the one answer that is its own."""
    pool = start(plane)
    with plane.connect() as wire:
        for forged in FORGED:
            assert wire.ask("p", b"say " + forged) == ("ok", b"say " + forged)
        assert wire.ask("p", b"twice") == ("ok", b"twice")
        assert wire.ask("p", b"next") == ("ok", b"next")
        wire.ping()
    ((_, _, _, count, line), *_) = plane.wait(UNKNOWN_TOKEN, pool)
    assert (count, line) == (1, FORGED[0])
    figures = plane.figures("p")
    assert figures["unasked"] == len(FORGED) + 1
    assert figures["workers"] == 1
    assert balance(figures)["answered"] == len(FORGED) + 2


def test_a_worker_is_killed_with_a_hundred_outstanding(plane: Dataplane) -> None:
    """What it was sent fails; what waits behind a full pipe does not notice."""
    pool = start(plane, queue=1000)
    worker = next(iter(plane.processes))
    with plane.connect() as wire:
        wire.call_each("p", [b"later"] * 100)
        wire.call(100, "p", b"stop")
        wire.call_each("p", [b"x" * 10_000] * 20, 101)
        plane.until(lambda: plane.figures("p")["inflight"] == 121)
        plane.kill(worker)
        plane.worker(pool, TOKENS)
        answers = wire.answers(121)
    sent = {id for id, (status, _) in answers.items() if status == "error"}
    assert set(range(101)) <= sent
    assert len(sent) < 121
    assert all(answers[id] == ("ok", b"x" * 10_000) for id in set(range(101, 121)) - sent)
    assert balance(plane.figures("p"))["failed"] == len(sent)


def test_retries_save_what_a_dead_worker_had(plane: Dataplane) -> None:
    pool = start(plane, retries=1)
    worker = next(iter(plane.processes))
    with plane.connect() as wire:
        wire.call_each("p", [b"later %d" % id for id in range(100)])
        wire.ping()
        plane.kill(worker)
        plane.wait_gone(pool)
        plane.worker(pool, TOKENS)
        wire.call(100, "p", b"flush")
        answers = wire.answers(101)
    assert answers == {id: ("ok", b"later %d" % id) for id in range(100)} | {100: ("ok", b"flush")}
    assert plane.figures("p")["retried"] == 100


def ask_until(wire: Wire, awaited: int) -> tuple[str, int]:
    """Calls one after the other until `awaited` is answered: its status, and how many calls."""
    for number in range(1000, 1_000_000):
        wire.call(number, "p", b"quick")
        while (frame := wire.receive()).id != number:
            if frame.id == awaited:
                return ("ok", "error", "timeout")[frame.code], number
        assert frame.code == 0
    raise AssertionError("it was never answered")


def test_one_message_times_out_and_the_worker_stays(plane: Dataplane) -> None:
    start(plane, timeout_ms=300)
    with plane.connect() as wire:
        wire.call(1, "p", b"silent")
        status, last = ask_until(wire, 1)
        assert status == "timeout"
        assert wire.answer(last) == ("ok", b"quick")
        figures = plane.figures("p")
        assert figures["workers"] == 1
        assert figures["errors"] == {"timeout": 1}
        assert balance(figures)["there"] == 0


def test_a_late_answer_is_nobodys(plane: Dataplane) -> None:
    start(plane, timeout_ms=300)
    with plane.connect() as wire:
        wire.call(1, "p", b"later")
        status, last = ask_until(wire, 1)
        wire.answer(last)
        assert status == "timeout"
        assert wire.ask("p", b"flush") == ("ok", b"flush")
    assert plane.figures("p")["unasked"] == 1


def test_a_silent_worker_is_gone(plane: Dataplane) -> None:
    pool = start(plane, timeout_ms=200, respawn=True)
    with plane.connect() as wire:
        wire.call_each("p", [b"silent", b"silent", b"stop"])
        assert statuses(wire.answers(3)) == {"timeout": 3}
        assert plane.wait_gone(pool)[0][0] == "timeout"
        assert wire.ask("p", b"next") == ("ok", b"next")


def test_draining_waits_for_every_token(plane: Dataplane, gate: Gate) -> None:
    pool = start(plane)
    worker = next(iter(plane.processes))
    with plane.connect() as wire:
        wire.call_each("p", [b"later"] * 10)
        wire.call(10, "p", gate.message)
        gate.arrive()
        plane.reactor.worker_remove(worker, drain=True)
        plane.settle()
        wire.call(11, "p", b"for the next one")
        wire.ping()
        assert not [each for each in plane.told if each[0] == WORKER_DRAINED]
        gate.release()
        assert statuses(wire.answers(11)) == {"ok": 11}
        plane.wait(WORKER_DRAINED, pool, worker)
        assert plane.figures("p")["waiting"] == 1


def test_a_worker_that_is_asked_how_it_is(plane: Dataplane) -> None:
    pool = start(plane, timeout_ms=500)
    worker = next(iter(plane.processes))
    plane.reactor.worker_probe(worker, b"well?", b"well?")
    assert plane.wait(WORKER_HEALTH, pool, worker)[-1][-1] == "ok"
    plane.reactor.worker_probe(worker, b"well?", b"yes")
    assert plane.wait(WORKER_HEALTH, pool, worker, count=2)[-1][-1] == "wrong"
    plane.reactor.worker_probe(worker, b"silent", None)
    assert plane.wait_gone(pool) == [("timeout", 1)]
    assert balance(plane.figures("p")).total() == 0


def test_a_question_alone_is_not_answered(plane: Dataplane) -> None:
    """The worker goes on with everything else; it is gone all the same."""
    pool = start(plane, timeout_ms=300)
    worker = next(iter(plane.processes))
    plane.reactor.worker_probe(worker, b"silent", None)
    plane.settle()
    with plane.connect() as wire:
        for number in range(1_000_000):
            wire.call(number, "p", b"quick")
            if wire.answer(number)[0] != "ok" or plane.told:
                break
        assert plane.wait_gone(pool)[0][0] == "timeout"
