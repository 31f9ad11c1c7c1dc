"""Kind exec under load: bounds that hold, nothing that grows, changes that cost no call."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from drop._fast.reactor import DRAINED, POOL_DRAINED
from system.dataplane import Dataplane, balance
from system.exec_checks import descriptors, nothing_is_left
from system.wire import Wire, statuses

pytestmark = pytest.mark.system

CALLS = int(os.environ.get("DROP_EXEC_CALLS", "3000"))
"""Processes of the test that looks for growth."""


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    with nothing_is_left():
        yield


@contextmanager
def callers(
    plane: Dataplane, count: int, check: Callable[[tuple[str, bytes]], bool]
) -> Iterator[list[tuple[str, bytes]]]:
    """Connections that call one after the other until the block ends; what `check` says no to."""
    done = threading.Event()
    wrong: list[tuple[str, bytes]] = []

    def call_on(wire: Wire) -> None:
        with wire:
            number = 0
            while not done.is_set():
                number += 1
                wire.call(number, "p", b"x")
                answer = wire.answer(number)
                if not check(answer):
                    wrong.append(answer)

    threads = [threading.Thread(target=call_on, args=[plane.connect()]) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield wrong
    finally:
        done.set()
        for thread in threads:
            thread.join()


def resident_kib() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


@pytest.mark.big
def test_nothing_grows(plane: Dataplane) -> None:
    plane.exec_pool("p", ["cat"], at_most=4, spare=(4, 4))
    with plane.connect() as wire:

        def call_many(count: int) -> None:
            for first in range(0, count, 10):
                wire.call_each("p", [b"%d" % n for n in range(10)], first)
                assert statuses(wire.answers(10)) == {"ok": 10}

        call_many(500)
        before = resident_kib(), descriptors()
        call_many(CALLS)
        after = resident_kib(), descriptors()
    assert after[0] - before[0] < 1024
    assert after[1] - before[1] < 20  # three for each process; they differ by those on their way
    figures = plane.figures("p")
    assert balance(figures)["answered"] == CALLS + 500
    assert figures["processes"]["started"] <= CALLS + 500 + 8


def test_at_most_is_never_exceeded(plane: Dataplane, tmp_path: Path) -> None:
    """Each process counts those that are at work beside it."""
    script = (
        f"cat > /dev/null; mkdir {tmp_path}/$$; ls {tmp_path} | wc -l; sleep 0.005; "
        f"rmdir {tmp_path}/$$"
    )
    plane.exec_pool("p", ["sh", "-c", script], at_most=3, spare=(0, 8), queue=1000)
    with plane.connect() as wire:
        wire.call_each("p", [b"x"] * 200)
        answers = wire.answers(200)
    assert statuses(answers) == {"ok": 200}
    counts = {int(body) for _, body in answers.values()}
    assert max(counts) <= 3
    assert counts != {1}


def test_at_most_holds_while_processes_are_killed(plane: Dataplane, tmp_path: Path) -> None:
    """Those that time out count until they are dead: a lock that only the living hold says so."""
    script = f"exec 9> {tmp_path}/lock; cat > /dev/null; flock -n 9 || exit 9; sleep 1000 9>&-"
    plane.exec_pool("p", ["sh", "-c", script], at_most=1, spare=(0, 2), timeout_ms=100)
    with plane.connect() as wire:
        wire.call_each("p", [b"x"] * 10)
        assert statuses(wire.answers(10)) == {"timeout": 10}


def test_the_number_kept_ready_adapts(plane: Dataplane) -> None:
    plane.exec_pool("p", ["cat"], at_most=8, spare=(1, 8))
    plane.until(lambda: plane.figures("p")["processes"]["ready"] == 1)
    with plane.connect() as wire:
        wire.call_each("p", [b"x"] * 40)
        assert statuses(wire.answers(40)) == {"ok": 40}
    figures = plane.figures("p")["processes"]
    assert figures["spare"] == 8
    plane.until(lambda: plane.figures("p")["processes"]["ready"] == 8)


def test_a_recipe_is_replaced_under_load(plane: Dataplane) -> None:
    """No call is lost, and none that is sent after the change is answered by the older one."""
    pool = plane.exec_pool("p", ["sh", "-c", "cat > /dev/null; echo 0"], spare=(2, 4))
    with plane.connect() as wire, callers(plane, 3, lambda answer: answer[0] == "ok") as wrong:
        for version in range(1, 30):
            plane.configure(pool, ["sh", "-c", f"cat > /dev/null; echo {version}"], spare=(2, 4))
            for _ in range(3):
                assert wire.ask("p", b"x") == ("ok", b"%d\n" % version)
    assert wrong == []
    assert balance(plane.figures("p"))["failed"] == 0


def test_a_pool_is_removed_under_load(plane: Dataplane) -> None:
    """Each call is answered once; ids that are answered twice fail in the reading."""
    allowed = {"ok", "draining", "no_pool"}
    for _ in range(5):
        pool = plane.exec_pool("p", ["cat"], spare=(2, 4))
        with callers(plane, 4, lambda answer: answer[0] in allowed) as wrong:
            plane.until(lambda: plane.figures("p")["answers"] > 20)
            plane.reactor.pool_remove(pool)
            plane.settle()
        assert wrong == []


def test_processes_that_die_at_random(plane: Dataplane) -> None:
    """Whoever is hit is told; the others, and the next ones, are not."""
    script = 'read n; [ $((n % 5)) = 0 ] && kill -9 $$; echo "$n"'
    plane.exec_pool("p", ["sh", "-c", script], spare=(2, 4), queue=1000)
    with plane.connect() as wire:
        wire.call_each("p", [b"%d\n" % n for n in range(200)])
        answers = wire.answers(200)
    for n, answer in answers.items():
        assert answer == (("ok", b"%d\n" % n) if n % 5 else ("error", b"killed by SIGKILL"))


def test_draining_a_pool_that_has_much_to_do(plane: Dataplane) -> None:
    pool = plane.exec_pool("p", ["cat"], at_most=2, spare=0, queue=1000)
    with plane.connect() as wire:
        wire.call_each("p", [b"x"] * 50)
        wire.call(50, "p", b"x")
        plane.reactor.pool_drain(pool)
        answers = wire.answers(51)
    plane.wait(POOL_DRAINED, pool)
    assert set(statuses(answers)) <= {"ok", "draining"}
    assert balance(plane.figures("p"))["there"] == 0


def test_draining_the_node(plane: Dataplane) -> None:
    plane.exec_pool("p", ["cat"], at_most=2, spare=(0, 2), queue=1000)
    with plane.connect() as wire:
        wire.call_each("p", [b"x"] * 50)
        plane.reactor.drain()
        assert set(statuses(wire.answers(50))) <= {"ok", "draining"}
        assert wire.goaway() == "draining"
    plane.wait(DRAINED)


def test_the_reactor_stops_in_the_middle_of_everything(plane: Dataplane) -> None:
    """Ready, starting and running ones; what is left is looked for behind the test."""
    for name in ("a", "b", "c"):
        plane.exec_pool(name, ["sh", "-c", "cat; sleep 1000"], spare=(4, 8))
    with plane.connect() as wire:
        for name in ("a", "b", "c"):
            wire.call_each(name, [b"x"] * 6)
        wire.call(0, "nothing", b"")
        assert wire.answer(0)[0] == "no_pool"
    assert plane.statistics()["pending"] == 18
