"""The commands against a peer that speaks the protocol, in this process and in their own."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from drop.cli import main
from drop.testing.reference import Frame, Type, answer, split_request
from drop.testing.server import Line, Peer, PeerThread

STATISTICS: dict[str, Any] = {
    "node": "n1",
    "uptime_ms": 1000,
    "connections": {},
    "pools": [
        {
            "name": "echo",
            "kind": "line",
            "workers": 2,
            "refusing": False,
            "waiting": 0,
            "inflight": 1,
            "answers": 5,
            "errors": {},
            "dropped": {},
            "latency_us": {"p50": 1, "p99": 2},
        }
    ],
}
REFUSAL = {"ok": False, "error": "bad.yaml:3: num: expected a number", "kind": "bad_flow"}
CONTROL: dict[str, dict[str, Any]] = {
    "flow.list": {"ok": True, "flows": [{"name": "f", "state": "running", "file": "f.yaml",
                                         "pools": ["a", "b"]}]},
    "flow.stop": {"ok": True},
    "flow.start": {"ok": True, "name": "f", "warnings": ["f.yaml:1: odd"], "pools": [
        {"name": "a", "last_error": None}, {"name": "b", "last_error": "no\nsuch: not found"}]},
    "flow.info": {"ok": True, "name": "f", "state": "running", "file": "f.yaml", "pools": [
        {"name": "a", "command": "sh -c 'cat\ncat'", "kind": "line", "state": "running",
         "last_error": "died",
         "workers": [{"worker": 1, "pid": 7, "state": "ready", "restarts": 0, "since": "now"}],
         "subscriptions": [{"name": "b", "filter": "x", "type": "one"}]}]},
}  # fmt: skip


def control_or_echo(line: Line, frame: Frame) -> None:
    """A node with a control plane and statistics."""
    if frame.type == Type.STATISTICS:
        line.send(answer(frame.id, json.dumps(STATISTICS).encode()))
        return
    if frame.type == Type.CALL:
        _, pool, payload = split_request(frame)
        if pool == "$control":
            request = json.loads(payload)
            reply = CONTROL.get(request["op"], {"ok": True, "log_dir": "/"})
            if request.get("file", "").endswith("bad.yaml"):
                reply = REFUSAL
            if request.get("name") == "running":
                reply = {"ok": False, "error": "the flow runs already", "kind": "conflict"}
            line.send(answer(frame.id, json.dumps({**reply, "request": request}).encode()))
            return
        if pool == "binary":
            line.send(answer(frame.id, b"\xff\x00\n"))
            return
    line.peer.echo(line, frame)


@pytest.fixture(scope="session")
def peer() -> Iterator[PeerThread]:
    with PeerThread(lambda: Peer(answer=control_or_echo)) as thread:
        yield thread


@pytest.fixture
def drop(peer: PeerThread, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs a command in this process."""
    monkeypatch.setenv("DROP_ADDRESS", peer.peer.address)
    return lambda *words: main.run(list(words))


@pytest.fixture
def start() -> Callable[..., subprocess.Popen[bytes]]:
    """Runs a command in a process of its own, for what has to do with stdin and signals."""

    def run(*words: str, stdin: int | None = None) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "drop.cli.main", *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=stdin, stdout=pipe, stderr=pipe)

    return run
