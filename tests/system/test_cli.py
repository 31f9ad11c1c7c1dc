"""The `drop` command as a user has it: processes, a real node, real functions."""

import json
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from running_node import RunningNode

pytestmark = pytest.mark.system

StartNode = Callable[..., RunningNode]
Drop = Callable[..., subprocess.CompletedProcess[bytes]]

FLOW = """
name: tools
func:
  - name: echo
    cmd: cat
    num: 2
    inflight: 64
  - name: upper
    cmd: sh -c 'while read -r line; do echo "got $line" >&2; echo "$line" | tr a-z A-Z; done'
  - name: hang
    cmd: sh -c 'while read -r line; do sleep 3; done'
  - name: after
    cmd: sed -u s/^/after-/
    sub:
      - name: upper
        filter: "B"
"""
SECOND = """
name: second
func:
  - name: bracket
    cmd: sed -u s/.*/[&]/
"""


@pytest.fixture
def node(start_node: StartNode) -> RunningNode:
    return start_node(FLOW)


def command(node: RunningNode, *words: str) -> list[str]:
    program = str(Path(sys.executable).with_name("drop"))
    return [program, *words, "--address", node.socket_address]


@pytest.fixture
def drop(node: RunningNode) -> Drop:
    """Runs `drop WORDS` against the node to its end."""

    def run(*words: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(command(node, *words), input=data, capture_output=True, timeout=60)

    return run


def document(run: subprocess.CompletedProcess[bytes]) -> dict[str, object]:
    """The one JSON document that a successful command printed."""
    assert run.returncode == 0, run.stderr
    found: dict[str, object] = json.loads(run.stdout)
    return found


def test_calls(drop: Drop) -> None:
    assert drop("call", "echo", "hello").stdout == b"hello\n"
    assert drop("call", "upper", "-", data=b"abc\n").stdout == b"ABC\n"
    lines = b"".join(b"line %d\n" % number for number in range(3000))
    run = drop("call", "echo", "--lines", data=lines)
    assert (run.returncode, run.stdout, run.stderr) == (0, lines, b"")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("call", "nowhere", "x"), 2, b"no pool"),
        (("call", "echo", "two\nlines"), 2, b"bad request"),
        (("call", "hang", "x", "--timeout", "0.2"), 4, b"timeout"),
        (("flow", "info", "nothing"), 2, b"nothing"),
        (("flow", "start", "/nonexistent.yaml"), 2, b"/nonexistent.yaml"),
        (("bench", "nowhere", "--seconds", "0.1"), 2, b"no pool"),
        (("logs", "nowhere"), 2, b"no pool"),
    ],
)
def test_failures(drop: Drop, words: tuple[str, ...], code: int, told: bytes) -> None:
    run = drop(*words)
    assert run.returncode == code, run.stderr
    assert told in run.stderr
    assert b"Traceback" not in run.stderr


def test_events_of_a_chain(node: RunningNode, drop: Drop) -> None:
    with subprocess.Popen(
        command(node, "subscribe", "after", "--wait", "--count", "2"), stdout=subprocess.PIPE
    ) as subscriber:
        assert subscriber.stdout is not None
        # Publish until the first event shows that the subscription is in force.
        first = b""
        while not first:
            assert drop("publish", "upper", "ab").returncode == 0
            if prints_soon(subscriber):
                first = subscriber.stdout.readline()
        assert first == b"after-AB\n"
        assert drop("publish", "upper", "cd").returncode == 0  # does not pass the filter
        assert drop("publish", "upper", "b").returncode == 0
        assert subscriber.stdout.readline() in (b"after-B\n", b"after-AB\n")
        assert subscriber.wait(20) == 0


def prints_soon(process: subprocess.Popen[bytes]) -> bool:
    """Whether it prints something within half a second."""
    return bool(select.select([process.stdout], [], [], 0.5)[0])


def test_bench(node: RunningNode, drop: Drop) -> None:
    for address in (node.socket_address, node.address):
        shape = ("--connections", "4", "--depth", "16", "--seconds", "0.3", "--verify", "--json")
        run = drop("bench", "echo", *shape, "--address", address)
        figures = document(run)
        assert isinstance(figures["messages"], int)
        assert figures["messages"] > 1000
        assert (figures["errors"], figures["unanswered"]) == (0, 0)


def test_top_and_stats(drop: Drop) -> None:
    drop("call", "echo", "x")
    pools = document(drop("top", "--once", "--json", "--interval", "0.1"))["pools"]
    assert isinstance(pools, list)
    assert {"echo", "upper", "hang", "after"} <= {pool["name"] for pool in pools}
    shown = drop("top", "--once", "--interval", "0.1")
    assert b"echo" in shown.stdout
    assert document(drop("stats", "--json"))["pools"]
    assert document(drop("stats", "echo", "--json"))
    assert drop("ping").returncode == 0


def test_flows(drop: Drop, tmp_path: Path) -> None:
    file = tmp_path / "second.yaml"
    file.write_text(SECOND)
    assert drop("flow", "start", str(file)).returncode == 0
    assert drop("call", "bracket", "abc").stdout == b"[abc]\n"
    assert b"second" in drop("flow", "list").stdout
    assert b"bracket" in drop("flow", "info", "second").stdout
    assert drop("flow_stop", "second").returncode == 0
    assert drop("call", "bracket", "abc").returncode == 2


def test_logs(node: RunningNode, drop: Drop) -> None:
    assert drop("call", "upper", "first").returncode == 0
    with subprocess.Popen(command(node, "logs", "upper", "-f"), stdout=subprocess.PIPE) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline().endswith(b"got first\n")
        drop("call", "upper", "second")
        assert follower.stdout.readline().endswith(b"got second\n")
        follower.send_signal(signal.SIGINT)
        assert follower.wait(20) == 0


def test_a_node_that_is_gone(node: RunningNode, drop: Drop) -> None:
    node.stop()
    run = drop("call", "echo", "x")
    assert run.returncode == 3
    assert b"drop-node run" in run.stderr
