"""`drop node interfaces`: the node's own document, and the machine's when no node runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drop.cli import main
from drop.cli.node_interfaces import NOBODY, look_here, notes, rows
from drop.testing.reference import Frame, Type, answer, split_request
from drop.testing.server import Line, Peer, PeerThread

Drop = Callable[..., int]

DOCUMENT: dict[str, Any] = {
    "choice": "eth0",
    "why": "eth0 has the IPv4 default route by 10.0.0.1, metric 100",
    "warning": None,
    "wanted": None,
    "candidates": [
        {"name": "lo", "state": "up", "addresses": ["127.0.0.1"], "verdict": "loopback"},
        {
            "name": "eth0",
            "state": "up",
            "addresses": ["10.0.0.2", "2001:db8::2", "fd00::2", "fe80::2", "fe80::3"],
            "verdict": "chosen: IPv4 default route by 10.0.0.1, metric 100",
        },
        {"name": "eth1", "state": "down", "addresses": [], "verdict": "is down"},
    ],
}
WAITING = {
    **DOCUMENT,
    "choice": None,
    "why": "waiting for eth2, named by DROP_IFACE (environment): there is no such interface",
    "warning": "other machines cannot see this node until it can be used",
    "wanted": {"name": "eth2", "origin": "environment"},
    "fault": "no beacons by eth2",
}


@pytest.fixture
def document() -> dict[str, Any]:
    """What the node of this test answers; a test may change it."""
    return dict(DOCUMENT)


@pytest.fixture
def drop(document: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Drop]:
    """Runs a command in this process, against that node."""

    def reply(line: Line, frame: Frame) -> None:
        if frame.type != Type.CALL:
            line.peer.echo(line, frame)
            return
        _, pool, payload = split_request(frame)
        assert (pool, json.loads(payload)) == ("$control", {"op": "node.interfaces"})
        line.send(answer(frame.id, json.dumps({"ok": True, **document}).encode()))

    with PeerThread(lambda: Peer(answer=reply)) as thread:
        monkeypatch.setenv("DROP_ADDRESS", thread.peer.address)
        yield lambda *words: main.run(list(words))


def test_the_table_of_the_node(drop: Drop, capsys: pytest.CaptureFixture[str]) -> None:
    assert drop("node", "interfaces") == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.splitlines() == [
        "interface  state  addresses                                  verdict",
        "lo         up     127.0.0.1                                  loopback",
        "eth0       up     10.0.0.2, 2001:db8::2, fd00::2 and 2 more"
        "  chosen: IPv4 default route by 10.0.0.1, metric 100",
        "eth1       down   -                                          is down",
        "",
        "eth0 has the IPv4 default route by 10.0.0.1, metric 100",
    ]


def test_a_node_that_waits_is_a_failure_and_says_why(
    drop: Drop, document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    document.update(WAITING)
    assert drop("node", "interfaces") == 1
    said = capsys.readouterr()
    assert said.out.endswith("\nwaiting for eth2, named by DROP_IFACE (environment): there is no"
                             " such interface\n")  # fmt: skip
    assert said.err == (
        "drop: warning: other machines cannot see this node until it can be used\n"
        "drop: no beacons by eth2\n"
    )


def test_the_json_is_the_nodes_document(
    drop: Drop, document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    document.update(WAITING)
    assert drop("node", "interfaces", "--json") == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["running"] is True
    assert {key: printed[key] for key in WAITING} == WAITING


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No node on this machine, as far as the command can see."""
    for variable in ("DROP_ADDRESS", "DROP_IFACE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(
        "drop.cli.target.default_address", lambda: f"unix:{tmp_path / 'nobody.sock'}"
    )


@pytest.mark.usefixtures("nobody")
def test_without_a_node_it_looks_itself_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DROP_IFACE", "lo")
    assert main.run(["node", "interfaces"]) == 0
    said = capsys.readouterr()
    assert said.out.endswith("\nlo is named by DROP_IFACE (environment)\n")
    assert f"drop: {NOBODY}\ndrop: warning: lo is loopback" in said.err
    assert "nobody.sock" in said.err
    monkeypatch.setenv("DROP_IFACE", "nowhere")
    assert main.run(["node", "interfaces", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["running"] is False
    assert document["wanted"] == {"name": "nowhere", "origin": "environment"}


@pytest.mark.usefixtures("nobody")
def test_an_address_that_was_given_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = f"unix:{tmp_path / 'gone.sock'}"
    assert main.run(["node", "interfaces", "--address", where]) == 3
    monkeypatch.setenv("DROP_ADDRESS", where)
    assert main.run(["node", "interfaces"]) == 3
    assert capsys.readouterr().out == ""


def test_without_pyroute2_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("pyroute2")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyroute2", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'drop-platform\[node\]'"):
        look_here()


def test_files_that_could_not_be_read_are_told() -> None:
    document = {**DOCUMENT, "running": True, "unread": ["/etc/drop-env: cannot be read"]}
    assert notes(document) == ["/etc/drop-env: cannot be read"]
    assert rows({"candidates": []}) == []
