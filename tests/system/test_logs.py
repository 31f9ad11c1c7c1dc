"""What a node's logs say of calls: a line names the call that made the worker write it, through a
whole flow, whatever else is going on. Real node, real functions, and `drop logs` on the files."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from drop.client import AsyncClient
from running_node import RunningNode

pytestmark = pytest.mark.system

StartNode = Callable[..., RunningNode]

FLOW = """
name: traced
func:
  - name: one
    cmd: sh -c 'while read -r line; do echo "one $line" >&2; echo "$line"; done'
    num: 2
  - name: two
    cmd: sh -c 'while read -r line; do echo "two $line" >&2; echo "$line"; done'
    sub:
      - name: one
"""
FLOODING = """
name: flooding
func:
  - name: flood
    cmd: sh -c 'exec yes to-the-log 3>&1 >&2'
    kind: stream
  - name: shared
    cmd: cat
    inflight: 16
"""
CALLS = 400


def shown(node: RunningNode, *words: str) -> list[dict[str, Any]]:
    """What `drop logs WORDS --json` prints."""
    program = str(Path(sys.executable).with_name("drop"))
    command = [program, "logs", *words, "--json", "--address", node.socket_address]
    run = subprocess.run(command, capture_output=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


async def call_all(node: RunningNode, pool: str, calls: int, depth: int) -> None:
    async with AsyncClient(node.socket_address) as client:
        for first in range(0, calls, depth):
            numbers = range(first, min(first + depth, calls))
            payloads = [b"%d" % number for number in numbers]
            assert await client.call_many(pool, payloads) == payloads


async def test_line_names_its_call_through_the_flow(start_node: StartNode) -> None:
    node = start_node(FLOW)
    await call_all(node, "one", CALLS, depth=16)
    lines = shown(node, "one", "-n", str(CALLS))
    assert sorted(int(line["text"].removeprefix("one ")) for line in lines) == list(range(CALLS))
    named = {line["call"]: line["text"].removeprefix("one ") for line in lines if line["call"]}
    assert len(named) == sum(line["call"] is not None for line in lines)  # each call has one line
    assert len(named) > CALLS * 9 // 10
    call, number = next(iter(named.items()))
    followed = shown(node, "--call", call)
    assert [line["text"] for line in followed] in (
        [f"one {number}", f"two {number}"],
        [f"one {number}"],  # `two` has more to do and was not looked at in between
    )
    assert {line["call"] for line in followed} == {call}


@contextmanager
def followed(node: RunningNode, *words: str) -> Iterator[IO[bytes]]:
    """What `drop logs WORDS -f` prints as it comes."""
    program = str(Path(sys.executable).with_name("drop"))
    command = [program, "logs", *words, "-f", "--address", node.socket_address]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as follower:
        assert follower.stdout is not None
        yield follower.stdout
        follower.send_signal(signal.SIGINT)
        assert follower.wait(20) == 0


async def test_events_keep_the_id_of_the_call(start_node: StartNode) -> None:
    node = start_node(FLOW)
    with followed(node, "--flow", "traced", "--json", "--grep", "hello") as output:
        async with AsyncClient(node.socket_address) as client:
            assert await client.call("one", b"hello") == b"hello"
        lines = [json.loads(output.readline()) for _ in range(2)]
    assert {line["pool"] for line in lines} == {"one", "two"}
    assert {line["text"] for line in lines} == {"one hello", "two hello"}
    assert len({line["call"] for line in lines}) == 1
    assert lines[0]["call"] is not None


async def test_flood_is_cut_and_calls_go_on(start_node: StartNode) -> None:
    node = start_node(FLOODING)
    await call_all(node, "shared", 10_000, depth=1000)
    with followed(node, "flood", "--grep", "lines cut: more than 10000 lines a second") as output:
        assert b"] - [" in output.readline()
