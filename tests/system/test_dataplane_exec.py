"""Kind exec with real processes, one call at a time: its bytes, its end, its time, its children."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from drop._fast.reactor import SPARES_OFF, SPAWN_FAILED, SPAWN_WORKS
from node_tools import processes
from system.dataplane import Dataplane, balance, program
from system.exec_checks import StartPlane, nothing_is_left
from system.gate import Gate

pytestmark = pytest.mark.system

HELD = ["sh", "-c", 'read verb path; cat "$path"']
"""Answers what is written to the FIFO of a Gate's message."""


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    with nothing_is_left():
        yield


# ---- what it writes -----------------------------------------------------------------------------


@pytest.mark.parametrize("spare", [0, 2])
@pytest.mark.parametrize(
    ("command", "payload", "answer"),
    [
        (["tr", "a-z", "A-Z"], b"abc\ndef\n", b"ABC\nDEF\n"),
        (["wc", "-w"], b"one two  three\n", b"3\n"),
        (["sort"], b"b\nc\na\n", b"a\nb\nc\n"),
        (["cat"], bytes(range(256)), bytes(range(256))),
        (["sed", "s/x/y/"], b"", b""),
        (["sh", "-c", "cat > /dev/null"], b"x", b""),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_unmodified_programs(
    plane: Dataplane, command: list[str], payload: bytes, answer: bytes, spare: int
) -> None:
    plane.exec_pool("p", command, spare=spare)
    with plane.connect() as wire:
        for _ in range(5):
            assert wire.ask("p", payload) == ("ok", answer)
    assert balance(plane.figures("p"))["answered"] == 5


def test_a_script_of_python(plane: Dataplane) -> None:
    script = "import sys; print(sum(map(int, sys.stdin.read().split())))"
    plane.exec_pool("p", [*program("frames")[:-1], "-c", script])
    with plane.connect() as wire:
        assert wire.ask("p", b"1 2 3 4") == ("ok", b"10\n")


def test_a_program_that_acts_before_it_reads(plane: Dataplane) -> None:
    """It cannot be kept ready, and is not any more after the first time."""
    pool = plane.exec_pool("p", ["date", "+%s"], spare=(2, 4))
    ((_, _, reason),) = plane.wait(SPARES_OFF, pool)
    assert reason == "wrote to stdout before it was given a message"
    plane.until(lambda: plane.figures("p")["workers"] == 0)
    with plane.connect() as wire:
        for _ in range(10):
            status, answer = wire.ask("p", b"x")
            assert status == "ok"
            assert answer.strip().isdigit()
    figures = plane.figures("p")["processes"]
    assert (figures["ready"], figures["spare"]) == (0, 0)
    assert figures["started"] < 20


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("echo lost; exit 3", b"exit code 3"),
        ("cat > /dev/null; kill -9 $$", b"killed by SIGKILL"),
        ("kill -SEGV $$", b"killed by SIGSEGV"),
        ("exit 127", b"exit code 127"),
    ],
)
def test_bad_ends(plane: Dataplane, script: str, text: bytes) -> None:
    plane.exec_pool("p", ["sh", "-c", script], spare=0)
    with plane.connect() as wire:
        assert wire.ask("p", b"x") == ("error", text)
    assert balance(plane.figures("p"))["failed"] == 1


SIZES = [0, 1, 65_535, 65_536, 65_537, 262_143, 262_144, 262_145, 1 << 20, 5_000_000, 64 << 20]


def test_binary_payloads_of_all_sizes(start_plane: StartPlane) -> None:
    plane = start_plane(payload_max=64 << 20)
    plane.exec_pool("p", ["cat"], spare=1)
    with plane.connect() as wire:
        for size in SIZES:
            payload = os.urandom(size)
            assert wire.ask("p", payload) == ("ok", payload), size
    plane.until(lambda: plane.statistics()["memory"]["in_use"] < 1 << 20)


def test_output_before_input(plane: Dataplane) -> None:
    plane.exec_pool("p", ["sh", "-c", "read line; head -c 300000 /dev/zero; cat"], spare=1)
    payload = b"\n" + os.urandom(700_000)
    with plane.connect() as wire:
        assert wire.ask("p", payload) == ("ok", bytes(300_000) + payload[1:])


@pytest.mark.parametrize("script", ["echo done", "exec <&-; sleep 0.05; echo done"])
def test_a_program_that_never_reads_a_large_payload(plane: Dataplane, script: str) -> None:
    plane.exec_pool("p", ["sh", "-c", script], spare=0)
    with plane.connect() as wire:
        for _ in range(3):
            assert wire.ask("p", b"x" * 1_000_000) == ("ok", b"done\n")


@pytest.mark.parametrize("command", [["yes"], ["head", "-c", "1048577", "/dev/zero"]])
def test_too_large_an_answer(plane: Dataplane, command: list[str]) -> None:
    plane.exec_pool("p", command, spare=0)
    plane.exec_pool("q", ["cat"])
    with plane.connect() as wire:
        assert wire.ask("p", b"x")[0] == "too_large"
        assert wire.ask("q", b"x") == ("ok", b"x")
    plane.until(lambda: plane.figures("p")["workers"] == 0)


# ---- time ---------------------------------------------------------------------------------------


def script_of(tmp_path: Path, text: str) -> list[str]:
    """The command of a script in a file: its words are not those of the process."""
    path = tmp_path / "script"
    path.write_text(text)
    return ["sh", str(path)]


def test_a_timeout_kills_all_of_the_group(plane: Dataplane, marked: str, tmp_path: Path) -> None:
    text = f"cat > /dev/null; sh -c 'sleep 1000; true' {marked} & sleep 1000"
    plane.exec_pool("p", script_of(tmp_path, text), timeout_ms=300)
    with plane.connect() as wire:
        assert wire.ask("p", b"x")[0] == "timeout"
        plane.until(lambda: plane.figures("p")["processes"]["running"] == 0)
        assert plane.figures("p")["errors"] == {"timeout": 1}
        plane.until(lambda: processes(marked) == [])


def test_children_that_keep_its_stdout(plane: Dataplane, marked: str, tmp_path: Path) -> None:
    """The answer is what it wrote, as soon as it is dead; its children are not left behind."""
    text = f"cat; sh -c 'sleep 1000; echo late' {marked} & exit 0"
    plane.exec_pool("p", script_of(tmp_path, text))
    with plane.connect() as wire:
        for n in range(5):
            assert wire.ask("p", b"%d" % n) == ("ok", b"%d" % n)
        plane.until(lambda: processes(marked) == [])


@pytest.mark.parametrize("cancels", [True, False])
def test_a_caller_that_does_not_wait_for_it(plane: Dataplane, gate: Gate, cancels: bool) -> None:
    """The process goes on; subscribers get what it comes to."""
    plane.exec_pool("p", HELD)
    with plane.connect() as wire, plane.connect() as watcher:
        watcher.subscribe(1, "p")
        wire.call(1, "p", gate.message, timeout_ms=0 if cancels else 200)
        gate.arrive()
        if cancels:
            wire.cancel(1, "p")
        assert wire.answer(1)[0] == ("cancelled" if cancels else "timeout")
        gate.release(b"late")
        assert watcher.receive().body == b"late"
    assert plane.figures("p")["late"] == 1


def test_cancelled_before_a_process_was_free(plane: Dataplane, gate: Gate) -> None:
    plane.exec_pool("p", HELD, at_most=1)
    with plane.connect() as wire:
        wire.call(1, "p", gate.message)
        gate.arrive()
        wire.call(2, "p", b"hold /nowhere")
        wire.cancel(2, "p")
        assert wire.answer(2)[0] == "cancelled"
        gate.release()
        assert wire.answer(1) == ("ok", b"held")
    assert plane.figures("p")["messages"] == 2


def test_a_client_that_vanishes(plane: Dataplane, gate: Gate) -> None:
    plane.exec_pool("p", HELD)
    wire = plane.connect()
    wire.call(1, "p", gate.message)
    gate.arrive()
    wire.vanish()
    gate.release()
    plane.until(lambda: plane.statistics()["connections"]["open"] == 0)
    plane.until(lambda: plane.figures("p")["inflight"] == 0)
    assert balance(plane.figures("p"))["answered"] == 1


# ---- starting -----------------------------------------------------------------------------------


def test_calls_wait_until_it_is_said_how_to_start(plane: Dataplane) -> None:
    pool = plane.reactor.pool_create("p", kind="exec")
    with plane.connect() as wire:
        wire.call(1, "p", b"x")
        wire.ping()
        plane.configure(pool, ["cat"])
        assert wire.answer(1) == ("ok", b"x")


def test_a_program_that_is_not_there(plane: Dataplane) -> None:
    """It is told once, nothing is tried meanwhile, and what waits is not lost."""
    pool = plane.exec_pool("p", ["/no/such/program"])
    ((_, _, number, text),) = plane.wait(SPAWN_FAILED, pool)
    assert (number, bool(text)) == (2, True)
    with plane.connect() as wire:
        wire.call(1, "p", b"x")
        wire.ping()
        assert plane.figures("p")["processes"]["started"] == 1
        plane.reactor.exec_resume(pool)
        plane.wait(SPAWN_FAILED, pool, count=2)
        plane.configure(pool, ["cat"])
        assert wire.answer(1) == ("ok", b"x")


def test_a_pool_that_cannot_start_says_so(plane: Dataplane) -> None:
    pool = plane.exec_pool("p", ["/no/such/program"])
    plane.wait(SPAWN_FAILED, pool)
    plane.reactor.pool_refuse(pool, "there is no such program")
    plane.settle()
    with plane.connect() as wire:
        status, text = wire.ask("p", b"x")
        assert (status, b"there is no such program" in text) == ("no_worker", True)
        plane.reactor.pool_refuse(pool, None)
        plane.configure(pool, ["cat"])
        assert wire.ask("p", b"x") == ("ok", b"x")


def test_it_can_be_started_again(plane: Dataplane, tmp_path: Path) -> None:
    path = str(tmp_path / "function")
    pool = plane.exec_pool("p", [path])
    plane.wait(SPAWN_FAILED, pool)
    os.symlink("/bin/cat", path)
    with plane.connect() as wire:
        wire.call(1, "p", b"x")
        wire.ping()
        plane.reactor.exec_resume(pool)
        plane.wait(SPAWN_WORKS, pool)
        assert wire.answer(1) == ("ok", b"x")


def test_retries_start_another_process(plane: Dataplane, tmp_path: Path) -> None:
    script = f"rmdir {tmp_path}/once 2> /dev/null && exit 1; cat"
    (tmp_path / "once").mkdir()
    plane.exec_pool("p", ["sh", "-c", script], retries=1, spare=0)
    with plane.connect() as wire:
        assert wire.ask("p", b"x" * 500_000) == ("ok", b"x" * 500_000)
    assert plane.figures("p")["retried"] == 1


def test_an_answer_is_an_event(plane: Dataplane) -> None:
    plane.exec_pool("p", ["tr", "a-z", "A-Z"])
    plane.exec_pool("q", ["rev"])
    plane.subscribe("p", "q")
    with plane.connect() as wire, plane.connect() as watcher:
        watcher.subscribe(1, "q")
        wire.cast("p", b"abc")
        assert watcher.receive().body.strip() == b"CBA"


def test_a_batch_finds_processes_though_none_is_kept_ready(plane: Dataplane) -> None:
    pool = plane.exec_pool("p", ["cat"], spare=0, at_most=2)
    plane.reactor.publish(pool, [b"%d" % n for n in range(20)])
    plane.until(lambda: plane.figures("p")["answers"] == 20)
    assert balance(plane.figures("p"))["answered"] == 20
