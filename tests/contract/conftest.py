"""The node's core without the rest of the node: a reactor, a port and one pool."""

import os
import socket
import subprocess
from collections.abc import Iterator

import pytest

from drop._fast.reactor import Reactor


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    """A reactor that runs, without pools and listeners."""
    made = Reactor(
        node_name="n1",
        payload_max=1 << 20,
        connections_max=100,
        calls_max=100,
        slow_client_ms=10_000,
        memory_max=64 << 20,
    )
    made.start()
    yield made
    made.stop()


@pytest.fixture
def port(reactor: Reactor) -> int:
    """Where the reactor listens."""
    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    reactor.listen(listener.detach(), trusted=False)
    return port


@pytest.fixture
def echo_port(reactor: Reactor, port: int) -> Iterator[int]:
    """The port of a reactor with the pool `echo`, whose one worker is `cat`."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        assert cat.stdin is not None
        assert cat.stdout is not None
        pool = reactor.pool_create("echo", kind="line", inflight=16)
        reactor.worker_add(pool, os.dup(cat.stdin.fileno()), os.dup(cat.stdout.fileno()))
        cat.stdin.close()
        yield port
        reactor.stop()
