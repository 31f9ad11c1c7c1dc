"""A real node whose flows are started, stopped and reloaded while it runs."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from drop.client import Client
from drop.errors import NoPool
from node_tools import (
    ECHO,
    StartNode,
    cat,
    flow,
    pids,
    shell,
    until,
)

pytestmark = pytest.mark.system


# --- flows while it runs ---


def test_flows_are_started_stopped_and_survive_a_restart(
    start_node: StartNode, tmp_path: Path
) -> None:
    file = tmp_path / "later.yaml"
    file.write_text(flow("later", cat("later")))
    node = start_node(ECHO)
    with Client(node.socket_address) as client:
        assert client.control("flow.start", file=str(file))["state"] == "running"
        assert client.call("later", b"1") == b"1"
        again = client.control("flow.start", file=str(file))
        assert (again["ok"], again["kind"]) == (False, "conflict")
    assert node.stop() == 0
    file.unlink()
    node.start()
    with Client(node.socket_address) as client:
        assert client.call("later", b"2") == b"2"
        assert client.control("flow.stop", name="later")["ok"]
        with pytest.raises(NoPool):
            client.call("later", b"3")
        states = {each["name"]: each["state"] for each in client.control("flow.list")["flows"]}
        assert states == {"echo": "running", "later": "stopped"}


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        ({"op": "flow.stop", "name": "none"}, "not_found"),
        ({"op": "flow.start", "file": "relative.yaml"}, "bad_request"),
        ({"op": "flow.start", "file": "/no/such/file.yaml"}, "bad_flow"),
        ({"op": "flow.start"}, "bad_request"),
        ({"op": "flow.fly"}, "bad_request"),
        ({}, "bad_request"),
        ([], "bad_request"),
    ],
)
def test_operations_that_are_refused(start_node: StartNode, request_: object, kind: str) -> None:
    node = start_node(ECHO)
    with Client(node.socket_address) as client:
        reply = json.loads(client.call("$control", json.dumps(request_)))
        assert (reply["ok"], reply["kind"]) == (False, kind)
        assert json.loads(client.call("$control", b"{"))["kind"] == "bad_request"


def test_sighup_takes_a_changed_flow_and_leaves_the_others_alone(start_node: StartNode) -> None:
    node = start_node(ECHO, flow("two", cat("two")))
    with Client(node.socket_address) as client:
        before = pids(client)[:2]
        node.flow_files[1].write_text(flow("two", {"name": "two", "cmd": "sed -u 's/^/new /'"}))
        node.process.send_signal(signal.SIGHUP)
        until(lambda: client.call("two", b"x") == b"new x")
        assert pids(client)[:2] == before


def test_sighup_with_a_bad_flow_leaves_the_running_ones_as_they_were(
    start_node: StartNode,
) -> None:
    node = start_node(ECHO, flow("two", cat("two")))
    with Client(node.socket_address) as client:
        before = pids(client)
        node.flow_files[0].write_text(flow("echo", cat("changed")))
        node.flow_files[1].write_text(flow("two", cat("two", num="many")))
        node.process.send_signal(signal.SIGHUP)
        until(lambda: "reload_failed" in node.output)
        assert f"{node.flow_files[1]}:5:" in node.output
        assert pids(client) == before
        assert client.call("echo", b"x") == b"x"


def test_stopping_a_chain_loses_nothing_that_was_accepted(
    start_node: StartNode, tmp_path: Path
) -> None:
    result = tmp_path / "result"
    slow = "while read m; do sleep 0.01; echo $m; done"
    last = shell("last", f"while read m; do echo $m >>{result}; echo; done")
    last["sub"] = [{"name": "first"}]
    node = start_node(flow("chain", shell("first", slow), last))
    with Client(node.socket_address) as client:
        for number in range(50):
            client.publish("first", b"%d" % number)
        assert client.control("flow.stop", name="chain")["ok"]
    assert result.read_text().split() == [str(number) for number in range(50)]
