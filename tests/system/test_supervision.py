"""Supervision of real workers in a real node, with clients that call all along."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from drop.client import Client
from drop.errors import FunctionError
from node_tools import StartNode, flow, pids, refused, until
from running_node import RunningNode

pytestmark = pytest.mark.system

PROGRAM = Path(__file__).with_name("programs") / "versioned.py"
CALLERS = 3


def versioned(version: str, *arguments: str, **keys: object) -> str:
    """A flow with one pool `echo`."""
    command = [sys.executable, "-ISE", str(PROGRAM), version, *arguments]
    return flow("echo", {"name": "echo", "cmd": command, "timeout": 20_000, **keys})


class Gate:
    """A FIFO that versions with `--late` wait at; one is let in at a time."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        os.mkfifo(path)
        self._writer = os.open(path, os.O_RDWR | os.O_CLOEXEC)  # for both, so that none blocks

    def let_in(self) -> None:
        os.write(self._writer, b"!")

    def close(self) -> None:
        os.close(self._writer)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    it = Gate(tmp_path / "gate")
    yield it
    it.close()


class Callers:
    """Threads that call the pool without a pause, and keep what they got."""

    def __init__(self, node: RunningNode) -> None:
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self._node = node
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._call, args=(n,)) for n in range(CALLERS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def versions(self) -> set[str]:
        """Those that have answered since the last look."""
        with self._lock:
            seen, self.answers = self.answers, Counter()
        return set(seen)

    def _call(self, thread: int) -> None:
        with Client(self._node.socket_address, timeout=30.0) as client:
            number = 0
            while not self._stop.is_set():
                number += 1
                message = f"{thread}-{number}"
                try:
                    version, _, answer = client.call("echo", message).decode().split(" ")
                except Exception as error:
                    self.failures.append(f"{message}: {error}")
                    continue
                if answer != message:
                    self.failures.append(f"{message}: answered with {answer}")
                with self._lock:
                    self.answers[version] += 1


@contextmanager
def called(node: RunningNode, but: str = "no failure at all") -> Iterator[Callers]:
    """Calls all along, once all workers are ready; every call must have been answered, each with
    its own answer, but for failures that say `but`."""
    with Client(node.socket_address) as client:
        until(lambda: {row["state"] for row in workers(client)} == {"ready"})
    callers = Callers(node)
    callers.start()
    try:
        yield callers
    finally:
        callers.stop()
    assert [failure for failure in callers.failures if but not in failure] == []


def reload(node: RunningNode, text: str) -> None:
    node.flow_files[0].write_text(text)
    node.process.send_signal(signal.SIGHUP)


def workers(client: Client, **which: str) -> list[dict[str, Any]]:
    reply = client.control("worker.list", **which)
    assert reply["ok"], reply
    rows: list[dict[str, Any]] = reply["workers"]
    return rows


# --- readiness ---


def test_nothing_is_given_to_a_worker_that_is_not_ready(start_node: StartNode, gate: Gate) -> None:
    node = start_node(versioned("v1", "--late", gate.path, ready="READY"))
    with Client(node.socket_address) as client:
        (worker,) = workers(client)
        assert worker["state"] == "readying"
        answers: list[bytes] = []
        calling = threading.Thread(target=lambda: answers.append(client.call("echo", b"x")))
        calling.start()
        until(lambda: client.statistics("echo")["pools"][0]["waiting"] == 1)
        gate.let_in()
        calling.join()
        assert re.fullmatch(rb"v1 \d+ x", answers[0])
        assert until(lambda: workers(client)[0]["state"] == "ready")


def test_one_that_never_gets_ready_is_ended_and_named(start_node: StartNode) -> None:
    node = start_node(versioned("never", ready="READY", start=100))
    text = "did not say it was ready within 0.1 s; expected a line that begins with 'READY'"
    until(lambda: text in node.output)
    with Client(node.socket_address) as client:
        refusal = until(lambda: refused(client, "echo"))
    assert text in refusal


def test_another_first_line_is_named(start_node: StartNode) -> None:
    node = start_node(versioned("v1", "--garbled", ready="READY"))
    assert until(lambda: "its first line on stdout does not begin with 'READY'" in node.output)


# --- replacement ---


@pytest.mark.parametrize("keys", [{"ready": "READY"}, {}, {"ready": "READY", "inflight": 16}])
@pytest.mark.parametrize("num", [1, 3])
def test_a_new_version_takes_over_and_no_call_is_lost(
    start_node: StartNode, num: int, keys: dict[str, object]
) -> None:
    if not keys:  # its ready line would be taken for an answer: this one says nothing
        script = "while read -r m; do echo {} $$ $m; done"
        texts = [
            flow("echo", {"name": "echo", "cmd": ["sh", "-c", script.format(v)], "num": num})
            for v in ("v1", "v2")
        ]
    else:
        texts = [versioned(version, num=num, **keys) for version in ("v1", "v2")]
    node = start_node(texts[0])
    with called(node) as callers:
        until(lambda: callers.versions() == {"v1"})
        reload(node, texts[1])
        until(lambda: "rollout_ended" in node.output)
        callers.versions()
        until(lambda: callers.versions() == {"v2"})
    with Client(node.socket_address) as client:
        assert len(until(lambda: _settled(client, num))) == num


def _settled(client: Client, num: int) -> list[int] | None:
    found = pids(client)
    return found if len(found) == num else None


def test_with_a_ready_line_the_pool_is_never_without_a_worker_that_serves(
    start_node: StartNode, gate: Gate
) -> None:
    node = start_node(versioned("v1", ready="READY"))
    with called(node) as callers, Client(node.socket_address) as client:
        reload(node, versioned("v2", "--late", gate.path, ready="READY"))
        rows = until(lambda: rows if len(rows := workers(client)) == 2 else None)
        assert [(row["worker"], row["stand_in"]) for row in rows] == [(1, False), (2, True)]
        assert rows[0]["old"]
        until(lambda: workers(client)[1]["state"] == "readying")
        callers.versions()
        until(lambda: callers.versions() == {"v1"})  # serves while the new one starts
        gate.let_in()  # the stand-in
        gate.let_in()  # the one in the old one's place
        until(lambda: "rollout_ended" in node.output)
        until(lambda: callers.versions() == {"v2"})


def test_a_version_that_never_gets_ready_takes_nobody_down(start_node: StartNode) -> None:
    node = start_node(versioned("v1", num=2, ready="READY"))
    with called(node) as callers, Client(node.socket_address) as client:
        before = pids(client)
        reload(node, versioned("never", num=2, ready="READY", start=100))
        until(lambda: "rollout_paused" in node.output)
        assert "2 workers of before go on, it is tried again" in node.output
        assert set(before) <= set(pids(client))
        reply = client.control("worker.restart", target="echo")
        assert not reply["ok"]
        assert "did not say it was ready within 0.1 s" in reply["error"]
        callers.versions()
        until(lambda: callers.versions() == {"v1"})
        reload(node, versioned("v3", num=2, ready="READY"))
        until(lambda: "rollout_ended" in node.output)
        until(lambda: callers.versions() == {"v3"})


def test_a_version_that_fails_at_once_takes_one_worker_down_at_most(
    start_node: StartNode,
) -> None:
    """Without a ready line it is given messages before anybody can know that it fails."""
    script = "while read -r m; do echo v1 $$ $m; done"
    node = start_node(flow("echo", {"name": "echo", "cmd": ["sh", "-c", script], "num": 3}))
    with called(node, but="exit code 3") as callers, Client(node.socket_address) as client:
        before = pids(client)
        reload(node, flow("echo", {"name": "echo", "cmd": ["sh", "-c", "exit 3"], "num": 3}))
        until(lambda: "breaker_open" in node.output)
        assert len(set(before) & set(pids(client))) == 2
        callers.versions()
        until(lambda: callers.versions() == {"v1"})


def test_a_restart_in_turn_loses_no_call(start_node: StartNode) -> None:
    node = start_node(versioned("v1", num=3, ready="READY", inflight=4))
    with called(node) as callers, Client(node.socket_address) as client:
        until(lambda: callers.versions() == {"v1"})
        before = [row["pid"] for row in workers(client)]
        reply = client.control("worker.restart", target="echo/2")
        assert (reply["ok"], reply["replaced"]) == (True, 1), reply
        now = [row["pid"] for row in workers(client) if not row["stand_in"]]
        assert [a == b for a, b in zip(before, now, strict=True)] == [True, False, True]
        assert client.control("worker.restart", target="echo")["replaced"] == 3
        assert not {row["pid"] for row in workers(client)} & {*before, *now}


# --- health ---


def test_a_worker_that_is_not_well_is_replaced_and_the_others_serve(
    start_node: StartNode,
) -> None:
    health = {"message": "ping", "expect": "pong", "every": 200}
    node = start_node(versioned("v1", num=2, ready="READY", health=health))
    with Client(node.socket_address) as client:
        sick = int(client.call("echo", b"sick").split()[1])
        until(lambda: sick not in pids(client))
        assert "answered its health check with something else" in node.output
        until(lambda: [row["state"] for row in workers(client)] == ["ready", "ready"])
        assert client.call("echo", b"x").startswith(b"v1 ")
    node.stop()
    told = re.findall(r"answered (-?\d+), unanswered", node.output)
    assert sum(map(int, told)) == 2, node.output  # the calls alone, however often they were asked


# --- ends, seen by callers and by `drop worker` ---


def test_who_waits_for_an_answer_is_told_how_the_worker_ended(start_node: StartNode) -> None:
    node = start_node(versioned("v1", ready="READY"))
    with Client(node.socket_address) as client:
        with pytest.raises(FunctionError, match=r"exit code 7.*drop logs echo"):
            client.call("echo", b"die 7")
        assert client.call("echo", b"x").startswith(b"v1 ")


def test_a_worker_that_is_killed_comes_back(start_node: StartNode) -> None:
    node = start_node(versioned("v1", num=2, ready="READY"))
    with Client(node.socket_address) as client:
        before = pids(client)
        reply = client.control("worker.kill", target="echo/2")
        assert (reply["pid"], reply["signal"]) == (before[1], "SIGKILL")
        until(lambda: [r["state"] for r in workers(client)] == ["ready"] * 2 and pids(client))
        now = pids(client)
        assert now[0] == before[0]
        assert now[1] != before[1]
        assert workers(client)[1]["restarts"] == 1
    assert "killed by SIGKILL" in node.output


def test_processes_of_kind_exec_are_no_workers(start_node: StartNode) -> None:
    node = start_node(flow("count", {"name": "count", "cmd": ["wc", "-c"], "kind": "exec"}))
    with Client(node.socket_address) as client:
        assert client.call("count", b"four").strip() == b"4"
        assert workers(client) == []
        reply = client.control("worker.restart", target="count")
        assert (reply["ok"], reply["replaced"]) == (True, None), reply
        assert client.call("count", b"three").strip() == b"5"
        reply = client.control("worker.kill", target="count/1")
        assert (reply["ok"], reply["kind"]) == (False, "conflict"), reply
        assert "each message has a process of its own" in reply["error"]


def test_states_are_told_in_words(start_node: StartNode) -> None:
    broken = {"name": "broken", "cmd": "./no-such-program"}
    ended = {"name": "ended", "cmd": ["true"], "restart": "never"}
    busy = {"name": "busy", "cmd": ["sh", "-c", "read m; sleep 1000"]}
    node = start_node(flow("states", broken, ended, busy), DROP_GRACE_MS="100")
    with Client(node.socket_address) as client:
        client.cast("busy", b"x")
        rows = until(lambda: _by_pool(workers(client)))
    assert rows["broken"]["state"] == "breaker open"
    assert rows["broken"]["seconds_left"] > 0
    assert rows["broken"]["rss_bytes"] is None
    assert rows["busy"]["rss_bytes"] > 0


def _by_pool(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]] | None:
    found = {row["pool"]: row for row in rows}
    states = {name: row["state"] for name, row in found.items()}
    expected = {"broken": "breaker open", "ended": "stopped", "busy": "busy"}
    return found if states == expected else None


@pytest.mark.parametrize(
    ("request_", "kind", "text"),
    [
        ({"op": "worker.list", "pool": "ecko"}, "not_found", "did you mean 'echo'?"),
        ({"op": "worker.list", "flow": "ecko"}, "not_found", "there is no flow 'ecko'"),
        ({"op": "worker.restart", "target": "ecko"}, "not_found", "there are: echo"),
        ({"op": "worker.restart", "target": "echo/9"}, "not_found", "has no worker 9; it has 1 to"),
        ({"op": "worker.restart"}, "bad_request", "expected POOL or POOL/N"),
        ({"op": "worker.kill", "target": "echo"}, "bad_request", "expected echo/N"),
        ({"op": "worker.kill", "target": "echo/1", "signal": "FOO"}, "bad_request", "found 'FOO'"),
        ({"op": "worker.kill", "target": "echo/0"}, "not_found", "has no worker 0"),
    ],
)
def test_what_cannot_be_done_says_why(
    start_node: StartNode, request_: dict[str, str], kind: str, text: str
) -> None:
    node = start_node(versioned("v1", num=2, ready="READY"))
    with Client(node.socket_address) as client:
        reply = json.loads(client.call("$control", json.dumps(request_)))
    assert (reply["ok"], reply["kind"]) == (False, kind), reply
    assert text in reply["error"]
