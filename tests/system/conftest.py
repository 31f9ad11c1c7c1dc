"""What the system tests share: marked processes, reactors that end with their test, and gates."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from node_tools import processes
from system.dataplane import Dataplane
from system.gate import Gate


@pytest.fixture
def marked(tmp_path: Path) -> Iterator[str]:
    """An argument that only processes of this test have; none may be left at its end."""
    mark = f"mark-{os.getpid()}-{tmp_path.name}"
    yield mark
    assert processes(mark) == []


@pytest.fixture
def start_plane() -> Iterator[Callable[..., Dataplane]]:
    """Starts reactors with options of their own."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(Dataplane(**options))


@pytest.fixture
def plane(start_plane: Callable[..., Dataplane]) -> Dataplane:
    """A reactor that listens and has no pools yet."""
    return start_plane()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


@pytest.fixture
def make_gate(tmp_path: Path) -> Callable[[str], Gate]:
    return lambda name: Gate(tmp_path / name)
