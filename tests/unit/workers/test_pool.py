"""A pool with real processes: starting, stopping, ends of every kind, crash loops, updates."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from drop.workers.events import Restart
from drop.workers.pool import WorkerPool
from drop.workers.process import Command, LaunchError, Process, launch
from drop.workers.slot import SlotState
from real_pool import PATH, POLICY, World, stopped

pytestmark = pytest.mark.usefixtures("no_process_is_left", "no_descriptor_is_left")


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
    pool.worker_drained(first, 0)
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
