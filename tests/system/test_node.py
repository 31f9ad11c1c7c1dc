"""A real node with real functions: starting, failing, reloading, draining, dying."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from drop.client import Client
from drop.errors import CallTimeout, Draining, DropError, FunctionError, NoPool, NoWorker
from running_node import RunningNode

pytestmark = pytest.mark.system

StartNode = Callable[..., RunningNode]

ECHO = """
name: echo
func:
  - name: echo
    cmd: cat
    num: 2
    inflight: 16
"""


def flow(name: str, *functions: dict[str, object]) -> str:
    """A flow with a line for each key; what is in a line is JSON, which is YAML too."""
    lines = [f"name: {name}", "func:"]
    for function in functions:
        first, *rest = (f"{key}: {json.dumps(value)}" for key, value in function.items())
        lines += [f"  - {first}", *(f"    {key}" for key in rest)]
    return "\n".join(lines) + "\n"


def shell(name: str, script: str, **keys: object) -> dict[str, object]:
    return {"name": name, "cmd": ["sh", "-c", script], **keys}


def cat(name: str, **keys: object) -> dict[str, object]:
    return {"name": name, "cmd": ["cat"], **keys}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`drop-node` that is expected to end by itself."""
    program = str(Path(sys.executable).with_name("drop-node"))
    return subprocess.run(
        [program, *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def info(client: Client, name: str) -> dict[str, Any]:
    reply = client.control("flow.info", name=name)
    assert reply["ok"], reply
    return reply


def pids(client: Client) -> list[int]:
    workers = client.control("worker.list")["workers"]
    return [worker["pid"] for worker in workers if worker["pid"]]


def until(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """What a node does by itself has no event that a test could wait for: it is asked again."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, "it does not come to this"
        threading.Event().wait(0.01)
    return result


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def marked(tmp_path: Path) -> Iterator[str]:
    """An argument that only processes of this test have; none may be left at its end."""
    mark = f"mark-{os.getpid()}-{tmp_path.name}"
    yield mark
    assert processes(mark) == []


def processes(mark: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and alive(int(entry.name)):
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if mark.encode() in command and b"drop-node" not in command:
                found.append(int(entry.name))
    return found


# --- starting ---


def test_a_node_answers_on_both_sockets(start_node: StartNode) -> None:
    node = start_node(ECHO)
    for address in (node.address, node.socket_address):
        with Client(address) as client:
            assert client.call("echo", b"hello") == b"hello"
    assert "ready" in node.output
    assert node.stop() == 0
    assert not (node.var_dir / "drop.sock").exists()


def test_only_the_unix_socket_controls(start_node: StartNode) -> None:
    node = start_node(ECHO)
    with Client(node.socket_address) as client:
        reply = client.control("node.info")
        assert reply["ok"]
        assert (reply["pools"], reply["workers"]) == (1, 2)
    with Client(node.address) as client, pytest.raises(DropError) as refused:
        client.control("node.info")
    assert refused.value.status in ("unauthorized", "no_pool")


def test_a_bad_flow_ends_the_start_with_its_place(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(flow("bad", cat("one", num=0), {"name": "two", "cmmd": "cat"}))
    ended = run("run", "--var-dir", str(tmp_path), "--flow", str(bad), DROP_LISTEN="127.0.0.1:0")
    assert ended.returncode == 2
    assert f"{bad}:5:" in ended.stderr
    assert f"{bad}:7:" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_in_use_says_who_asked_for_it(var_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("run", "--var-dir", str(var_dir), DROP_LISTEN=f"127.0.0.1:{port}")
    assert ended.returncode == 2
    assert f"127.0.0.1:{port}" in ended.stderr
    assert "DROP_LISTEN" in ended.stderr


def test_two_nodes_do_not_share_a_directory(start_node: StartNode) -> None:
    node = start_node(ECHO)
    ended = run("run", "--var-dir", str(node.var_dir), DROP_LISTEN="127.0.0.1:0")
    assert ended.returncode == 2
    assert f"process {node.process.pid}" in ended.stderr
    with Client(node.socket_address) as client:
        assert client.call("echo", b"still here") == b"still here"


def test_the_worker_gets_its_environment_and_nothing_else(start_node: StartNode) -> None:
    node = start_node(
        flow("surroundings", shell("env", "read m; env | sort | tr '\\n' ' '; echo")),
        SECRET_OF_THE_NODE="leak",
    )
    with Client(node.address) as client:
        answer = client.call("env", b"go")
    assert b"DROP_POOL=env" in answer
    assert b"DROP_FLOW=surroundings" in answer
    assert b"DROP_WORKER=1" in answer
    assert b"leak" not in answer


# --- failing functions ---


def test_a_command_that_does_not_exist_is_reported_within_a_second(start_node: StartNode) -> None:
    node = start_node(flow("broken", {"name": "absent", "cmd": "./no-such-program --fast"}))
    begin = time.monotonic()
    with Client(node.socket_address) as client:
        with pytest.raises(NoWorker) as told:
            client.call("absent", b"x")
        assert time.monotonic() - begin < 1.0
        reply = info(client, "broken")
    assert "no-such-program" in str(told.value)
    assert "ENOENT" in str(told.value)
    assert reply["state"] == "failing"
    assert "ENOENT" in reply["pools"][0]["last_error"]


def test_a_command_that_is_not_executable(start_node: StartNode, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\ncat\n")
    node = start_node(flow("broken", {"name": "plain", "cmd": str(script)}))
    with Client(node.address) as client, pytest.raises(NoWorker, match="EACCES"):
        client.call("plain", b"x")


def test_a_crash_loop_opens_the_breaker_and_ends_when_the_function_works(
    start_node: StartNode, tmp_path: Path
) -> None:
    works = tmp_path / "works"
    node = start_node(flow("loop", shell("loop", f"test -e {works} || exit 7; exec cat")))
    with Client(node.socket_address) as client:
        with pytest.raises(NoWorker, match=r"exit code 7.*loop\.log"):
            client.call("loop", b"x", timeout=20.0)
        assert info(client, "loop")["state"] == "failing"
        works.touch()
        until(lambda: info(client, "loop")["state"] == "running", 20.0)
        assert client.call("loop", b"y", timeout=20.0) == b"y"
    assert "breaker_open" in node.output


def test_the_other_pools_do_not_notice(start_node: StartNode) -> None:
    node = start_node(ECHO, flow("loop", {"name": "loop", "cmd": ["false"]}))
    with Client(node.address) as client:
        assert {client.call("echo", b"%d" % n) for n in range(200)} == {
            b"%d" % n for n in range(200)
        }


def test_a_timeout_kills_the_whole_group(start_node: StartNode, marked: str) -> None:
    script = f"sleep 1000 {marked} & sleep 1000 {marked}"
    node = start_node(flow("slow", shell("slow", f"read m; {script}", timeout=200)))
    with Client(node.address) as client:
        with pytest.raises(CallTimeout):
            client.call("slow", b"x")
        until(lambda: not processes(marked))
    assert "did not answer within its timeout" in node.output


def test_a_function_that_dies_over_a_message(start_node: StartNode) -> None:
    script = 'while read m; do [ "$m" = die ] && kill -9 $$; echo "$m"; done'
    node = start_node(flow("fragile", shell("fragile", script)))
    with Client(node.socket_address) as client:
        for _ in range(8):  # more than open the breaker: it answers in between
            assert client.call("fragile", b"live") == b"live"
            with pytest.raises(FunctionError):
                client.call("fragile", b"die")
        assert client.call("fragile", b"live") == b"live"
        assert info(client, "fragile")["pools"][0]["workers"][0]["restarts"] == 8


def test_stderr_goes_to_the_log_of_the_pool(start_node: StartNode) -> None:
    script = "while read m; do echo to-log >&2; echo $m; done"
    node = start_node(flow("chatty", shell("chatty", script)))
    with Client(node.socket_address) as client:
        client.call("chatty", b"x")
        log = Path(info(client, "chatty")["pools"][0]["log"])
        (pid,) = pids(client)
        line = until(lambda: log.exists() and log.read_text())
    assert f" chatty/1[{pid}] to-log\n" in line


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


# --- stopping ---


def test_sigterm_finishes_what_was_accepted(start_node: StartNode) -> None:
    script = "while read m; do sleep 0.05; echo $m; done"
    node = start_node(flow("slow", shell("slow", script)))
    with Client(node.address, reconnect=False) as client, ThreadPoolExecutor(20) as pool:
        calls = [pool.submit(client.call, "slow", b"%d" % number) for number in range(20)]
        until(lambda: client.statistics("slow"))
        node.process.send_signal(signal.SIGTERM)
        outcomes = [_outcome(call.result) for call in calls]
    assert node.process.wait(20) == 0
    assert {outcome for outcome in outcomes if not outcome.isdigit()} <= {"draining"}
    assert sum(outcome.isdigit() for outcome in outcomes) > 0


def _outcome(result: Callable[[], bytes]) -> str:
    try:
        return result().decode()
    except Draining:
        return "draining"


def test_the_grace_ends_and_what_hangs_is_killed(start_node: StartNode, marked: str) -> None:
    script = f'trap "" TERM; while :; do sleep 1000 {marked}; done'
    node = start_node(flow("hung", shell("hung", f"read m; {script}")), DROP_GRACE_MS="300")
    with Client(node.address, reconnect=False) as client, ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.call, "hung", b"x")
        until(lambda: processes(marked))
        begin = time.monotonic()
        node.process.send_signal(signal.SIGTERM)
        with pytest.raises(DropError):
            call.result()
    assert node.process.wait(20) == 0
    assert time.monotonic() - begin < 10.0


def test_a_second_sigterm_does_not_wait(start_node: StartNode, marked: str) -> None:
    node = start_node(
        flow("hung", shell("hung", f"read m; sleep 1000 {marked}")),
        DROP_GRACE_MS="60000",
    )
    with Client(node.address, reconnect=False) as client, ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.call, "hung", b"x")
        until(lambda: processes(marked))
        node.process.send_signal(signal.SIGTERM)
        until(lambda: "stopping" in node.output)
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(10) == 1
        with pytest.raises(DropError):
            call.result()


def test_no_worker_survives_a_killed_node(start_node: StartNode) -> None:
    node = start_node(flow("many", cat("many", num=4)))
    with Client(node.socket_address) as client:
        workers = pids(client)
    assert len(workers) == 4
    node.process.kill()
    node.process.wait()
    until(lambda: not any(alive(pid) for pid in workers))
    node.start()
    with Client(node.socket_address) as client:
        assert len(pids(client)) == 4


def test_workers_that_are_killed_under_load(start_node: StartNode) -> None:
    node = start_node(ECHO)
    with Client(node.socket_address) as client, ThreadPoolExecutor(16) as pool:
        done = threading.Event()

        def call_on(number: int) -> tuple[int, int]:
            good = failed = 0
            while not done.is_set():
                payload = b"%d-%d" % (number, good + failed)
                try:
                    assert client.call("echo", payload) == payload
                    good += 1
                except FunctionError:
                    failed += 1
            return good, failed

        calling = [pool.submit(call_on, number) for number in range(16)]
        killed: set[int] = set()
        while len(killed) < 10:
            pid = until(lambda: next(iter(set(pids(client)) - killed), 0))
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        done.set()
        counts = [call.result() for call in calling]
        assert min(good for good, _ in counts) > 0
        assert sum(failed for _, failed in counts) <= 10 * 2
        assert client.call("echo", b"after") == b"after"
    assert "breaker_open" not in node.output
