"""A pool with real processes; only the dataplane is a fake, so no message flows."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drop.clock import SystemClock
from drop.testing import dataplane as fake
from drop.testing.dataplane import FakeDataplane
from drop.workers.breaker import BreakerLimits
from drop.workers.events import Policy, Restart
from drop.workers.happenings import Happenings
from drop.workers.pool import Shared, WorkerPool
from drop.workers.process import Command, LaunchError, Process, launch
from drop.workers.slot import SlotState
from drop.workers.spawner import Spawner

POLICY = Policy(
    pool="echo",
    command="cat",
    log="/logs/echo.log",
    close_seconds=0.05,
    term_seconds=0.05,
    leave_seconds=0.05,
    backoff_seconds=0.01,
    breaker=BreakerLimits(fruitless_max=3, open_seconds=60.0),
)
PATH = os.environ["PATH"]


class Logs:
    """Throws stderr away, and closes it at once: a worker that writes there gets SIGPIPE."""

    fails = False

    def add(self, pool: str, worker: int, pid: int, fd: int) -> int:
        if self.fails:
            raise OSError(24, "Too many open files")
        os.close(fd)
        return 4096 + worker


class World:
    def __init__(self) -> None:
        self.dataplane = FakeDataplane()
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.errors: list[Exception] = []
        self.happenings = Happenings(
            self.dataplane, fake, lambda _, error: self.errors.append(error)
        )
        self.logs = Logs()
        clock = SystemClock()
        self.shared = Shared(
            self.dataplane, self.happenings, Spawner(clock), self.logs, clock, self.report
        )
        self.changed = asyncio.Event()
        self.launched: list[Process] = []

    def report(self, level: str, name: str, **fields: object) -> None:
        self.reports.append((name, fields))
        self.changed.set()

    def pool(self, *argv: str, **policy: Any) -> WorkerPool:
        def start(worker: int) -> Process:
            process = launch(Command(argv, None, {"PATH": PATH, "DROP_WORKER": str(worker)}))
            self.launched.append(process)
            self.changed.set()
            return process

        return WorkerPool(replace(POLICY, **policy), {"kind": "line"}, start, self.shared)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def named(self, name: str) -> list[dict[str, Any]]:
        return [fields for event, fields in self.reports if event == name]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    world.happenings.start()
    yield world
    world.happenings.stop()
    world.dataplane.close()
    assert not world.errors


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    yield
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    before = set(os.listdir("/proc/self/fd"))
    yield
    assert set(os.listdir("/proc/self/fd")) == before


async def stopped(pool: WorkerPool) -> None:
    async with asyncio.timeout(10):
        await pool.stopped
    pool.remove()


async def test_a_worker_that_obeys_the_end_of_its_stdin(world: World) -> None:
    pool = world.pool("cat", workers=2, close_seconds=10.0)
    pool.start()
    await pool.started
    assert [slot.state for slot in pool.supervision.slots.values()] == ["running", "running"]
    pool.stop(10.0)
    await stopped(pool)
    assert [ended["text"] for ended in world.named("worker_ended")] == [
        "cat: exit code 0; answered 0, unanswered 0"
    ] * 2
    assert world.dataplane.commands[-1] == ("pool_remove", "echo")


async def test_a_worker_that_needs_sigterm(world: World) -> None:
    pool = world.pool("sleep", "1000")
    pool.start()
    await pool.started
    pool.stop(10.0)
    await stopped(pool)
    assert "killed by SIGTERM" in world.named("worker_ended")[0]["text"]


async def test_a_worker_that_ignores_everything(world: World, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    pool = world.pool("sh", "-c", f"trap '' TERM; echo >{ready}; while :; do sleep 1000; done")
    pool.start()
    await pool.started
    await asyncio.to_thread(ready.read_text)
    pool.stop(10.0)
    await stopped(pool)
    assert "killed by SIGKILL" in world.named("worker_ended")[0]["text"]


async def test_a_fault_kills_the_group_with_its_grandchildren(world: World, tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    os.mkfifo(alive)  # at its end when the last process that can write to it is gone
    pool = world.pool("sh", "-c", f"(echo x; sleep 1000) >{alive} & wait", close_seconds=0.0)
    pool.start()
    await pool.started
    with await asyncio.to_thread(alive.open) as reader:
        assert await asyncio.to_thread(reader.readline) == "x\n"
        (worker,) = world.dataplane.workers
        world.dataplane.give_up(worker, "timeout", unanswered=1)
        async with asyncio.timeout(10):
            assert await asyncio.to_thread(reader.read) == ""
    pool.kill()
    await stopped(pool)
    assert "did not answer within its timeout" in world.named("worker_ended")[0]["text"]


async def test_a_killed_worker_is_replaced(world: World) -> None:
    pool = world.pool("cat")
    pool.start()
    await pool.started
    os.kill(world.launched[0].pid, signal.SIGKILL)
    await world.until(lambda: len(world.launched) == 2)
    assert world.named("worker_ended")[0]["pid"] == world.launched[0].pid
    assert pool.supervision.slots[0].restarts == 1
    pool.stop(10.0)
    await stopped(pool)


async def test_news_of_a_dead_worker_do_not_reach_its_successor(world: World) -> None:
    pool = world.pool("cat")
    pool.start()
    await pool.started
    (first,) = world.dataplane.workers
    os.kill(world.launched[0].pid, signal.SIGKILL)
    await world.until(lambda: len(world.launched) == 2)
    await asyncio.sleep(0)
    pool.worker_gone(first, "timeout", 1, 0)
    pool.worker_drained(first)
    assert pool.supervision.slots[0].state is SlotState.RUNNING
    pool.kill()
    await stopped(pool)


async def test_a_crash_loop_is_refused_with_its_reason(world: World) -> None:
    pool = world.pool("sh", "-c", "exit 3")
    pool.start()
    await world.until(lambda: bool(world.named("breaker_open")))
    text = world.dataplane.refused["echo"]
    assert text is not None
    assert "exit code 3; its log: /logs/echo.log" in text
    assert len(world.launched) == 3
    pool.stop(10.0)
    await stopped(pool)


async def test_a_command_that_is_not_found_is_refused_at_once(world: World) -> None:
    pool = world.pool("no-such-program-anywhere")
    pool.start()
    await pool.started
    text = world.dataplane.refused["echo"]
    assert text is not None
    assert "no-such-program-anywhere" in text
    assert "ENOENT" in text
    pool.stop(10.0)
    await stopped(pool)


async def test_a_log_that_cannot_be_opened_is_a_failed_start(world: World) -> None:
    world.logs.fails = True
    pool = world.pool("cat")
    pool.start()
    await pool.started
    assert "Too many open files" in world.named("spawn_failed")[0]["text"]
    world.logs.fails = False
    await world.until(lambda: len(world.launched) == 2)
    pool.kill()
    await stopped(pool)


async def test_an_update_replaces_the_workers(world: World) -> None:
    pool = world.pool("cat")
    pool.start()
    await pool.started
    replaced: list[int] = []

    def start(worker: int) -> Process:
        replaced.append(worker)
        world.changed.set()
        return launch(Command(("cat", "-u"), None, {"PATH": PATH}))

    pool.update(replace(pool.supervision.policy, command="cat -u", workers=2), start, replace=True)
    await world.until(lambda: len(replaced) == 2)
    assert sorted(replaced) == [1, 2]
    pool.stop(10.0)
    await stopped(pool)


async def test_a_stop_before_the_first_worker_starts(world: World) -> None:
    pool = world.pool("cat")
    pool.start()
    pool.kill()
    await stopped(pool)
    assert pool.started.done()
    assert not world.launched


async def test_a_function_that_ends_and_is_not_restarted(world: World) -> None:
    pool = world.pool("true", restart=Restart.NEVER)
    pool.start()
    await world.until(lambda: bool(world.named("worker_ended")))
    text = world.dataplane.refused["echo"]
    assert text is not None
    assert "restart: never" in text
    pool.stop(10.0)
    await stopped(pool)


async def test_many_starts_leave_turns_to_the_loop(world: World) -> None:
    pools = [
        WorkerPool(replace(POLICY, pool=f"p{number}"), {"kind": "line"}, _never, world.shared)
        for number in range(50)
    ]
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while not all(pool.started.done() for pool in pools):
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    for pool in pools:
        pool.start()
    await asyncio.gather(*(pool.started for pool in pools))
    await counting
    assert turns > 1
    for pool in pools:
        pool.stop(1.0)
        await stopped(pool)


def _never(worker: int) -> Process:
    raise LaunchError("busy", hopeless=bool(sum(range(20_000))))
