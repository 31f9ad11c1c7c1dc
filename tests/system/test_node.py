"""A real node: how it starts, and how it stops or dies."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from drop.client import Client
from drop.errors import DropError, FunctionError, Unauthorized
from node_tools import (
    ECHO,
    StartNode,
    alive,
    cat,
    flow,
    hang,
    pids,
    processes,
    run,
    shell,
    until,
)

pytestmark = pytest.mark.system


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


def test_a_token_opens_the_network_and_control(start_node: StartNode, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a secret of 24 characters\n")
    token.chmod(0o600)
    node = start_node(ECHO, DROP_TOKEN_FILE=str(token))
    with Client(node.address, token=b"a secret of 24 characters") as client:
        assert client.control("node.info")["ok"]
    with pytest.raises(Unauthorized), Client(node.address, token=b"wrong") as client:
        client.call("echo", b"x")


def test_the_service_manager_is_told(start_node: StartNode, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        node = start_node(ECHO, NOTIFY_SOCKET=str(tmp_path / "notify"))
        assert manager.recv(999).startswith(b"READY=1\nSTATUS=listens on unix:")
        assert node.stop() == 0
        assert manager.recv(999).startswith(b"STOPPING=1")


@pytest.mark.big
def test_a_thousand_pools_start_while_the_node_answers(
    start_node: StartNode, tmp_path: Path
) -> None:
    file = tmp_path / "thousand.yaml"
    file.write_text(flow("thousand", *(cat(f"pool-{number}") for number in range(1000))))
    node = start_node(ECHO)
    with (
        Client(node.socket_address, timeout=60.0) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        begin = time.monotonic()
        starting = pool.submit(client.control, "flow.start", file=str(file))
        slowest = 0.0
        while not starting.done():
            asked = time.monotonic()
            assert client.call("echo", b"x") == b"x"
            assert client.control("node.info")["ok"]
            slowest = max(slowest, time.monotonic() - asked)
        assert starting.result()["state"] == "running"
        assert time.monotonic() - begin < 20.0
        assert slowest < 2.0
        assert client.call("pool-999", b"y") == b"y"
        assert client.control("flow.stop", name="thousand")["ok"]


# --- stopping ---


def test_sigterm_finishes_what_was_accepted(start_node: StartNode) -> None:
    script = "while read m; do sleep 0.05; echo $m; done"
    node = start_node(flow("slow", shell("slow", script)))
    with Client(node.address, reconnect=False) as client, ThreadPoolExecutor(20) as pool:
        calls = [pool.submit(client.call, "slow", b"%d" % number) for number in range(20)]
        until(lambda: client.statistics("slow")["pools"][0]["messages"] == 20)
        node.process.send_signal(signal.SIGTERM)
        assert [call.result() for call in calls] == [b"%d" % number for number in range(20)]
    assert node.process.wait(20) == 0


def test_the_grace_ends_and_what_hangs_is_killed(start_node: StartNode, marked: str) -> None:
    script = f"trap '' TERM; while :; do {hang(marked)}; done"
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
        flow("hung", shell("hung", f"read m; {hang(marked)}")),
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
