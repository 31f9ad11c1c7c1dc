"""`drop node list|watch|forget` against a peer that answers as a node's control plane does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from drop.cli import main
from drop.testing.reference import Frame, Type, answer, split_request
from drop.testing.server import Line, Peer, PeerThread

OWN: dict[str, Any] = {
    "id": "aa" * 16, "name": "n0", "namespace": None, "state": "self", "addresses": ["10.0.0.1"],
    "port": 8085, "version": "0.1.0", "load": 0.5, "cpus": 2, "workers": 3, "memory_mib": 900,
}  # fmt: skip
ALIVE = {**OWN, "id": "bb" * 16, "name": "n1", "state": "alive", "silent_ms": 312,
         "addresses": ["10.0.0.2", "fd00::2"], "namespace": "blue", "why": "new",
         "since": "2026-11-24T08:00:00Z", "source": "10.0.0.2", "key": "01020304"}  # fmt: skip
DEAD = {**ALIVE, "id": "cc" * 16, "name": "n2", "state": "dead", "silent_ms": None, "load": None,
        "memory_mib": None, "workers": None, "namespace": None, "addresses": []}  # fmt: skip
BEACONS: dict[str, Any] = {
    "reason": None, "warnings": [], "port": 8086, "keys": ["01020304"],
    "dropped": {"foreign": 0, "forged": 0, "own": 90, "stale": 2, "truncated": 0},
}  # fmt: skip
LIST: dict[str, Any] = {
    "ok": True, "nodes": [OWN, ALIVE, DEAD], "unverified": [], "revision": 7, "beacons": BEACONS
}  # fmt: skip
CHANGE = {
    "time": "2026-11-24T08:00:01Z", "id": "bb" * 16, "name": "n1", "before": "alive",
    "state": "dead", "why": "not heard for 4.0 s", "addresses": ["10.0.0.2"], "namespace": None,
}  # fmt: skip


class Control:
    """A node's control plane: what it was asked, and what it is to answer by operation."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.replies: dict[str, list[dict[str, Any]]] = {"node.list": [LIST]}

    def __call__(self, line: Line, frame: Frame) -> None:
        if frame.type != Type.CALL:
            line.peer.echo(line, frame)
            return
        request = json.loads(split_request(frame)[2])
        self.asked.append(request)
        replies = self.replies[request["op"]]
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        line.send(answer(frame.id, json.dumps(reply).encode()))


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch) -> Iterator[Control]:
    control = Control()
    with PeerThread(lambda: Peer(answer=control)) as thread:
        monkeypatch.setenv("DROP_ADDRESS", thread.peer.address)
        yield control


def drop(*words: str) -> int:
    return main.run(["node", *words])


def test_list(control: Control, capfd: pytest.CaptureFixture[str]) -> None:
    assert drop("list") == 0
    said = capfd.readouterr()
    assert said.out.splitlines() == [
        "node  state  namespace  address   load       memory   workers  heard"
        "                            id",
        "n0 *  alive  free       10.0.0.1  0.50 of 2  900 MiB  3        this node"
        "                        aaaaaaaa",
        "n1    alive  blue       10.0.0.2  0.50 of 2  900 MiB  3        0.3 s ago"
        "                        bbbbbbbb",
        "n2    dead   free       -         -          -        -        "
        "dead since 2026-11-24T08:00:00Z  cccccccc",
    ]
    assert said.err == ""


def test_list_as_json(control: Control, capfd: pytest.CaptureFixture[str]) -> None:
    assert drop("list", "--json") == 0
    assert json.loads(capfd.readouterr().out) == LIST


def test_what_keeps_nodes_apart_is_said(
    control: Control, capfd: pytest.CaptureFixture[str]
) -> None:
    dropped = {**BEACONS["dropped"], "foreign": 12, "forged": 1}
    control.replies["node.list"] = [
        {
            **LIST,
            "unverified": [{"id": "dd", "name": "n3", "source": "10.0.0.4"}],
            "beacons": {**BEACONS, "dropped": dropped, "reason": "port 8086 is in use"}
            | {"warnings": ["tun0 carries no multicast"]},
        }
    ]
    assert drop("list") == 0
    said = capfd.readouterr().err
    assert "drop: port 8086 is in use\n" in said
    assert "drop: warning: tun0 carries no multicast\n" in said
    assert "packets dropped since this node started: 12 foreign, 1 forged\n" in said
    assert "another key" in said
    assert "does not answer: n3 (10.0.0.4); is its UDP port 8086 open to us?" in said


def test_watch_goes_on_where_it_stopped(
    control: Control, capfd: pytest.CaptureFixture[str]
) -> None:
    control.replies["node.watch"] = [
        {"ok": True, "revision": 8, "changes": [CHANGE], "missed": False},
        {"ok": True, "revision": 99, "changes": [{**CHANGE, "state": None}], "missed": True},
        {"ok": False, "kind": "conflict", "error": "16 watch already"},
    ]
    assert drop("watch") == 2
    said = capfd.readouterr()
    assert said.out.splitlines() == [
        "2026-11-24T08:00:01Z  n1  10.0.0.2  bbbbbbbb  dead: not heard for 4.0 s",
        "2026-11-24T08:00:01Z  n1  10.0.0.2  bbbbbbbb  forgotten: not heard for 4.0 s",
    ]
    assert "some changes were missed" in said.err
    assert [each["revision"] for each in control.asked[1:]] == [7, 8, 99]


def test_forget(control: Control, capfd: pytest.CaptureFixture[str]) -> None:
    control.replies["node.forget"] = [{"ok": True, "id": "cc" * 16, "name": "n2"}]
    assert drop("forget", "n2") == 0
    assert "n2 (cccccccc) is forgotten" in capfd.readouterr().out
    assert control.asked == [{"op": "node.forget", "node": "n2"}]


def test_forget_of_one_that_lives(control: Control, capfd: pytest.CaptureFixture[str]) -> None:
    control.replies["node.forget"] = [{"ok": False, "kind": "conflict", "error": "n1 is alive"}]
    assert drop("forget", "n1") == 2
    assert "conflict: n1 is alive" in capfd.readouterr().err
