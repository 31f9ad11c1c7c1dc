"""A real node with functions that fail in every way."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from drop.client import Client
from drop.errors import CallTimeout, FunctionError, NoWorker
from node_tools import (
    ECHO,
    StartNode,
    flow,
    hang,
    info,
    pids,
    processes,
    refused,
    shell,
    until,
)

pytestmark = pytest.mark.system


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
        refusal = until(lambda: refused(client, "loop"))
        assert re.search(r"exit code 7.*loop\.log", refusal)
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
    script = f"{hang(marked)} & {hang(marked)}"
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
    assert re.search(rf" chatty/1\[{pid}\] [0-9a-f]{{16}} to-log\n", line)


def test_a_worker_that_closes_its_stdout_and_stays(start_node: StartNode, marked: str) -> None:
    node = start_node(flow("mute", shell("mute", f"read m; exec >&-; {hang(marked)}")))
    with Client(node.address) as client, pytest.raises(FunctionError):
        client.call("mute", b"x")
    until(lambda: "killed by SIGKILL" in node.output)


def test_a_worker_that_writes_without_being_asked(start_node: StartNode) -> None:
    node = start_node(flow("eager", shell("eager", "echo unasked; exec cat")))
    until(lambda: "breaker_open" in node.output)  # a call would take the line for its answer
    with Client(node.socket_address) as client:
        refusal = refused(client, "eager")
    assert "wrote to stdout without being asked" in refusal


def test_a_function_that_ends_after_each_message(start_node: StartNode) -> None:
    """It works: the breaker stays closed. A message that meets a worker at its end is retried."""
    node = start_node(flow("once", shell("once", "read m; echo $m", retries=3)))
    with Client(node.socket_address) as client:
        for number in range(10):
            assert client.call("once", b"%d" % number) == b"%d" % number
    assert "breaker_open" not in node.output
