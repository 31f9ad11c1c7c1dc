"""Starts are spread over the turns of the loop."""

from __future__ import annotations

import asyncio

from drop.testing.clock import FakeClock
from drop.workers.spawner import TURN_SECONDS, Spawner


async def test_a_turn_ends_when_its_time_is_over() -> None:
    clock, started = FakeClock(), []
    spawner = Spawner(clock)

    def start(number: int) -> None:
        started.append(number)
        clock.advance(TURN_SECONDS * 0.6)

    for number in range(5):
        spawner.submit(lambda number=number: start(number))  # type: ignore[misc]
    assert started == []
    turns = []
    for _ in range(4):
        await asyncio.sleep(0)
        turns.append(len(started))
    assert turns == [2, 4, 5, 5]
    assert started == [0, 1, 2, 3, 4]


async def test_a_cancelled_start_is_left_out() -> None:
    started: list[str] = []
    spawner = Spawner(FakeClock())
    spawner.submit(lambda: started.append("one")).cancel()
    spawner.submit(lambda: started.append("two"))
    await asyncio.sleep(0)
    assert started == ["two"]
    spawner.submit(lambda: started.append("three"))
    await asyncio.sleep(0)
    assert started == ["two", "three"]
