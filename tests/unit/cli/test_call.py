"""`drop call`: answers as they come, readers that go, closed streams, and which call failed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drop.cli.messages import Messages
from drop.testing.reference import Frame, Type, answer, part
from drop.testing.server import Line, Peer, PeerThread

Drop = Callable[..., int]


class Slow:
    """A node that gives one part of an answer, and the rest when it is told to."""

    def __init__(self) -> None:
        self.calls: list[tuple[Line, Frame]] = []

    def reply(self, line: Line, frame: Frame) -> None:
        if frame.type == Type.CALL:
            self.calls.append((line, frame))
            line.send(part(frame.id, b"one\n"))
        else:
            line.peer.echo(line, frame)

    def send(self, make: Callable[[int], Frame]) -> Callable[[Peer], object]:
        line, call = self.calls[-1]
        return lambda peer: line.send(make(call.id))


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def thread(slow: Slow) -> Iterator[PeerThread]:
    with PeerThread(lambda: Peer(answer=slow.reply)) as made:
        yield made


def call(thread: PeerThread, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "drop.cli.main", "call", *words]
    pipe = subprocess.PIPE
    environment = {**os.environ, "DROP_ADDRESS": thread.peer.address}
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, bufsize=0, env=environment)


def test_an_answer_is_printed_as_it_comes(thread: PeerThread, slow: Slow) -> None:
    with call(thread, "echo", "x") as process:
        assert process.stdout is not None
        assert process.stdout.read(4) == b"one\n"
        thread.do(slow.send(lambda id: answer(id, b"two")))
        assert process.communicate(timeout=10) == (b"two\n", b"")
        assert process.returncode == 0


def test_when_nobody_reads_the_call_is_cancelled(thread: PeerThread, slow: Slow) -> None:
    with call(thread, "echo", "x") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(4) == b"one\n"
        process.stdout.close()
        thread.do(slow.send(lambda id: part(id, b"two")))
        assert process.stderr.read() == b""
        assert process.wait(10) == 0
    [(_, called)] = slow.calls
    thread.until(lambda peer: peer.seen(Type.CANCEL))
    assert [cancel.id for cancel in thread.peer.seen(Type.CANCEL)] == [called.id]


def test_an_error_behind_a_part(thread: PeerThread, slow: Slow) -> None:
    with call(thread, "echo", "x") as process:
        assert process.stdout is not None
        assert process.stdout.read(4) == b"one\n"
        thread.do(slow.send(lambda id: answer(id, b"exit code 3", 1)))
        out, told = process.communicate(timeout=10)
    assert (process.returncode, out) == (1, b"")
    assert told.startswith(b"drop: error: exit code 3\n")


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (("lines", "a\nb"), "a\nb\n"),
        (("lines", "a\nb\n"), "a\nb\n"),
        (("lines", "a\nb", "--raw"), "a\nb"),
        (("echo", "a"), "a\n"),
        (("echo", ""), "\n"),
        (("echo", "", "--raw"), ""),
        (("lines", "a\nb", "--json"), '{"status": "ok", "answer": "a\\nb"}\n'),
    ],
)
def test_a_newline_ends_what_has_none(
    words: tuple[str, ...], printed: str, drop: Drop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drop("call", *words) == 0
    assert capsys.readouterr().out == printed


def last_call(peer: PeerThread) -> str:
    return f"{peer.peer.seen(Type.CALL)[-1].id:016x}"


def test_a_failure_names_its_call(
    peer: PeerThread, drop: Drop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drop("call", "broken", "x") == 1
    told = capsys.readouterr().err.splitlines()
    id = last_call(peer)
    assert told[0] == "drop: error: the function died"
    assert told[1].startswith(f"  call {id}: `drop logs broken --call {id}` shows")
    assert len(told) == 2
    assert drop("call", "broken", "x", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert found == {"status": "error", "error": "the function died", "call": last_call(peer)}


def test_what_no_worker_had_is_in_no_log(drop: Drop, capsys: pytest.CaptureFixture[str]) -> None:
    assert drop("call", "absent", "x", "--json") == 2
    captured = capsys.readouterr()
    assert "--call" not in captured.err
    assert "call" not in json.loads(captured.out)


def test_lines_that_fail_name_their_calls(
    peer: PeerThread, drop: Drop, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "lines"
    file.write_bytes(b"a\n")
    assert drop("call", "broken", "--lines", "--file", str(file)) == 1
    told = capsys.readouterr().err
    assert told == f"drop: line 1: error: the function died (call {last_call(peer)})\n"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("call echo x >&-", 1, b"drop: cannot read or write: Bad file descriptor\n"),
        ("call echo - <&-", 1, b"drop: cannot read or write: Bad file descriptor\n"),
        ("call echo x >&- 2>&- <&-", 1, b""),
        ("call absent x --json >&- 2>&-", 2, b""),
        ("cast echo x >&-", 0, b""),
        ("cast echo x >&- <&- 2>&-", 0, b""),
        ("--help >&-", 1, b"drop: cannot read or write: Bad file descriptor\n"),
    ],
)
def test_streams_that_are_closed(peer: PeerThread, words: str, code: int, told: bytes) -> None:
    command = f"{sys.executable} -m drop.cli.main {words}"
    environment = {**os.environ, "DROP_ADDRESS": peer.peer.address}
    run = subprocess.run(["sh", "-c", command], env=environment, capture_output=True)
    assert (run.returncode, run.stdout, run.stderr) == (code, b"", told)


@pytest.mark.parametrize(
    ("words", "code"), [(["--help"], 0), (["call", "--help"], 0), (["nonsense"], 2)]
)
def test_help_that_nobody_reads(words: list[str], code: int) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "drop.cli.main", *words]
    run = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert run.returncode == code
    assert b"Traceback" not in run.stderr
    assert (run.stderr == b"") == (code == 0)


def test_an_error_that_nobody_reads(peer: PeerThread) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "drop.cli.main", "call", "absent", "x", "--json"]
    command += ["--address", peer.peer.address]
    run = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (run.returncode, b"Traceback" in run.stderr) == (2, False)


@pytest.mark.parametrize(
    ("written", "raw", "expected"),
    [
        (b"text\n", False, b"text"),
        (b"text\n\n", False, b"text\n"),
        (b"text\n", True, b"text\n"),
        (b"text", False, b"text"),
        (b"\n", False, b""),
        (b"", False, b""),
        (b"x" * 300_000 + b"\n", False, b"x" * 300_000),
    ],
)
def test_all_of_stdin_is_one_message(
    written: bytes, raw: bool, expected: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "stdin"
    file.write_bytes(written)
    saved = os.dup(0)
    stdin = os.open(file, os.O_RDONLY)
    try:
        os.dup2(stdin, 0)
        assert list(Messages("-", raw=raw).batches()) == [[expected]]
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(stdin)
