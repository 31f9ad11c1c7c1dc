"""`drop worker` against a peer that answers as a node's control plane does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from drop.cli import main
from drop.testing.reference import Frame, Type, answer, split_request
from drop.testing.server import Line, Peer, PeerThread

ROW: dict[str, Any] = {
    "flow": "f", "pool": "echo", "worker": 1, "pid": 7, "state": "ready", "seconds_left": None,
    "restarts": 0, "since": "2026-11-24T08:09:04Z", "rss_bytes": 1_703_936, "old": False,
    "stand_in": False,
}  # fmt: skip
ROWS = [
    ROW,
    {**ROW, "worker": 2, "state": "busy", "old": True, "restarts": 3},
    {**ROW, "worker": 3, "pid": None, "state": "back-off", "seconds_left": 2.5, "rss_bytes": None},
    {**ROW, "worker": 4, "state": "readying", "stand_in": True},
]
PROCESSES = {
    "flow": "f", "pool": "upper", "ready": 1, "starting": 0, "running": 2, "started": 40,
    "spare": 1,
}  # fmt: skip
REPLIES: dict[tuple[str, str | None], dict[str, Any]] = {
    ("worker.list", None): {"ok": True, "workers": ROWS, "processes": []},
    ("worker.list", "upper"): {"ok": True, "workers": [], "processes": [PROCESSES]},
    ("worker.list", "none"): {"ok": True, "workers": [], "processes": []},
    ("worker.list", "ecko"): {"ok": False, "kind": "not_found", "error": "did you mean 'echo'?"},
    ("worker.restart", "echo"): {"ok": True, "pool": "echo", "complete": True, "replaced": 4},
    ("worker.restart", "echo/1"): {"ok": True, "pool": "echo", "complete": True, "replaced": 1},
    ("worker.restart", "exec"): {"ok": True, "pool": "exec", "complete": True, "replaced": None},
    ("worker.restart", "slow"): {"ok": True, "pool": "slow", "complete": False},
    ("worker.restart", "bad"): {"ok": False, "kind": "failed", "error": "bad: exit code 3"},
    ("worker.kill", "echo/1"): {"ok": True, "pool": "echo", "worker": 1, "pid": 7},
    ("worker.kill", "echo/3"): {"ok": False, "kind": "conflict", "error": "no process"},
}

Run = Callable[..., int]


class Control:
    """A node's control plane, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def __call__(self, line: Line, frame: Frame) -> None:
        if frame.type != Type.CALL:
            line.peer.echo(line, frame)
            return
        request = json.loads(split_request(frame)[2])
        self.asked.append(request)
        reply = dict(REPLIES[request["op"], request.get("target") or request.get("pool")])
        if "signal" in request:
            reply["signal"] = request["signal"]
        line.send(answer(frame.id, json.dumps(reply).encode()))


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch) -> Iterator[Control]:
    control = Control()
    with PeerThread(lambda: Peer(answer=control)) as thread:
        monkeypatch.setenv("DROP_ADDRESS", thread.peer.address)
        yield control


@pytest.fixture
def drop(control: Control) -> Run:
    return lambda *words: main.run(list(words))


def test_a_pool_of_kind_exec_has_figures(drop: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert drop("worker", "list", "--pool", "upper") == 0
    text = "upper: 2 processes with a message, 1 ready, 0 starting, 40 started in all\n"
    assert capfd.readouterr().out == text


def test_list(drop: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert drop("worker", "list") == 0
    assert capfd.readouterr().out.splitlines() == [
        "pool  worker  pid  state                  restarts  since                 memory",
        "echo  1       7    ready                  0         2026-11-24T08:09:04Z  1.6 MiB",
        "echo  2       7    busy (to be replaced)  3         2026-11-24T08:09:04Z  1.6 MiB",
        "echo  3       -    back-off 2.5 s         0         2026-11-24T08:09:04Z  -",
        "echo  4       7    readying (stand-in)    0         2026-11-24T08:09:04Z  1.6 MiB",
    ]


def test_list_as_json(drop: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert drop("worker", "list", "--json") == 0
    assert json.loads(capfd.readouterr().out)["workers"] == ROWS


def test_list_filters_at_the_node(
    drop: Run, control: Control, capfd: pytest.CaptureFixture[str]
) -> None:
    assert drop("worker", "list", "--flow", "f", "--pool", "none") == 0
    assert control.asked == [{"op": "worker.list", "flow": "f", "pool": "none"}]
    assert "no workers" in capfd.readouterr().err
    assert drop("worker", "list", "--pool", "ecko") == 2
    assert "not found: did you mean 'echo'?" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("echo", "echo: 4 workers restarted\n"),
        ("echo/1", "echo/1: 1 worker restarted\n"),
        ("exec", "exec: what waits for a message was replaced, what has one ends by itself\n"),
        ("slow", "slow: still at it; `drop worker list --pool slow` shows how far\n"),
    ],
)
def test_restart(drop: Run, capfd: pytest.CaptureFixture[str], target: str, told: str) -> None:
    assert drop("worker", "restart", target) == 0
    assert capfd.readouterr().out == told


def test_restart_that_fails(drop: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert drop("worker", "restart", "bad") == 1
    assert "failed: bad: exit code 3" in capfd.readouterr().err
    assert drop("worker", "restart", "echo", "--json") == 0
    assert json.loads(capfd.readouterr().out)["replaced"] == 4


@pytest.mark.parametrize(("words", "name"), [([], "SIGKILL"), (["--signal", "SIGHUP"], "SIGHUP")])
def test_kill(
    drop: Run, control: Control, capfd: pytest.CaptureFixture[str], words: list[str], name: str
) -> None:
    assert drop("worker", "kill", "echo/1", *words) == 0
    assert control.asked == [{"op": "worker.kill", "target": "echo/1", "signal": name}]
    assert capfd.readouterr().out == f"echo/1: {name} sent to process 7\n"


def test_kill_of_one_that_does_not_run(drop: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert drop("worker", "kill", "echo/3") == 2
    assert "conflict: no process" in capfd.readouterr().err
    assert drop("worker", "kill", "echo/1", "--json") == 0
    assert json.loads(capfd.readouterr().out)["pid"] == 7
