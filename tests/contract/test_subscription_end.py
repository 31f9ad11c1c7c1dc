"""A pool is removed and comes back: its subscribers notice, and are renewed."""

import asyncio
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from drop._fast.reactor import Reactor
from drop.client import AsyncClient, Client
from drop.errors import Draining, NoPool


class Node:
    """A reactor with a port, and a pool that can be made again."""

    def __init__(self, reactor: Reactor, port: int) -> None:
        self.reactor = reactor
        self.address = f"127.0.0.1:{port}"
        self.cats: list[subprocess.Popen[bytes]] = []
        self.pool = 0

    def make_pool(self) -> None:
        if self.pool:
            self.reactor.pool_remove(self.pool)
        cat = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert cat.stdin is not None
        assert cat.stdout is not None
        self.cats.append(cat)
        self.pool = self.reactor.pool_create("echo", kind="line")
        stdin, stdout = os.dup(cat.stdin.fileno()), os.dup(cat.stdout.fileno())
        self.reactor.worker_add(self.pool, stdin, stdout)
        cat.stdin.close()
        cat.stdout.close()


@pytest.fixture
def node(reactor: Reactor, port: int) -> Iterator[Node]:
    made = Node(reactor, port)
    made.make_pool()
    yield made
    reactor.stop()
    for cat in made.cats:
        cat.wait()


async def test_async_subscription_goes_on_with_the_new_pool(node: Node) -> None:
    async with AsyncClient(node.address) as client, client.subscribe("echo") as events:
        await client.call("echo", b"before")
        assert await anext(events) == b"before"
        node.make_pool()
        waiting = asyncio.ensure_future(anext(events))
        while not waiting.done():
            with suppress(NoPool, Draining):  # between the old pool and the new one
                await client.call("echo", b"after")
        assert await waiting == b"after"
        assert events.reconnects == 1


def test_blocking_subscription_goes_on_with_the_new_pool(node: Node) -> None:
    with Client(node.address) as client, client.subscribe("echo") as events:
        client.call("echo", b"before")
        assert next(events) == b"before"
        node.make_pool()
        with Caller(node.address):
            assert next(events) == b"after"
        assert events.reconnects == 1


class Caller:
    """Calls from a thread of its own until the block ends."""

    def __init__(self, address: str) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._call, args=(address,))

    def _call(self, address: str) -> None:
        with Client(address) as client:
            while not self._ended.is_set():
                with suppress(NoPool):
                    client.call("echo", b"after")

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
