"""The protocol against a whole node in its own process: nonsense, sizes, tokens, crowds."""

from __future__ import annotations

import re
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.vectors import VECTORS
from drop.errors import STATUS
from drop.testing.reference import Type, hello, named, request
from node_tools import ECHO, StartNode, cat, flow
from running_node import RunningNode
from system.dataplane import program
from system.wire import Wire, options_of

pytestmark = pytest.mark.system

CROWD = 10_000
TOKEN = b"a-token-of-20-bytes."
NONSENSE = {
    "http": b"GET /api/v1/echo HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "http put": b"PUT / HTTP/1.1\r\n\r\n",
    "http 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "tls": bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "ssh": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    "zeros": bytes(64),
    "ones": b"\xff" * 64,
}


@pytest.fixture
def node(start_node: StartNode) -> RunningNode:
    return start_node(ECHO)


@pytest.fixture
def bystander(node: RunningNode) -> Iterator[Wire]:
    """A connection that was there before, and must not notice anything."""
    with Wire(node.port) as wire:
        yield wire
        assert wire.ask("echo", b"unharmed") == ("ok", b"unharmed")


def test_every_bad_frame_costs_one_connection(node: RunningNode, bystander: Wire) -> None:
    bad = [vector for vector in VECTORS if vector.verdict.startswith("goaway")]
    for vector in bad:
        with Wire(node.port, greet=not vector.first) as wire:
            wire.socket.sendall(vector.data)
            assert wire.goaway() == vector.verdict.split()[1], vector.name
        assert bystander.ask("echo", vector.name.encode()) == ("ok", vector.name.encode())
    assert len(bad) > 20


@pytest.mark.parametrize("data", NONSENSE.values(), ids=NONSENSE)
def test_a_client_of_another_protocol(node: RunningNode, bystander: Wire, data: bytes) -> None:
    with Wire(node.port, greet=False) as wire:
        wire.socket.sendall(data)
        assert wire.goaway() == "bad_request"


def test_a_bad_frame_behind_good_calls(node: RunningNode, bystander: Wire) -> None:
    """What was accepted before is abandoned with the connection; GOAWAY is its last frame."""
    with Wire(node.port) as wire:
        good = b"".join(request(Type.CALL, id, "echo", b"x").encode() for id in range(100))
        wire.socket.sendall(good + bytes(16) + good)
        *before, last = wire.rest()
    assert (last.type, STATUS[last.code]) == (Type.GOAWAY, "bad_request")
    assert {frame.type for frame in before} <= {Type.ANSWER}


@pytest.mark.parametrize("kind", ["line", "frame"])
def test_the_largest_message_through_a_node(start_node: StartNode, kind: str) -> None:
    command = program("frames", "echo") if kind == "frame" else ["cat"]
    node = start_node(flow("large", {"name": "large", "cmd": command, "kind": kind}))
    message = bytes([0xFF, 0x0D, 0x00, 0x20]) * (16 << 20)
    with Wire(node.port) as wire:
        assert len(message) == options_of(wire)["payload_max"] == 64 << 20
        assert wire.ask("large", message) == ("ok", message)
        assert wire.ask("large", message + b"x")[0] == "too_large"
        assert wire.ask("large", b"still here") == ("ok", b"still here")


def test_a_client_that_never_reads_costs_a_bounded_memory(start_node: StartNode) -> None:
    """It asks for 2 GB of answers."""
    long = {"name": "long", "cmd": program("obedient"), "num": 2, "inflight": 16, "queue": 4000}
    node = start_node(
        flow("long", long), DROP_LIMITS_SLOW_CLIENT_MS="500", DROP_LIMITS_CALLS_MAX="2000"
    )
    before = memory_kib(node)
    with Wire(node.port, receive_buffer=4096) as slow, Wire(node.port) as other:
        slow.call_each("long", [b"long 1000000"] * 2000)
        while slow_clients(other) == 0:
            assert other.ask("long", b"unharmed") == ("ok", b"unharmed")
        slow.rest()
        assert other.ask("long", b"unharmed") == ("ok", b"unharmed")
    # 64 MiB of output, twice that as it grows, and as much again in a sanitizer's quarantine.
    assert memory_kib(node) - before < 512 << 10


def slow_clients(wire: Wire) -> int:
    wire.send(named(Type.STATISTICS, 1))
    found = re.search(rb'"cut_slow":(\d+)', wire.answer(1)[1])
    assert found
    return int(found[1])


def memory_kib(node: RunningNode) -> int:
    """The most memory that the node has had, resident."""
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1])


def test_a_node_with_a_token(start_node: StartNode, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN.decode()}\n")
    file.chmod(0o600)
    node = start_node(ECHO, DROP_TOKEN_FILE=str(file))
    for wrong in (b"", TOKEN + b"\n", TOKEN[:-1], TOKEN.upper()):
        with Wire(node.port, greet=False) as wire:
            wire.send(hello(wrong))
            assert wire.goaway() == "unauthorized"
    with Wire(node.port, token=TOKEN) as wire:
        assert options_of(wire)["authenticated"]
        assert wire.ask("echo", b"x") == ("ok", b"x")
        assert wire.ask("$control", b'{"op":"node.info"}')[0] == "ok"
    with Wire(node.var_dir / "drop.sock") as wire:
        assert wire.ask("$control", b'{"op":"node.info"}')[0] == "ok"


def test_control_over_tcp_is_refused_without_a_token(node: RunningNode) -> None:
    with Wire(node.port) as wire:
        assert wire.ask("$control", b'{"op":"flow.stop","name":"echo"}')[0] == "unauthorized"
        assert wire.ask("echo", b"x") == ("ok", b"x")


@pytest.mark.big
def test_ten_thousand_connections(start_node: StartNode) -> None:
    """They are in a process of their own, as their descriptors count too."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < CROWD + 500:
        pytest.skip(f"{CROWD + 500} descriptors are needed, the hard limit is {most}")
    node = start_node(flow("echo", cat("echo", num=2, inflight=64, queue=CROWD)))
    with Wire(node.port) as other:
        assert other.ask("echo", b"before") == ("ok", b"before")
        idle = memory_kib(node)
        command = program("crowd", str(node.port), str(CROWD), "echo")
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as crowd:
            assert crowd.stdout is not None
            assert crowd.stdout.readline() == b"answered %d\n" % CROWD
            assert memory_kib(node) - idle < CROWD * 16
            assert other.ask("echo", b"beside") == ("ok", b"beside")
            crowd.kill()  # all of them vanish at once
        assert other.ask("echo", b"after") == ("ok", b"after")
