"""News of the dataplane reach who waits for them, and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from drop.testing import dataplane as fake
from drop.testing.dataplane import FakeDataplane
from drop.workers.happenings import Happenings


class Pool:
    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def worker_gone(self, worker: int, reason: str, unanswered: int, answered: int) -> None:
        self.heard.append((worker, reason, unanswered, answered))

    def worker_drained(self, worker: int, answered: int) -> None:
        self.heard.append((worker, answered))

    def worker_ready(self, worker: int) -> None:
        self.heard.append((worker, "ready"))

    def worker_health(self, worker: int, outcome: str) -> None:
        self.heard.append((worker, outcome))

    def unknown_token(self, worker: int, count: int, line: bytes) -> None:
        self.heard.append((worker, count, line))

    def pool_drained(self) -> None:
        raise RuntimeError("a mistake")


class Exec:
    def __init__(self) -> None:
        self.heard: list[object] = []

    def spawn_failed(self, number: int, what: str) -> None:
        self.heard.append((number, what))

    def spawn_works(self) -> None:
        self.heard.append("works")

    def spares_off(self, reason: str) -> None:
        self.heard.append(reason)

    def pool_drained(self) -> None:
        self.heard.append("drained")


class World:
    def __init__(self) -> None:
        self.dataplane = FakeDataplane()
        self.errors: list[str] = []
        self.happenings = Happenings(
            self.dataplane, fake, lambda what, error: self.errors.append(f"{what}: {error}")
        )


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    world.happenings.start()
    yield world
    world.happenings.stop()
    world.dataplane.close()


async def all_read(world: World) -> None:
    """Happenings come in order, so when this one is there, so are those before it."""
    world.dataplane.emit(fake.DRAINED)
    async with asyncio.timeout(10):
        await world.happenings.drained.wait()


async def test_each_pool_hears_its_own(world: World) -> None:
    one, two = Pool(), Pool()
    world.happenings.listen(1, one)
    world.happenings.listen(2, two)
    world.dataplane.emit(fake.WORKER_GONE, 1, 7, "eof", 2, 3)
    world.dataplane.emit(fake.WORKER_DRAINED, 2, 8, 0)
    world.dataplane.emit(fake.WORKER_READY, 1, 9)
    world.dataplane.emit(fake.WORKER_HEALTH, 2, 10, "wrong")
    world.dataplane.emit(fake.UNKNOWN_TOKEN, 1, 9, 2, b"7::x")
    await all_read(world)
    assert one.heard == [(7, "eof", 2, 3), (9, "ready"), (9, 2, b"7::x")]
    assert two.heard == [(8, 0), (10, "wrong")]


async def test_a_pool_of_kind_exec_hears_of_its_processes(world: World) -> None:
    pool = Exec()
    world.happenings.listen_exec(3, pool)
    world.dataplane.emit(fake.SPAWN_FAILED, 3, 2, "cannot execute")
    world.dataplane.emit(fake.SPAWN_WORKS, 3)
    world.dataplane.emit(fake.SPARES_OFF, 3, "ended before it had a message")
    world.dataplane.emit(fake.POOL_DRAINED, 3)
    await all_read(world)
    reason = "ended before it had a message"
    assert pool.heard == [(2, "cannot execute"), "works", reason, "drained"]
    assert world.errors == []


async def test_news_of_a_removed_pool_are_no_news(world: World) -> None:
    pool = Pool()
    world.happenings.listen(1, pool)
    world.happenings.unlisten(1)
    world.dataplane.emit(fake.WORKER_GONE, 1, 7, "eof", 0, 0)
    world.dataplane.emit(fake.WORKER_DRAINED, 1, 7, 3)
    world.dataplane.emit(fake.WORKER_READY, 1, 7)
    world.dataplane.emit(fake.WORKER_HEALTH, 1, 7, "ok")
    world.dataplane.emit(fake.POOL_DRAINED, 1)
    await all_read(world)
    assert pool.heard == []
    assert world.errors == []


async def test_a_mistake_about_one_does_not_lose_the_others(world: World) -> None:
    pool = Pool()
    world.happenings.listen(1, pool)
    world.dataplane.emit(fake.POOL_DRAINED, 1)
    world.dataplane.emit(fake.WORKER_DRAINED, 1, 8, 0)
    await all_read(world)
    assert pool.heard == [(8, 0)]
    assert len(world.errors) == 1


async def test_messages_for_the_control_plane(world: World) -> None:
    got: list[tuple[int, bytes]] = []
    world.happenings.on_message(5, lambda token, payload: got.append((token, payload)))
    world.dataplane.emit(fake.MESSAGE, 5, 99, b"{}")
    await all_read(world)
    assert got == [(99, b"{}")]


async def test_statistics_are_asked_for_and_awaited(world: World) -> None:
    async with asyncio.timeout(10):
        assert await world.happenings.statistics() == b"{}"


async def test_who_waits_is_let_go_at_the_end(world: World) -> None:
    waiting = asyncio.create_task(world.happenings.statistics())
    await asyncio.sleep(0)
    world.happenings.stop()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    world.happenings.start()
