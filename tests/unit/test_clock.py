"""Both clocks keep the same promises; the fake one only when told to."""

from __future__ import annotations

import asyncio

from drop.clock import Clock, SystemClock
from drop.testing.clock import FakeClock


def test_both_clocks_are_clocks() -> None:
    clocks: list[Clock] = [SystemClock(), FakeClock()]
    for clock in clocks:
        assert clock.now() <= clock.now()
        assert 0.0 <= clock.random() < 1.0


async def test_a_timer_of_the_system_clock_fires_once_and_can_be_cancelled() -> None:
    clock, fired = SystemClock(), asyncio.Event()
    calls: list[str] = []
    clock.call_later(0.0, lambda: calls.append("cancelled")).cancel()
    clock.call_later(0.0, lambda: calls.append("once"))
    clock.call_later(0.001, fired.set)
    await fired.wait()
    assert calls == ["once"]


def test_timers_of_the_fake_run_in_order_at_their_own_time() -> None:
    clock, seen = FakeClock(), []

    def again() -> None:
        seen.append(("again", clock.now()))
        clock.call_later(1.0, lambda: seen.append(("last", clock.now())))

    clock.call_later(2.0, again)
    clock.call_later(1.0, lambda: seen.append(("first", clock.now())))
    clock.call_later(1.5, lambda: seen.append(("never", clock.now()))).cancel()
    start = clock.now()
    clock.advance(2.5)
    assert seen == [("first", start + 1.0), ("again", start + 2.0)]
    assert clock.pending() == [0.5]
    clock.advance(0.5)
    assert seen[-1] == ("last", start + 3.0)


def test_the_same_seed_gives_the_same_numbers() -> None:
    assert FakeClock(7).random() == FakeClock(7).random() != FakeClock(8).random()
    assert FakeClock(wall=5.0, now=1.0).wall() == 5.0
