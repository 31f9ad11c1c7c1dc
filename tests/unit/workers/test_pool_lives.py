"""A pool with real processes: readiness, health, signals, starting anew."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from drop.testing import dataplane as fake
from drop.workers.events import RolledOut
from drop.workers.health import Health
from drop.workers.slot import SlotState
from real_pool import World, stopped

pytestmark = pytest.mark.usefixtures("no_process_is_left", "no_descriptor_is_left")


async def test_the_dataplane_is_told_what_to_wait_for_and_where_to_mark(world: World) -> None:
    pool = world.pool("cat", ready="READY")
    pool.start()
    await pool.started
    (worker,) = world.dataplane.workers
    assert world.dataplane.awaited[worker] == b"READY"
    assert world.dataplane.marks[worker] == 4097  # as the log gave it
    assert pool.supervision.slots[0].state is SlotState.READYING
    world.dataplane.say_ready(worker)
    await world.read()
    assert pool.supervision.slots[0].state is SlotState.RUNNING
    pool.kill()
    await stopped(pool)


async def test_a_worker_that_never_gets_ready_is_killed(world: World) -> None:
    pool = world.pool("cat", ready="READY", start_seconds=0.01)
    pool.start()
    await world.until(lambda: bool(world.named("worker_ended")))
    text = world.named("worker_ended")[0]["text"]
    assert "did not say it was ready within 0.01 s; expected a line that begins" in text
    pool.kill()
    await stopped(pool)


async def test_workers_are_asked_how_they_are(world: World) -> None:
    health = Health(b"ping", b"pong", every_seconds=0.01)
    pool = world.pool("cat", health=health)
    world.dataplane.health = "wrong"
    pool.start()
    await world.until(lambda: bool(world.named("worker_ended")))
    (first,) = {command[1] for command in world.dataplane.commands if "worker_probe" in command}
    assert ("worker_probe", first, b"ping", b"pong") in world.dataplane.commands
    assert "answered its health check with something" in world.named("worker_ended")[0]["text"]
    world.dataplane.health = "ok"
    await world.until(lambda: len(world.launched) == 2)
    pool.kill()
    await stopped(pool)


async def test_the_health_of_a_dead_worker_is_not_its_successors(world: World) -> None:
    pool = world.pool("cat")
    pool.start()
    await pool.started
    (first,) = world.dataplane.workers
    os.kill(world.launched[0].pid, signal.SIGKILL)
    await world.until(lambda: len(world.launched) == 2)
    await asyncio.sleep(0)
    pool.worker_ready(first)
    pool.worker_health(first, "wrong")
    assert pool.supervision.slots[0].state is SlotState.RUNNING
    pool.kill()
    await stopped(pool)


async def test_those_whose_messages_it_had_are_told_how_it_ended(world: World) -> None:
    pool = world.pool("sh", "-c", "exit 3")
    pool.start()
    await world.until(lambda: bool(world.named("worker_ended")))
    told = [command for command in world.dataplane.commands if command[0] == "worker_exited"]
    assert told[0][2] == "exit code 3"
    pool.kill()
    await stopped(pool)


async def test_answers_that_nobody_waits_for_are_reported(world: World) -> None:
    pool = world.pool("cat")
    pool.start()
    await pool.started
    (worker,) = world.dataplane.workers
    world.dataplane.emit(fake.UNKNOWN_TOKEN, pool.id, worker, 3, b"7::x\xff")
    await world.read()
    (told,) = world.named("unknown_token")
    assert told["worker"] == 1
    text = "3 answers with a token that no message waits for, such as b'7::x\\xff'"
    assert told["text"] == text
    pool.kill()
    await stopped(pool)


async def test_workers_are_started_anew_and_who_asked_is_told(world: World) -> None:
    pool = world.pool("cat", workers=2, settle_seconds=0.01)
    pool.start()
    await pool.started
    before = [process.pid for process in world.launched]
    async with asyncio.timeout(10):
        assert await pool.renew(None) == RolledOut(2)
    assert len(world.launched) == 4
    assert not {slot.pid for slot in pool.supervision.slots.values()} & set(before)
    async with asyncio.timeout(10):
        assert await pool.renew([2]) == RolledOut(1)
    pool.kill()
    await stopped(pool)
    assert pool.renew(None).cancelled()


async def test_who_waits_for_a_roll_out_is_let_go_when_the_pool_stops(world: World) -> None:
    pool = world.pool("sleep", "1000")  # does not care about the end of its stdin
    pool.start()
    await pool.started
    told = pool.renew(None)
    pool.kill()
    assert (await told).error == "the pool is being stopped"
    await stopped(pool)


async def test_a_signal_goes_to_the_group_of_a_living_worker(world: World, tmp_path: Path) -> None:
    ready, got = tmp_path / "ready", tmp_path / "got"
    os.mkfifo(ready)
    os.mkfifo(got)
    script = f"trap 'echo usr1 >{got}' USR1; echo >{ready}; while :; do sleep 1000 & wait; done"
    pool = world.pool("sh", "-c", script)
    pool.start()
    await pool.started
    await asyncio.to_thread(ready.read_text)
    assert pool.signal(1, signal.SIGUSR1)
    assert await asyncio.to_thread(got.read_text) == "usr1\n"
    assert pool.signal(1, signal.SIGKILL)
    await world.until(lambda: len(world.launched) == 2)
    assert "killed by SIGKILL" in world.named("worker_ended")[0]["text"]
    pool.kill()
    await stopped(pool)
    assert not pool.signal(1, signal.SIGKILL)
    assert not pool.signal(9, signal.SIGKILL)
