"""`drop bench` and the binding of the load generator."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import pytest

from drop._fast import load
from drop.cli import main
from drop.cli.bench import WARMUP_S
from drop.testing.reference import Frame, Type, goaway
from drop.testing.server import Line, Peer, PeerThread

Run = Callable[..., int]
Start = Callable[..., subprocess.Popen[bytes]]


def test_bench(drop: Run, capfd: pytest.CaptureFixture[str]) -> None:
    words = ("bench", "echo", "--seconds", "0.2", "--verify", "--json")
    assert drop(*words, "--connections", "2", "--depth", "3", "--size", "50") == 0
    figures = json.loads(capfd.readouterr().out)
    assert figures["messages"] > 0
    assert figures["messages_per_second"] > 0
    assert 0 < figures["p50_us"] <= figures["p99_us"] <= figures["p999_us"] <= figures["max_us"]
    assert (figures["errors"], figures["unanswered"], figures["size"]) == (0, 0, 50)
    assert drop("bench", "echo", "--seconds", "0.1", "--payload", "hello") == 0
    assert "messages/s" in capfd.readouterr().out


def test_bench_reports_an_answer_that_is_no_echo(
    drop: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    assert drop("bench", "binary", "--seconds", "0.1", "--verify") == 1
    assert "differs from its message" in capfd.readouterr().err


def test_bench_reports_a_node_that_goes(capfd: pytest.CaptureFixture[str]) -> None:
    def leave(line: Line, frame: Frame) -> None:
        if frame.type == Type.CALL:
            line.peer.cut(goaway(8, "stopping"))
        else:
            line.peer.echo(line, frame)

    with PeerThread(lambda: Peer(answer=leave)) as own:
        assert main.run(["bench", "echo", "--address", own.peer.address]) == 3
    assert "draining: stopping" in capfd.readouterr().err


def test_a_wrong_token(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_bytes(b"secret\n")
    with PeerThread(lambda: Peer(token=b"secret")) as own:
        address = own.peer.address
        for command in (["call", "echo", "x"], ["bench", "echo", "--seconds", "0.05"]):
            assert main.run([*command, "--address", address]) == 2
            assert "DROP_TOKEN" in capfd.readouterr().err
            words = [*command, "--address", address, "--token-file", str(token)]
            assert main.run(words) == 0


def test_interrupting_bench_keeps_what_was_measured(start: Start, peer: PeerThread) -> None:
    address = peer.peer.address
    calls = len(peer.peer.seen(Type.CALL))
    process = start("bench", "echo", "--seconds", "60", "--json", "--address", address)
    began: list[float] = []
    while not began or monotonic() < began[0] + 2 * WARMUP_S:
        peer.do(lambda p: began.append(monotonic()) if len(p.seen(Type.CALL)) > calls else None)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert json.loads(out)["seconds"] < 60


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"fds": []}, ValueError),
        ({"pool": b""}, ValueError),
        ({"pool": b"x" * 129}, ValueError),
        ({"depth": 0}, ValueError),
        ({"depth": load.DEPTH_MAX + 1}, ValueError),
        ({"fds": [-1, -1]}, OSError),
    ],
)
def test_a_load_that_cannot_run_is_refused(
    changes: dict[str, object], error: type[Exception]
) -> None:
    arguments = {"fds": [0], "pool": b"p", "payload": b"", "depth": 1, "seconds": 0.1, **changes}
    with pytest.raises(error):
        load.Load(**arguments)  # type: ignore[arg-type]
