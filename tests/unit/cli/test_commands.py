"""What the commands print and how they end."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from drop.testing.reference import Type, goaway
from drop.testing.server import PeerThread

Run = Callable[..., int]
Start = Callable[..., subprocess.Popen[bytes]]
Piped = Callable[..., tuple[int, bytes, bytes]]


@pytest.fixture
def piped(peer: PeerThread, start: Start) -> Piped:
    """Runs a command with this on its stdin; exit code, stdout, stderr."""

    def run(data: bytes, *words: str) -> tuple[int, bytes, bytes]:
        process = start(*words, "--address", peer.peer.address, stdin=subprocess.PIPE)
        out, err = process.communicate(data, timeout=20)
        return process.returncode, out, err

    return run


def test_call(drop: Run, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert drop("call", "echo", "hello") == 0
    assert drop("call", "binary", "x") == 0
    assert drop("call", "echo", "no newline", "--raw") == 0
    assert capfdbinary.readouterr().out == b"hello\n\xff\x00\nno newline"


def test_call_as_json(drop: Run, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert drop("call", "echo", "hello", "--json") == 0
    assert drop("call", "binary", "hello", "--json") == 0
    first, second = map(json.loads, capfdbinary.readouterr().out.splitlines())
    assert first == {"status": "ok", "answer": "hello"}
    assert second == {"status": "ok", "answer_base64": "/wAK"}


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["call", "absent", "x"], 2, "no pool: "),
        (["call", "broken", "x"], 1, "the function died"),
        (["call", "silent", "x", "--timeout", "0.05"], 4, "timeout: "),
        (["call", "echo", "x", "--timeout", "0"], 2, "expected more than 0"),
        (["call", "bad name", "x"], 2, "bad request: "),
        (["call", "echo", "x", "--lines"], 2, "expected one of them"),
        (["call", "echo", "x", "--address", "127.0.0.1:1"], 3, "127.0.0.1:1: Connection refused"),
        (["call", "echo", "x", "--address", "unix:/nonexistent"], 3, "drop-node run"),
        (["call", "echo", "x", "--address", "here"], 2, "expected host:port"),
        (["call", "echo", "x", "--token-file", "/nonexistent"], 2, "No such file"),
        (["publish", "absent", "x"], 2, "no pool: "),
        (["subscribe", "absent"], 2, "no pool: "),
        (["subscribe", "echo", "--count", "0"], 2, "expected 1 or more"),
        (["top", "--interval", "0"], 2, "expected more than 0"),
        (["flow", "start", "bad.yaml"], 2, "bad.yaml:3: num"),
        (["flow", "start", "running"], 2, "conflict: the flow runs already"),
        (["bench", "absent", "--seconds", "0.05"], 2, "there is no pool"),
        (["bench", "broken", "--seconds", "0.05"], 1, "the function died"),
        (["bench", "silent", "--seconds", "0.05"], 4, "no answer from silent"),
        (["bench", "echo", "--address", "127.0.0.1:1"], 3, "Connection refused"),
        (["bench", "echo", "--depth", "0"], 2, "--depth 0"),
        (["bench", "echo", "--connections", "100000000"], 2, "MiB"),
        (["bench", "echo", "--payload", "x", "--payload-file", "y"], 2, "one of them"),
        (["bench", "echo", "--seconds", "x"], 2, "seconds"),
        (["logs", "echo", "--since", "soon", "--directory", "/"], 2, "is no time"),
        (["logs", "echo", "--grep", "(", "--directory", "/"], 2, "regular expression"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_what_fails_says_why(
    drop: Run, capfd: pytest.CaptureFixture[str], words: list[str], code: int, told: str
) -> None:
    assert drop(*words) == code
    captured = capfd.readouterr()
    assert told in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_failures_as_json(drop: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert drop("call", "absent", "x", "--json") == 2
    assert json.loads(capfd.readouterr().out)["status"] == "no_pool"
    assert drop("call", "echo", "x", "--json", "--address", "127.0.0.1:1") == 3
    assert json.loads(capfd.readouterr().out)["status"] == "unreachable"
    for words in (["call"], ["nonsense"], ["bench", "echo", "--seconds", "x"]):
        assert drop(*words, "--json") == 2
        assert json.loads(capfd.readouterr().out)["status"] == "usage"


def test_output_that_cannot_be_written(peer: PeerThread) -> None:
    command = [sys.executable, "-m", "drop.cli.main", "call", "echo", "x"]
    with open("/dev/full", "wb") as full:
        run = subprocess.run(
            [*command, "--address", peer.peer.address], stdout=full, stderr=subprocess.PIPE
        )
    assert run.returncode == 1
    assert run.stderr == b"drop: cannot read or write: No space left on device\n"


def test_stdin_is_one_message(piped: Piped, peer: PeerThread) -> None:
    assert piped(b"two\nlines\n", "call", "echo", "-") == (0, b"two\nlines\n", b"")
    assert piped(b"no newline", "call", "echo") == (0, b"no newline\n", b"")
    assert piped(b"exact\n", "call", "echo", "--raw") == (0, b"exact\n", b"")
    assert peer.peer.received[-1].body.endswith(b"exact\n")


def test_lines_are_calls_with_answers_in_order(piped: Piped) -> None:
    data = b"".join(b"%d\n" % number for number in range(5000))
    assert piped(data, "call", "echo", "--lines") == (0, data, b"")


def test_each_line_that_fails_is_told(piped: Piped) -> None:
    code, out, err = piped(b"a\nb", "call", "broken", "--lines")
    assert (code, out) == (1, b"\n\n")
    assert [line.partition(b" (call ")[0] for line in err.splitlines()] == [
        b"drop: line 1: error: the function died",
        b"drop: line 2: error: the function died",
    ]


def test_a_wall_of_failures_is_summed_up(piped: Piped) -> None:
    code, out, err = piped(b"x\n" * 500, "call", "broken", "--lines")
    assert (code, out) == (1, b"\n" * 500)
    told = err.splitlines()
    assert len(told) == 11
    assert told[-1] == b"drop: 500 of 500 lines failed; --json tells of each"


def test_answers_come_while_the_input_goes_on(start: Start, peer: PeerThread) -> None:
    words = ("call", "echo", "--lines", "--address", peer.peer.address)
    with start(*words, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in (b"first\n", b"second\n"):
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline() == line


def test_cast_and_publish(drop: Run, piped: Piped, peer: PeerThread) -> None:
    assert drop("publish", "echo", "published") == 0
    assert drop("cast", "echo", "cast") == 0
    assert drop("ping", "--count", "1") == 0  # the cast was read before
    sent = [f.body for f in peer.peer.received if f.type in (Type.CAST, Type.PUBLISH)]
    assert [body[-4:] for body in sent][-1] == b"cast"
    assert piped(b"1\n2\n", "publish", "echo", "--lines", "--json") == (
        0,
        b'{"status": "ok"}\n' * 2,
        b"",
    )


def subscriber(start: Start, peer: PeerThread, *words: str) -> subprocess.Popen[bytes]:
    """A `drop subscribe` whose subscription is in force."""
    before = len(peer.peer.seen(Type.SUBSCRIBE))
    process = start("subscribe", *words, "--address", peer.peer.address)
    done: list[bool] = []
    while not done:
        peer.do(lambda p: done.append(True) if len(p.seen(Type.SUBSCRIBE)) > before else None)
    return process


def test_subscribe_prints_a_line_for_each_event(drop: Run, start: Start, peer: PeerThread) -> None:
    process = subscriber(start, peer, "events", "--filter", "a", "--count", "2")
    for message in ("a1", "b", "a2\n"):
        assert drop("publish", "events", message) == 0
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, b"a1\na2\n", b"")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_subscribe_ends_cleanly_at_a_signal(
    drop: Run, start: Start, peer: PeerThread, number: signal.Signals
) -> None:
    process = subscriber(start, peer, "events", "--json")
    assert process.stdout is not None
    drop("publish", "events", "x")
    assert process.stdout.readline() == b'{"event": "x"}\n'  # flushed: it has come
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, b"", b"")


def test_subscribe_ends_cleanly_when_nobody_reads(
    drop: Run, start: Start, peer: PeerThread
) -> None:
    process = subscriber(start, peer, "events")
    assert process.stdout is not None
    process.stdout.close()
    drop("publish", "events", "x")
    assert process.wait(20) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()


def test_subscribe_ends_with_the_node(start: Start) -> None:
    with PeerThread() as own:
        process = subscriber(start, own, "events")
        own.do(lambda peer: peer.cut(goaway(8, "stopping")))
        _, err = process.communicate(timeout=20)
    assert process.returncode == 3
    assert b"draining: stopping" in err


def test_ping_and_stats(drop: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert drop("ping", "--count", "2", "--json") == 0
    assert json.loads(capfd.readouterr().out)["count"] == 2
    assert drop("stats", "--json") == 0
    assert json.loads(capfd.readouterr().out)["node"] == "n1"
    assert drop("stats", "echo") == 0
    assert json.loads(capfd.readouterr().out)["node"] == "n1"


def test_top_once(drop: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert drop("top", "--once", "--interval", "0.01") == 0
    assert "echo" in capfd.readouterr().out
    assert drop("top", "--once", "--json", "--interval", "0.01") == 0
    view = json.loads(capfd.readouterr().out)
    assert view["pools"][0]["answers_per_second"] == 0


def test_flows(drop: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert drop("flow", "list") == 0
    assert capfd.readouterr().out.splitlines()[1].split() == ["f", "running", "2", "f.yaml"]
    assert drop("flow_stop", "f") == 0
    assert capfd.readouterr().out == "flow f stopped\n"
    assert drop("flow", "info", "f") == 0
    shown = capfd.readouterr().out
    assert "1 ready" in shown
    assert "sh -c 'cat\\ncat'\n" in shown
    assert "a: died" in shown
    assert "a: gets (one) what b answers containing 'x'" in shown
    assert drop("flow", "stop", "f", "--json") == 0
    assert json.loads(capfd.readouterr().out)["request"] == {"op": "flow.stop", "name": "f"}


def test_a_flow_file_is_sent_as_a_whole_path(drop: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert drop("flow", "start", "f.yaml", "--json") == 0
    request = {"op": "flow.start", "file": str(Path("f.yaml").absolute())}
    shown = capfd.readouterr()
    assert json.loads(shown.out)["request"] == request
    assert shown.err.splitlines() == [
        "drop: warning: f.yaml:1: odd",
        "drop: warning: b: no\\nsuch: not found",
    ]
    assert drop("flow", "start", "name", "--json") == 0
    assert json.loads(capfd.readouterr().out)["request"] == {"op": "flow.start", "name": "name"}
