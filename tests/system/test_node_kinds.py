"""A real node with functions of the kinds that are not a line in and a line out."""

from __future__ import annotations

import re
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from drop.client import Client
from drop.errors import FunctionError
from node_tools import StartNode, flow, info, processes, refused, shell, until
from running_node import RunningNode

pytestmark = pytest.mark.system

SYSTEM_PYTHON = "/usr/bin/python3"


def program(name: str, *cmd: str, **keys: object) -> dict[str, object]:
    return {"name": name, "cmd": list(cmd), "kind": "exec", **keys}


class Load:
    """Callers that never pause; what they get, and what goes wrong."""

    def __init__(self, node: RunningNode, pool: str, message: bytes, callers: int = 2) -> None:
        self.answers: list[bytes] = []
        self.lost: list[BaseException] = []
        self._enough = threading.Event()
        self._threads = [
            threading.Thread(target=self._call, args=(node, pool, message)) for _ in range(callers)
        ]
        for thread in self._threads:
            thread.start()

    def _call(self, node: RunningNode, pool: str, message: bytes) -> None:
        try:
            with Client(node.socket_address) as client:
                while not self._enough.is_set():
                    self.answers.append(client.call(pool, message))
        except BaseException as error:
            self.lost.append(error)

    def seen(self, answer: bytes) -> bool:
        return answer in self.answers or bool(self.lost)

    def end(self) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()
        assert self.lost == []


def change(node: RunningNode, text: str, client: Client) -> None:
    node.flow_files[0].write_text(text)
    reply = client.control("flow.reload")
    assert reply["ok"], reply


def exec_pool(client: Client, name: str, pool: str) -> dict[str, Any]:
    (found,) = (each for each in info(client, name)["pools"] if each["name"] == pool)
    return found


# --- exec ---


def test_programs_that_know_nothing_of_drop(start_node: StartNode) -> None:
    field = "import json, sys; print(json.load(sys.stdin)['name'])"
    node = start_node(
        flow(
            "tools",
            program("upper", "tr", "a-z", "A-Z"),
            program("words", "wc", "-w"),
            program("sorted", "sort"),
            program("field", SYSTEM_PYTHON, "-c", field),
        )
    )
    with Client(node.socket_address) as client:
        assert client.call("upper", b"over\nand out") == b"OVER\nAND OUT"
        assert client.call("words", b"one two  three\n").strip() == b"3"
        assert client.call("sorted", b"b\nc\na\n") == b"a\nb\nc\n"
        assert client.call("field", b'{"name": "drop"}') == b"drop\n"
        assert client.call("upper", b"") == b""


def test_one_that_does_not_read_is_not_kept_ready(start_node: StartNode) -> None:
    node = start_node(flow("clock", program("clock", "date", "+%s")))
    with Client(node.socket_address) as client:
        for _ in range(8):
            assert client.call("clock", b"").strip().isdigit()
        until(lambda: "spares_off" in node.output)
        assert client.call("clock", b"ignored").strip().isdigit()
        until(lambda: exec_pool(client, "clock", "clock")["processes"]["ready"] == 0)


def test_an_exit_code_is_an_error_with_the_end_of_stderr(start_node: StartNode) -> None:
    node = start_node(flow("f", program("p", "sh", "-c", "cat; echo the reason >&2; exit 3")))
    told = pytest.raises(FunctionError, match=r"exit code 3(?s:.*)the reason")
    with Client(node.socket_address) as client, told:
        client.call("p", b"x")


def test_a_missing_program_is_refused_with_the_reason_until_it_is_there(
    start_node: StartNode, tmp_path: Path
) -> None:
    tool = tmp_path / "tool"
    node = start_node(flow("f", program("p", str(tool))))
    with Client(node.socket_address) as client:
        text = until(lambda: refused(client, "p"))
        assert f"there is no {tool}" in text
        assert info(client, "f")["state"] == "failing"
        tool.write_text("#!/bin/sh\nexec tr a-z A-Z\n")
        tool.chmod(0o755)
        until(lambda: info(client, "f")["state"] == "running", 30.0)
        assert client.call("p", b"there") == b"THERE"


def test_a_changed_command_loses_no_call(start_node: StartNode) -> None:
    def version(text: str) -> str:
        return flow("f", program("p", "sh", "-c", f"cat >/dev/null; echo {text}", num=4))

    node = start_node(version("one"))
    load = Load(node, "p", b"x")
    with Client(node.socket_address) as client:
        until(lambda: load.seen(b"one\n"))
        change(node, version("two"), client)
        until(lambda: load.seen(b"two\n"))
        change(node, version("two").replace('"num": 4', '"num": 1'), client)
        change(node, version("three"), client)
        until(lambda: load.seen(b"three\n"))
    load.end()


def test_secrets_and_variables_are_those_of_now_and_no_call_is_lost(
    start_node: StartNode, tmp_path: Path
) -> None:
    variables = tmp_path / "variables"
    variables.write_text("A=1\n")
    text = "cat >/dev/null; echo $A $(cat $CREDENTIALS_DIRECTORY/K || echo lost)"
    node = start_node(
        flow("f", program("p", "sh", "-c", text, secrets=["K"], env_file=str(variables)))
    )
    with Client(node.socket_address) as client:
        assert "K" in until(lambda: refused(client, "p"))
        assert client.control("secret.set", name="K", value_base64="b25l")["ok"]
        until(lambda: not refused(client, "p"))
        load = Load(node, "p", b"x")
        until(lambda: load.seen(b"1 one\n"))
        assert client.control("secret.set", name="K", value_base64="dHdv")["ok"]
        until(lambda: load.seen(b"1 two\n"))
        variables.write_text("A=2\n")
        assert client.control("flow.reload")["ok"]
        until(lambda: load.seen(b"2 two\n"))
        load.end()
        assert set(load.answers) <= {b"1 one\n", b"1 two\n", b"2 two\n"}


def test_what_runs_is_seen(start_node: StartNode) -> None:
    node = start_node(flow("f", program("p", "cat", spare=2, num=3)))
    with Client(node.socket_address) as client:
        until(lambda: exec_pool(client, "f", "p")["processes"]["ready"] == 2)
        client.call("p", b"x")
        (figures,) = client.control("worker.list", pool="p")["processes"]
        assert figures["started"] >= 3
        assert (figures["flow"], figures["pool"]) == ("f", "p")
        change(node, flow("f", program("p", "cat", spare=0, num=3)), client)
        until(lambda: exec_pool(client, "f", "p")["processes"]["ready"] == 0)
        assert client.call("p", b"x") == b"x"


def test_a_killed_node_takes_all_processes_with_it(start_node: StartNode, marked: str) -> None:
    """Plain workers, processes that wait for a message, and the child of an adapter."""
    node = start_node(
        flow(
            "f",
            {"name": "plain", "cmd": ["sh", "-c", "while read x; do :; done", marked]},
            program("ready", "sh", "-c", "cat; :", marked, spare=3),
            program("busy", "sh", "-c", "cat; sleep 1000; :", marked, spare=0),
            {"name": "own", "cmd": ["setsid", "sh", "-c", "sleep 1000; :", marked], "num": 1},
            {"name": "event", "kind": "lambda", "cmd": ["sh", "-c", "sleep 1000; :", marked]},
        )
    )
    with Client(node.socket_address) as client:
        client.cast("busy", b"x")
        until(lambda: len(processes(marked)) >= 7)
    node.process.send_signal(signal.SIGKILL)
    node.process.wait()
    until(lambda: not [pid for pid in processes(marked) if not _in_group(pid)])
    node.start()  # what had a session of its own goes when the next one starts
    assert node.stop() == 0
    until(lambda: not processes(marked))


def _in_group(pid: int) -> bool:
    """Whether it is in a control group that the next node of the directory will clear."""
    try:
        return "drop-" in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False


# --- async, stream ---


def test_async_answers_come_in_any_order(start_node: StartNode) -> None:
    script = "read a; read b; echo ${b%%::*}::second; echo ${a%%::*}::first; cat"
    node = start_node(flow("f", shell("p", script, kind="async", inflight=8)))
    answers: dict[bytes, bytes] = {}

    def call(message: bytes) -> None:
        with Client(node.socket_address) as client:
            answers[message] = client.call("p", message)

    threads = [threading.Thread(target=call, args=(message,)) for message in (b"1", b"2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers.values()) == [b"first", b"second"]


def test_subscribers_get_all_events_when_the_flow_stops(
    start_node: StartNode, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    last = "seq 3; read end; seq 4 200"
    sink = f"while read x; do echo $x >> {seen}; echo $x; done"
    node = start_node(
        flow(
            "f",
            shell("source", last, kind="stream"),
            shell("sink", sink, sub=[{"name": "source"}]),
        )
    )
    with Client(node.socket_address) as client:
        until(lambda: seen.exists() and seen.read_text().count("\n") >= 3)
        assert client.control("flow.stop", name="f")["ok"]
    assert seen.read_text().split() == [str(number) for number in range(1, 201)]


def test_a_source_that_fails_is_started_again_and_one_that_ends_is_not(
    start_node: StartNode, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    script = f"echo run >> {runs}; test $(wc -l < {runs}) -ge 3"
    node = start_node(flow("f", shell("s", script, kind="stream", restart="on-failure")))
    with Client(node.socket_address) as client:
        until(lambda: runs.exists() and runs.read_text().count("run") == 3, 30.0)
        until(lambda: exec_pool(client, "f", "s")["workers"] == [])
    assert runs.read_text().count("run") == 3


def test_a_node_with_a_source_that_runs_ends(start_node: StartNode, marked: str) -> None:
    script = "while :; do echo tick; sleep 0.05; done"
    node = start_node(
        flow("f", shell("s", script, kind="stream"), shell("k", "cat", sub=[{"name": "s"}])),
        DROP_GRACE_MS="1000",
    )
    assert node.stop() == 0
    assert "leaked" not in node.output


# --- lambda, mcp ---


def test_a_runtime_of_lambda(start_node: StartNode, tmp_path: Path) -> None:
    program = tmp_path / "runtime.py"
    program.write_bytes(RUNTIME)
    node = start_node(
        flow("f", {"name": "p", "kind": "lambda", "cmd": [SYSTEM_PYTHON, str(program)], "num": 2})
    )
    with Client(node.socket_address) as client:
        assert client.call("p", b'"event"', timeout=20.0) == b'"EVENT"'


RUNTIME = b"""
import os, urllib.request
at = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(at + "next") as asked:
        name, event = asked.headers["Lambda-Runtime-Aws-Request-Id"], asked.read()
    urllib.request.urlopen(at + name + "/response", event.upper()).close()
"""


# --- ready, health, numbers ---


def test_the_numbers_follow_the_flow(start_node: StartNode) -> None:
    node = start_node(flow("f", shell("p", "exec cat", num=2)))
    with Client(node.socket_address) as client:
        before = _pids(client)
        load = Load(node, "p", b"x")
        change(node, flow("f", shell("p", "exec cat", num=5)), client)
        until(lambda: len(_pids(client)) == 5)
        assert before < _pids(client)
        change(node, flow("f", shell("p", "exec cat", num=1)), client)
        until(lambda: len(_pids(client)) == 1)
        load.end()
        change(node, flow("f", shell("p", "exec cat", num=40)), client)
        until(lambda: len(_pids(client)) == 40)


def _pids(client: Client) -> set[int]:
    return {each["pid"] for each in client.control("worker.list")["workers"] if each["pid"]}


def test_a_drained_worker_says_how_many_messages_it_answered(start_node: StartNode) -> None:
    node = start_node(flow("f", shell("p", "exec cat")))
    with Client(node.socket_address) as client:
        for _ in range(5):
            client.call("p", b"x")
        assert client.control("worker.restart", target="p")["complete"]
    assert re.search(r"worker_ended.*answered 5, unanswered 0", node.output)


def test_an_unknown_user_is_found_when_the_flow_is_read(start_node: StartNode) -> None:
    good = flow("f", shell("p", "exec cat"))
    node = start_node(good)
    with Client(node.socket_address) as client:
        node.flow_files[0].write_text(flow("f", shell("p", "exec cat", user="no-such-user")))
        reply = client.control("flow.reload")
        assert (reply["ok"], reply["kind"]) == (False, "bad_flow")
        assert re.search(r"flow-0\.yaml:\d+.*user.*no-such-user", reply["error"])
        assert client.call("p", b"x") == b"x"
