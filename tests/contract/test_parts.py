"""Answers in parts, from a process that writes them to the program that takes them."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from drop._fast.reactor import Reactor
from drop._fast.spawn import Recipe
from drop.client import AsyncClient, CallTimeout, Client, ConnectionLost, FunctionError, NoPool

MIB = 1 << 20
Pool = Callable[..., int]


@pytest.fixture
def pool(reactor: Reactor) -> Pool:
    """Makes a pool of kind exec out of a script of the shell."""

    def make(name: str, script: str, **options: int) -> int:
        recipe = Recipe([b"sh", b"-c", script.encode()], env=[b"PATH=/usr/bin:/bin"], cwd=None)
        made = reactor.pool_create(name, kind="exec", **options)
        reactor.exec_configure(made, recipe.capsule(), at_most=8, spare_least=1, spare_most=8)
        return made

    return make


@pytest.fixture
def client(port: int) -> Iterator[Client]:
    with Client(f"127.0.0.1:{port}", timeout=60) as made:
        yield made


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A FIFO: who reads it waits until somebody writes."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


def open_gate(gate: Path) -> None:
    """Returns when the process has come to the gate."""
    with gate.open("w") as opened:
        opened.write("go on\n")


def until(condition: Callable[[], bool]) -> None:
    """Asks again: the condition asks the node, which takes its turn each time."""
    assert any(condition() for _ in range(20_000))


def running(client: Client, pool: str) -> int:
    count: int = client.statistics(pool)["pools"][0]["processes"]["running"]
    return count


def test_parts_come_before_the_process_ends(pool: Pool, client: Client, gate: Path) -> None:
    pool("e", f"cat; read line < {gate}; echo two")
    parts = client.call_parts("e", "one\n")
    assert next(parts) == b"one\n"
    assert running(client, "e") == 1
    open_gate(gate)
    assert b"".join(parts) == b"two\n"


async def test_parts_come_before_the_process_ends_asyncio(
    pool: Pool, port: int, gate: Path
) -> None:
    pool("e", f"cat; read line < {gate}; echo two")
    async with AsyncClient(f"127.0.0.1:{port}") as client:
        parts = client.call_parts("e", "one\n")
        assert await anext(parts) == b"one\n"
        open_gate(gate)
        assert [part async for part in parts] == [b"two\n"]


def test_what_subscribers_get_is_whole(pool: Pool, client: Client, gate: Path) -> None:
    pool("e", f"cat; read line < {gate}; echo two; read line < {gate}; echo three")
    with ThreadPoolExecutor(1) as threads:
        with client.subscribe("e", wait=True):
            called = threads.submit(list, client.call_parts("e", "one\n"))
            open_gate(gate)
            until(lambda: client.statistics()["connections"]["open"] == 3)
        until(lambda: client.statistics()["connections"]["open"] == 2)
        open_gate(gate)
        assert called.result() == [b"one\ntwo\nthree\n"]  # decided when the process was given it


def test_a_subscriber_that_comes_later_gets_the_next(
    pool: Pool, client: Client, gate: Path
) -> None:
    pool("e", f"cat; read line < {gate}; echo two")
    parts = client.call_parts("e", "one\n")
    assert next(parts) == b"one\n"
    with client.subscribe("e", wait=True) as events, ThreadPoolExecutor(1) as threads:
        open_gate(gate)
        assert list(parts) == [b"two\n"]
        called = threads.submit(client.call, "e", "1\n")
        open_gate(gate)
        assert next(events) == called.result() == b"1\ntwo\n"
