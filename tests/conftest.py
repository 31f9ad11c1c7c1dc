"""What all tests share: a node as a real process, ports, directories, and the leak check.

Nothing here waits by sleeping: the node says through a pipe when it is ready.
"""

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from running_node import RunningNode

# The same examples on every machine and in every run; `explore` looks for new ones.
hypothesis.settings.register_profile("repeat", derandomize=True, deadline=None)
hypothesis.settings.register_profile("explore", derandomize=False, deadline=None, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("DROP_HYPOTHESIS", "repeat"))


def pytest_report_header() -> list[str]:
    """Says which build is under test, since three can lie side by side."""
    import drop._fast

    return [f"drop: {Path(drop._fast.__file__).parent}"]


@pytest.fixture
def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def var_dir() -> Iterator[Path]:
    """A directory for one node. Short: it will hold a Unix socket, whose path has 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="drop-") as directory:
        yield Path(directory)


@pytest.fixture
def start_node(var_dir: Path, free_port: int) -> Iterator[Callable[..., RunningNode]]:
    """Starts nodes that are stopped at the end: `start_node(flow_text, ..., **environment)`.

    Each flow is YAML text. A node that is still running is drained by SIGTERM; it must exit with 0.
    """
    started: list[RunningNode] = []

    def start(*flows: str, **environment: str) -> RunningNode:
        number = len(started)
        port = free_port if number == 0 else 0
        node = RunningNode(var_dir / f"node-{number}", port, flows, environment)
        started.append(node)
        node.start()
        return node

    yield start
    for node in started:
        node.finish()


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    """In builds that count what is open (debug, sanitize), every test closes what it opened.

    A node in a process of its own counts for itself, see RunningNode.finish.
    """
    yield
    reactor = sys.modules.get("drop._fast.reactor")
    if reactor is not None:
        open_now = {name: count for name, count in reactor.leak_counters().items() if count}
        assert not open_now, f"left open by this test: {open_now}"


def pytest_configure() -> None:
    """A shell starts what it runs in the background with SIGINT ignored, and that is inherited: the
    programs under test are to be what they are in a terminal."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
