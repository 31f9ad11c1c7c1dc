"""Workers that break their contract or die: who is told what, and that nobody else notices."""

from collections.abc import Callable
from typing import Any

import pytest

from system.dataplane import OBEDIENT, Dataplane, balance, program
from system.gate import Gate

pytestmark = pytest.mark.system


def fill(plane: Dataplane, gate: Gate, fault: bytes, **options: Any) -> tuple[int, Any]:
    """A worker that has been given a gate, `fault` and three messages more, and a client of it."""
    pool = plane.pool("p", OBEDIENT, respawn=True, inflight=8, **options)
    wire = plane.connect()
    wire.call_each("p", [gate.message, fault, b"a", b"b", b"c"])
    gate.pass_one()
    return pool, wire


@pytest.mark.parametrize(
    ("fault", "reason", "status", "options"),
    [
        (b"half", "timeout", "timeout", {"timeout_ms": 300}),
        (b"end", "eof", "error", {}),
        (b"die", "eof", "error", {}),
        (b"long 1048577", "too_large", "too_large", {}),
        (b"deaf", "timeout", "timeout", {"timeout_ms": 300}),
    ],
    ids=["half a line", "closes stdout", "dies", "answers too much", "closes stdin"],
)
def test_only_the_message_at_the_head_fails(
    plane: Dataplane, gate: Gate, fault: bytes, reason: str, status: str, options: dict[str, int]
) -> None:
    pool, wire = fill(plane, gate, fault, **options)
    with wire:
        answers = wire.answers(5)
    assert plane.wait_gone(pool) == [(reason, 4)]
    assert answers.pop(1)[0] == status
    assert answers == {
        0: ("ok", b"held"),
        2: ("ok", b"a"),
        3: ("ok", b"b"),
        4: ("ok", b"c"),
    }
    assert balance(plane.figures("p")) == {"answered": 4, "failed": 1, "dropped": 0, "there": 0}


def test_an_answer_that_nobody_asked_for_ends_the_worker(plane: Dataplane) -> None:
    pool = plane.pool("p", ["sh", "-c", "echo surprise; exec cat"])
    assert plane.wait_gone(pool) == [("unasked", 0)]
    assert plane.figures("p")["unasked"] == 1
    plane.worker(pool)
    with plane.connect() as wire:
        assert wire.ask("p", b"next") == ("ok", b"next")


def test_a_second_answer_costs_no_message_its_own(plane: Dataplane, gate: Gate) -> None:
    """With one message outstanding the second line is unasked: what waits goes to another."""
    pool = plane.pool("p", OBEDIENT, respawn=True, inflight=1)
    with plane.connect() as wire:
        wire.call_each("p", [gate.message, b"twice", b"a", b"b"])
        gate.pass_one()
        answers = wire.answers(4)
    assert answers == {0: ("ok", b"held"), 1: ("ok", b"first"), 2: ("ok", b"a"), 3: ("ok", b"b")}
    (gone,) = plane.wait_gone(pool)
    assert gone[0] == "unasked"
    assert balance(plane.figures("p")) == {"answered": 4, "failed": 0, "dropped": 0, "there": 0}


def test_a_message_for_a_closed_stdin_goes_to_the_next_worker(plane: Dataplane) -> None:
    """Not a byte of it was written, so nothing is lost with this one."""
    pool = plane.pool("p", ["sh", "-c", "read a; exec <&-; echo $a; sleep 1000"])
    with plane.connect() as wire:
        assert wire.ask("p", b"x") == ("ok", b"x")
        wire.call(1, "p", b"y")
        assert plane.wait_gone(pool) == [("write", 1)]
        plane.worker(pool)
        assert wire.answer(1) == ("ok", b"y")


def test_retries_give_a_message_to_the_next_worker(plane: Dataplane) -> None:
    pool = plane.pool("p", OBEDIENT, respawn=True, retries=2)
    with plane.connect() as wire:
        wire.call_each("p", [b"die", b"live"])
        answers = wire.answers(2)
    assert answers[1] == ("ok", b"live")
    assert answers[0][0] == "error"
    assert plane.wait_gone(pool, count=3) == [("eof", 1)] * 3
    assert plane.figures("p")["retried"] == 2


def test_a_timeout_is_not_retried(plane: Dataplane) -> None:
    pool = plane.pool("p", OBEDIENT, respawn=True, retries=2, timeout_ms=200)
    with plane.connect() as wire:
        assert wire.ask("p", b"half")[0] == "timeout"
    assert plane.wait_gone(pool) == [("timeout", 1)]
    assert plane.figures("p")["retried"] == 0


def test_what_a_dying_worker_has_written_still_counts(plane: Dataplane) -> None:
    script = 'read a; read b; read c; echo "$a"; echo "$b"; printf "$c"'
    pool = plane.pool("p", ["sh", "-c", script], inflight=8)
    with plane.connect() as wire:
        wire.call_each("p", [b"one", b"two", b"three"])
        answers = wire.answers(3)
    assert (answers[0], answers[1]) == (("ok", b"one"), ("ok", b"two"))
    assert answers[2][0] == "error"
    assert plane.wait_gone(pool) == [("eof", 1)]


def test_a_process_that_is_known_to_be_dead(plane: Dataplane) -> None:
    """A grandchild keeps its stdout open, so there is no end of file to see."""
    pool = plane.reactor.pool_create("p", kind="line")
    worker = plane.worker(pool, ["sh", "-c", "read a; echo $a; read b; sleep 1000 & kill -9 $$"])
    with plane.connect() as wire:
        wire.call_each("p", [b"one", b"two"])
        assert wire.answer(0) == ("ok", b"one")
        plane.processes[worker].wait()
        plane.reactor.worker_exited(worker)
        plane.reactor.worker_exited(worker)
        assert wire.answer(1)[0] == "error"
    assert plane.wait_gone(pool) == [("eof", 1)]


def test_answers_that_come_before_the_message_was_written(plane: Dataplane) -> None:
    plane.pool("p", program("frames", "early"), kind="frame", inflight=4)
    sizes = [500_000, 3, 0, 1 << 20]
    with plane.connect() as wire:
        wire.call_each("p", [b"x" * size for size in sizes])
        assert wire.answers(4) == {i: ("ok", b"%d" % size) for i, size in enumerate(sizes)}


def test_a_worker_that_answers_early_and_reads_no_more(plane: Dataplane) -> None:
    pool = plane.pool("p", program("frames", "hasty"), kind="frame", timeout_ms=300)
    with plane.connect() as wire:
        assert wire.ask("p", b"x" * 500_000)[0] == "timeout"
    assert plane.wait_gone(pool) == [("timeout", 1)]


@pytest.mark.parametrize(
    ("length", "reason", "status"),
    [((1 << 20) + 1, "too_large", "too_large"), (1 << 20, "timeout", "timeout")],
)
def test_a_frame_that_is_announced_and_does_not_come(
    plane: Dataplane, length: int, reason: str, status: str
) -> None:
    command = program("frames", "liar", str(length))
    pool = plane.pool("p", command, kind="frame", timeout_ms=500)
    with plane.connect() as wire:
        assert wire.ask("p", b"x")[0] == status
    assert plane.wait_gone(pool) == [(reason, 1)]


def test_a_pool_whose_workers_are_gone_keeps_messages_or_says_why(plane: Dataplane) -> None:
    pool = plane.pool("p", workers=0)
    with plane.connect() as wire:
        wire.call(1, "p", b"waits")
        wire.ping()
        plane.reactor.pool_refuse(pool, "its command fails")
        plane.settle()
        status, text = wire.answer(1)
        assert (status, b"its command fails" in text) == ("no_worker", True)
        assert wire.ask("p", b"at once")[0] == "no_worker"
        plane.reactor.pool_refuse(pool, None)
        plane.settle()
        wire.call(2, "p", b"waits again")
        wire.ping()
        plane.worker(pool)
        assert wire.answer(2) == ("ok", b"waits again")


def test_the_last_worker_drains_while_the_pool_refuses(plane: Dataplane, gate: Gate) -> None:
    """Nobody is left to take what waits, and nobody will come: it is told so."""
    pool = plane.reactor.pool_create("p", kind="line")
    worker = plane.worker(pool, OBEDIENT)
    with plane.connect() as wire:
        wire.call_each("p", [gate.message, b"waits"])
        gate.arrive()
        plane.reactor.worker_remove(worker, drain=True)
        plane.reactor.pool_refuse(pool, "it is not wanted any more")
        plane.settle()
        gate.release()
        answers = wire.answers(2)
    assert (answers[0], answers[1][0]) == (("ok", b"held"), "no_worker")


@pytest.mark.parametrize("drain", [True, False])
def test_removing_a_worker(plane: Dataplane, make_gate: Callable[[str], Gate], drain: bool) -> None:
    pool = plane.reactor.pool_create("p", kind="line", inflight=4)
    first = plane.worker(pool, OBEDIENT)
    gate = make_gate("first")
    with plane.connect() as wire:
        wire.call_each("p", [gate.message, b"behind"])
        gate.arrive()
        plane.reactor.worker_remove(first, drain=drain)
        plane.worker(pool, OBEDIENT)
        if drain:
            gate.release()
        else:
            assert plane.wait_gone(pool) == [("removed", 2)]
            gate.leave()
        answers = wire.answers(2)
    assert answers[1] == ("ok", b"behind")
    assert answers[0][0] == ("ok" if drain else "error")


def test_the_beginning_of_an_answer_that_nobody_asked_for_ends_the_worker(
    plane: Dataplane,
) -> None:
    """It would become the beginning of the first answer."""
    pool = plane.pool("p", ["sh", "-c", "printf surprise; exec cat"])
    assert plane.wait_gone(pool) == [("unasked", 0)]
    plane.worker(pool)
    with plane.connect() as wire:
        assert wire.ask("p", b"next") == ("ok", b"next")
