"""`drop call` of functions that write much, or fail behind what they wrote; and their logs."""

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from running_node import RunningNode

pytestmark = pytest.mark.system

FLOW = """
name: parts
func:
  - name: fails
    kind: exec
    cmd: sh -c 'read line; echo "about $line" >&2; echo "$line"; exit 3'
    num: 4
  - name: zeros
    kind: exec
    cmd: sh -c 'head -c 300000000 /dev/zero'
    spare: 0
  - name: count
    kind: exec
    cmd: wc -c
"""
MIB = 1 << 20


@pytest.fixture
def node(start_node: Callable[..., RunningNode]) -> RunningNode:
    return start_node(FLOW)


def command(node: RunningNode, *words: str) -> list[str]:
    program = str(Path(sys.executable).with_name("drop"))
    return [program, *words, "--address", node.socket_address]


def test_the_logs_of_a_call_that_failed(node: RunningNode) -> None:
    runs = [
        subprocess.run(command(node, "call", "fails", word), capture_output=True, timeout=60)
        for word in ("one", "two")
    ]
    assert [(run.returncode, run.stdout) for run in runs] == [(1, b"one\n"), (1, b"two\n")]
    for run, word in zip(runs, ("one", "two"), strict=True):
        hint = re.search(r"`drop (logs fails --call [0-9a-f]{16})`", run.stderr.decode())
        assert hint is not None, run.stderr
        words = [*hint[1].split(), "-f"]  # the logger may be a moment behind
        with subprocess.Popen(command(node, *words), stdout=subprocess.PIPE) as logs:
            assert logs.stdout is not None
            assert logs.stdout.readline().endswith(b"about %s\n" % word.encode())
            logs.send_signal(signal.SIGINT)
            assert logs.stdout.read() == b""


def test_who_has_read_enough(node: RunningNode) -> None:
    call = " ".join(command(node, "call", "zeros", "x"))
    script = f"( {call}; echo $? >&2 ) | head -c 1000 | wc -c"
    run = subprocess.run(["sh", "-c", script], capture_output=True, timeout=60)
    assert (run.stdout.strip(), run.stderr) == (b"1000", b"0\n")


def test_more_than_the_node_would_take_at_once(node: RunningNode) -> None:
    call = " ".join(command(node, "call", "zeros", "x", "--raw"))
    run = subprocess.run(["sh", "-c", f"{call} | wc -c"], capture_output=True, timeout=60)
    assert (run.stdout.strip(), run.stderr) == (b"300000000", b"")


def test_the_largest_message(node: RunningNode) -> None:
    count = command(node, "call", "count", "-", "--raw")
    run = subprocess.run(count, input=bytes(64 * MIB), capture_output=True, timeout=60)
    assert (run.stdout, run.stderr) == (b"%d\n" % (64 * MIB), b"")
    run = subprocess.run(count, input=bytes(64 * MIB + 1), capture_output=True, timeout=60)
    assert run.returncode == 2
    assert b"too large" in run.stderr
