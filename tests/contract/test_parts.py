"""Answers in parts, from a process that writes them to the program that takes them."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from drop._fast.reactor import Reactor
from drop._fast.spawn import Recipe
from drop.client import (
    AsyncClient,
    CallTimeout,
    Client,
    ConnectionLost,
    Draining,
    FunctionError,
    NoPool,
)

MIB = 1 << 20
WAITING_MAX = 24 * MIB  # in the client, the kernel's buffers, the node and a pipe
MAKE = "head -c %d /dev/zero"
Pool = Callable[..., None]

# A client of its own, for its memory: how much came, how large the largest, and MiB at the most.
TAKER = """
import asyncio, sys
from drop.client import AsyncClient, Client

def blocking(address):
    with Client(address, timeout=100) as client:
        yield from map(len, client.call_parts("e", b""))

async def collect(address):
    async with AsyncClient(address, timeout=100) as client:
        return [len(part) async for part in client.call_parts("e", b"")]

address, kind = sys.argv[1:]
sizes = list(blocking(address)) if kind == "blocking" else asyncio.run(collect(address))
[peak] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(sum(sizes), max(sizes), int(peak) >> 10)
"""


@pytest.fixture
def client(port: int) -> Iterator[Client]:
    with Client(f"127.0.0.1:{port}", timeout=60) as made:
        yield made


@pytest.fixture
async def other(port: int) -> Any:
    async with AsyncClient(f"127.0.0.1:{port}", timeout=60) as made:
        yield made


@pytest.fixture
def pool(reactor: Reactor, client: Client) -> Pool:
    """Makes a pool of kind exec out of a script of the shell."""

    def exists(name: str) -> bool:
        try:
            return bool(client.statistics(name))
        except NoPool:
            return False

    def make(name: str, script: str) -> None:
        recipe = Recipe([b"sh", b"-c", script.encode()], env=[b"PATH=/usr/bin:/bin"], cwd=None)
        made = reactor.pool_create(name, kind="exec")
        reactor.exec_configure(made, recipe.capsule(), at_most=8, spare_least=1, spare_most=8)
        until(lambda: exists(name))

    return make


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
    """Asks again: each time the node takes a turn."""
    assert any(condition() for _ in range(20_000))


def figures(client: Client) -> dict[str, Any]:
    """Of the pool `e`."""
    found: dict[str, Any] = client.statistics("e")["pools"][0]
    return found


def test_parts_come_before_the_process_ends(pool: Pool, client: Client, gate: Path) -> None:
    pool("e", f"cat; read line < {gate}; echo two")
    parts = client.call_parts("e", "one\n")
    assert next(parts) == b"one\n"
    assert figures(client)["processes"]["running"] == 1
    open_gate(gate)
    assert list(parts) == [b"two\n"]
    assert figures(client)["answers"] == 1


async def test_parts_come_on_a_loop(pool: Pool, other: AsyncClient, gate: Path) -> None:
    pool("e", f"cat; read line < {gate}; echo two")
    parts = other.call_parts("e", "one\n")
    assert await anext(parts) == b"one\n"
    open_gate(gate)
    assert [part async for part in parts] == [b"two\n"]


async def test_other_kinds_answer_in_one_part(echo_port: int) -> None:
    async with AsyncClient(f"127.0.0.1:{echo_port}") as other:
        assert [part async for part in other.call_parts("echo", "x")] == [b"x"]
        assert [part async for part in other.call_parts("echo", "")] == []
        with pytest.raises(NoPool, match="eco"):
            await anext(other.call_parts("eco", "x"))
    with Client(f"127.0.0.1:{echo_port}") as client:
        assert list(client.call_parts("echo", bytes([65]) * MIB)) == [bytes([65]) * MIB]
        assert list(client.call_parts("echo", "")) == []
        assert client.call("echo", "y") == b"y"
        # one for the calls of `other`, one for each of its answers in parts, one for all of these
        assert client.statistics()["connections"]["accepted"] == 1 + 3 + 1


def test_an_error_comes_behind_the_parts(pool: Pool, client: Client) -> None:
    pool("e", "cat; exit 3")
    parts = client.call_parts("e", "one\n")
    assert next(parts) == b"one\n"
    with pytest.raises(FunctionError, match="exit code 3") as failed:
        next(parts)
    assert failed.value.call_id is not None
    assert int(failed.value.call_id, 16) > 0
    with pytest.raises(StopIteration):
        next(parts)
    assert "1 idle" in repr(client)  # that it failed is an answer too: the connection is as good


async def test_an_error_comes_behind_the_parts_on_a_loop(pool: Pool, other: AsyncClient) -> None:
    pool("e", "cat; exit 3")
    parts = other.call_parts("e", "one\n")
    assert await anext(parts) == b"one\n"
    with pytest.raises(FunctionError, match="exit code 3"):
        await anext(parts)


def test_time_runs_out_between_two_parts(pool: Pool, client: Client, gate: Path) -> None:
    pool("e", f"cat; read line < {gate}; echo two")
    parts = client.call_parts("e", "one\n", timeout=0.5)
    assert next(parts) == b"one\n"
    with pytest.raises(CallTimeout, match="the caller's time"):
        next(parts)
    open_gate(gate)
    until(lambda: figures(client)["late"] == 1)


async def test_time_runs_out_on_a_loop(pool: Pool, other: AsyncClient, gate: Path) -> None:
    pool("e", f"cat; read line < {gate}; echo two")
    parts = other.call_parts("e", "one\n", timeout=0.5)
    assert await anext(parts) == b"one\n"
    with pytest.raises(CallTimeout, match="the caller's time"):
        await anext(parts)
    open_gate(gate)


def test_leaving_early_cancels(pool: Pool, client: Client, gate: Path) -> None:
    pool("e", f"cat; read line < {gate}; {MAKE % (8 * MIB)}")
    parts = client.call_parts("e", "one\n")
    assert next(parts) == b"one\n"
    parts.close()
    until(lambda: figures(client)["errors"] == {"cancelled": 1})
    open_gate(gate)  # the function goes on; nobody keeps the rest, however much it is
    until(lambda: figures(client)["answers"] == 1)
    found = figures(client)
    assert (found["late"], found["bytes_out"]) == (1, len("one\n"))


async def test_leaving_early_cancels_on_a_loop(
    pool: Pool, other: AsyncClient, client: Client, gate: Path
) -> None:
    pool("e", f"cat; read line < {gate}; {MAKE % (8 * MIB)}")
    async with aclosing(other.call_parts("e", "one\n")) as parts:
        assert await anext(parts) == b"one\n"
    until(lambda: figures(client)["errors"] == {"cancelled": 1})
    open_gate(gate)
    until(lambda: figures(client)["late"] == 1)
    assert (await other.statistics("e"))["pools"][0]["bytes_out"] == len("one\n")


def test_a_slow_program_holds_the_function_back(pool: Pool, client: Client) -> None:
    pool("e", MAKE % (64 * MIB))
    parts = client.call_parts("e", "")
    size = len(next(parts))
    sent = [figures(client)["bytes_out"] for _ in range(500)]
    assert max(sent) < WAITING_MAX
    assert size + sum(map(len, parts)) == 64 * MIB


async def test_a_slow_program_holds_the_function_back_on_a_loop(
    pool: Pool, other: AsyncClient, client: Client
) -> None:
    pool("e", MAKE % (64 * MIB))
    parts = other.call_parts("e", "")
    size = len(await anext(parts))
    sent = [(await other.statistics("e"))["pools"][0]["bytes_out"] for _ in range(500)]
    assert max(sent) < WAITING_MAX
    assert size + sum([len(part) async for part in parts]) == 64 * MIB


def test_what_subscribers_get_is_whole(pool: Pool, client: Client, gate: Path) -> None:
    second = gate.with_name("second")  # one gate could be found open still by who comes again
    os.mkfifo(second)
    pool("e", f"cat; read line < {gate}; echo two; read line < {second}; echo three")
    with ThreadPoolExecutor(1) as threads:
        with client.subscribe("e", wait=True):
            called = threads.submit(list, client.call_parts("e", "one\n"))
            open_gate(gate)
            until(lambda: client.statistics()["connections"]["open"] == 3)
        until(lambda: client.statistics()["connections"]["open"] == 2)
        open_gate(second)
        assert called.result() == [b"one\ntwo\nthree\n"]  # settled when the process was given it


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


def test_the_node_goes_away(pool: Pool, client: Client, reactor: Reactor, gate: Path) -> None:
    pool("e", f"cat; read line < {gate}")
    parts = client.call_parts("e", "one\n")
    assert next(parts) == b"one\n"
    reactor.stop()
    with pytest.raises(Draining):
        next(parts)


async def test_the_node_goes_away_on_a_loop(
    pool: Pool, other: AsyncClient, reactor: Reactor, gate: Path
) -> None:
    pool("e", f"cat; read line < {gate}")
    parts = other.call_parts("e", "one\n")
    assert await anext(parts) == b"one\n"
    reactor.stop()
    with pytest.raises(Draining):
        await anext(parts)


async def test_closing_the_client_ends_them(pool: Pool, port: int, gate: Path) -> None:
    pool("e", f"cat; read line < {gate}")
    async with AsyncClient(f"127.0.0.1:{port}") as other:
        parts = other.call_parts("e", "one\n")
        assert await anext(parts) == b"one\n"
    with pytest.raises(ConnectionLost, match="client was closed"):
        await anext(parts)


@pytest.mark.big
@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_a_gigabyte_needs_no_memory(kind: str, pool: Pool, client: Client, port: int) -> None:
    pool("e", MAKE % (1024 * MIB))
    command = [sys.executable, "-c", TAKER, f"127.0.0.1:{port}", kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as taker:
        held = 0
        while taker.poll() is None:
            held = max(held, client.statistics()["memory"]["in_use"])
        assert taker.stdout is not None
        came, largest, peak_mib = map(int, taker.stdout.read().split())
    assert came == 1024 * MIB
    assert largest <= MIB
    assert peak_mib < 64
    assert held < 8 * MIB
