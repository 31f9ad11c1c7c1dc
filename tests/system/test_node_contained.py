"""A node of root's as it is by default: its workers are somebody else, apart, and limited."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from as_nobody import NOBODY, needs_root
from drop.client import Client
from drop.errors import CallTimeout, FunctionError
from drop.host.cgroups import survey
from node_tools import StartNode, alive, flow, groups_of, info, processes, refused, shell, until

pytestmark = [pytest.mark.system, needs_root]

SYSTEM_PYTHON = "/usr/bin/python3"
FILL = f"exec {SYSTEM_PYTHON} -ISE -c 'a = [bytes(1 << 20) + b\"x\" for _ in range(400)]'"
NOBODYS = {"DROP_WORKER_USER": "nobody"}

needs_groups = pytest.mark.skipif(
    bool({"memory", "pids"} & survey().keys()), reason=f"no control groups: {survey()}"
)


def contained(name: str, script: str, **keys: object) -> dict[str, object]:
    """With all defaults, in a directory that everybody may enter."""
    return shell(name, script, **{"cwd": "/", "contain": {}, **keys})


def test_a_worker_is_somebody_else_with_a_tmp_of_its_own(start_node: StartNode) -> None:
    show = (
        "read m; id -u; ls -A /tmp | wc -l; grep NoNewPrivs /proc/self/status; ulimit -n;"
        " echo $HOME $PATH; touch /tmp/mine && echo wrote; touch /mine 2>/dev/null || echo kept"
    )
    script = f"({show}) | tr '\\n' '|'; echo; cat"
    node = start_node(flow("f", contained("p", script)), **NOBODYS)
    with Client(node.socket_address) as client:
        said = client.call("p", b"x").decode().split("|")
    assert said[:4] == [str(NOBODY), "0", "NoNewPrivs:\t1", "1024"]
    assert said[4] == f"/ {os.environ['PATH']}"  # /nonexistent is not there
    assert said[5:7] == ["wrote", "kept"]
    assert not Path("/tmp/mine").exists()


def test_two_workers_do_not_share_their_tmp(start_node: StartNode) -> None:
    script = "while read m; do touch /tmp/$m; ls /tmp | tr '\\n' ' '; echo; done"
    node = start_node(flow("f", contained("p", script, num=1), contained("q", script)), **NOBODYS)
    with Client(node.socket_address) as client:
        assert client.call("p", b"a") == b"a "
        assert client.call("q", b"b") == b"b "
        assert client.call("p", b"c") == b"a c "


@needs_groups
def test_memory_that_is_out_is_named_to_the_caller_and_in_the_flow(start_node: StartNode) -> None:
    node = start_node(
        flow(
            "f",
            contained("p", f"read m; {FILL}", memory=48),
            contained("e", f"cat >/dev/null; {FILL}", memory=48, kind="exec"),
        ),
        **NOBODYS,
    )
    with Client(node.socket_address) as client:
        with pytest.raises(FunctionError, match="out of memory, limit 48 MiB"):
            client.call("p", b"x", timeout=30.0)
        with pytest.raises(FunctionError, match="killed: out of memory"):
            client.call("e", b"x", timeout=30.0)
        pools = {each["name"]: each for each in info(client, "f")["pools"]}
        assert "out of memory, limit 48 MiB" in pools["p"]["last_error"]


@needs_groups
def test_a_fork_bomb_is_stopped(start_node: StartNode, marked: str) -> None:
    bomb = f"read m; b() {{ b {marked} | b {marked} & }}; b; wait; sleep 1000"
    node = start_node(
        flow("f", contained("p", bomb, limits={"processes": 32}, timeout=1000)), **NOBODYS
    )
    with Client(node.socket_address) as client:
        with pytest.raises((CallTimeout, FunctionError)):
            client.call("p", b"x", timeout=30.0)
        until(lambda: info(client, "f")["state"] in ("running", "failing"))
    assert node.stop() == 0


HIDE = "setsid sh -c 'sleep 1000; :' {} & read m; echo $m; cat"


@needs_groups
def test_children_in_sessions_of_their_own_go_with_their_worker(
    start_node: StartNode, marked: str
) -> None:
    node = start_node(flow("f", contained("p", HIDE.format(marked))), **NOBODYS)
    with Client(node.socket_address) as client:
        assert client.call("p", b"x") == b"x"
        before = until(lambda: processes(marked))
        assert client.control("worker.kill", target="p/1")["ok"]
        until(lambda: not any(map(alive, before)))
        until(lambda: processes(marked))
        assert client.control("flow.stop", name="f")["ok"]
        until(lambda: not processes(marked))


@needs_groups
def test_they_go_at_the_next_start_when_the_node_was_killed(
    start_node: StartNode, marked: str
) -> None:
    node = start_node(flow("f", contained("p", HIDE.format(marked))), **NOBODYS)
    with Client(node.socket_address) as client:
        assert client.call("p", b"x") == b"x"
        left = until(lambda: processes(marked))
    node.process.send_signal(signal.SIGKILL)
    node.process.wait()
    node.start()
    until(lambda: not any(map(alive, left)))
    assert node.stop() == 0
    assert processes(marked) == []


@needs_groups
def test_no_control_group_is_left(start_node: StartNode) -> None:
    keys = {"memory": 64, "limits": {"cpu": 50}}
    node = start_node(
        flow(
            "f",
            contained("p", "exec cat", num=3, **keys),
            contained("e", "exec cat", kind="exec", **keys),
        ),
        **NOBODYS,
    )
    with Client(node.socket_address) as client:
        assert client.call("p", b"x") == client.call("e", b"x") == b"x"
        groups = groups_of(client)
        assert {"pool-p", "pool-e"} < groups()
        node.flow_files[0].write_text(flow("f", contained("p", "exec cat", num=9, **keys)))
        assert client.control("flow.reload")["ok"]
        until(lambda: "pool-e" not in groups())
        assert "pool-p" in groups()
    assert node.stop() == 0
    assert groups() == set()


def test_a_directory_that_the_user_may_not_enter(start_node: StartNode, var_dir: Path) -> None:
    """The directory of tests is closed to others, as /root is."""
    node = start_node(flow("f", shell("p", "exec cat"), shell("e", "cat", kind="exec")), **NOBODYS)
    with Client(node.socket_address) as client:
        for pool in ("p", "e"):
            text = until(lambda pool=pool: refused(client, pool))  # type: ignore[misc]
            assert f"nobody may not enter {var_dir}: chmod o+x it" in text
            assert "`user:` in the flow, `worker_user` in the configuration" in text


def test_a_program_that_the_user_may_not_reach(start_node: StartNode, tmp_path: Path) -> None:
    tool = tmp_path / "closed" / "tool"
    tool.parent.mkdir(mode=0o700)
    tool.write_text("#!/bin/sh\nexec cat\n")
    tool.chmod(0o755)
    keys = {"cwd": "/", "contain": {}}
    node = start_node(flow("f", {"name": "p", "cmd": [str(tool)], **keys}), **NOBODYS)
    with Client(node.socket_address) as client:
        text = until(lambda: refused(client, "p"))
    assert re.search(r"nobody may not enter /tmp/\S+: chmod o\+x it", text)


def test_the_kinds_behind_adapters(start_node: StartNode) -> None:
    """A runtime of Lambda, and a server of MCP where the node's own interpreter can be reached."""
    runtime = (
        "import os, urllib.request as u\n"
        "at = 'http://' + os.environ['AWS_LAMBDA_RUNTIME_API']\n"
        "at += '/2018-06-01/runtime/invocation/'\n"
        "while True:\n"
        "    with u.urlopen(at + 'next') as asked:\n"
        "        name, event = asked.headers['Lambda-Runtime-Aws-Request-Id'], asked.read()\n"
        "    u.urlopen(at + name + '/response', event.upper()).close()\n"
    )
    keys = {"cwd": "/", "contain": {}}
    server = {"name": "server", "kind": "mcp", "cmd": ["cat"], **keys}
    event = {"name": "event", "kind": "lambda", "cmd": [SYSTEM_PYTHON, "-c", runtime], **keys}
    node = start_node(flow("f", event, server), **NOBODYS)
    with Client(node.socket_address) as client:
        assert client.call("event", b'"x"', timeout=20.0) == b'"X"'
        if os.path.realpath(sys.executable).startswith("/root/"):
            text = until(lambda: refused(client, "server"))
            assert "nobody may not enter /root: chmod o+x it" in text
        else:
            assert until(lambda: info(client, "f")["pools"][1]["state"] == "up")


def test_a_secret_is_for_its_user_alone(start_node: StartNode) -> None:
    script = "while read m; do stat -c '%u %a' $CREDENTIALS_DIRECTORY/K; done"
    node = start_node(flow("f", contained("p", script, secrets=["K"])), **NOBODYS)
    with Client(node.socket_address) as client:
        assert client.control("secret.set", name="K", value_base64="b25l")["ok"]
        until(lambda: not refused(client, "p"))
        assert client.call("p", b"x") == f"{NOBODY} 400".encode()
