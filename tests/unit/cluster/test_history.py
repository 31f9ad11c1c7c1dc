"""Changes by number: what a watcher gets that comes early, late, or after a restart."""

from __future__ import annotations

import asyncio

from drop.cluster.history import History


def history(count: int, keep: int = 100) -> History:
    found = History(keep)
    for number in range(1, count + 1):
        found.add({"n": number})
    return found


def test_only_what_came_after() -> None:
    got = history(5).since(3)
    assert got == (5, [{"n": 4}, {"n": 5}], False)


def test_nothing_new() -> None:
    assert history(5).since(5) == (5, [], False)
    assert history(0).since(0) == (0, [], False)


def test_what_was_forgotten_is_said() -> None:
    found = history(10, keep=3)
    assert found.since(6) == (10, [{"n": 8}, {"n": 9}, {"n": 10}], True)
    assert found.since(7).missed is False


def test_a_number_of_another_life_has_missed_all() -> None:
    assert history(2).since(9) == (2, [], True)


async def test_a_watcher_waits_for_the_next_change() -> None:
    found = history(2)
    waiting = asyncio.create_task(found.wait(2, 60))
    await asyncio.sleep(0)
    assert not waiting.done()
    found.add({"n": 3})
    assert await waiting == (3, [{"n": 3}], False)


async def test_all_watchers_are_woken() -> None:
    found = history(0)
    waiting = [asyncio.create_task(found.wait(0, 60)) for _ in range(3)]
    await asyncio.sleep(0)
    found.add({"n": 1})
    assert [each.revision for each in await asyncio.gather(*waiting)] == [1, 1, 1]


async def test_a_watcher_goes_home_after_its_time() -> None:
    assert await history(1).wait(1, 0) == (1, [], False)
