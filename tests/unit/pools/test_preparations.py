"""Images are prepared before they are wanted, belong to who took them, and are let go once."""

from __future__ import annotations

import asyncio

import pytest

from drop.pools.preparations import STOPPING, Outcome, Preparations
from pools_tools import pool_of
from unit.pools.images import Store

POOL = pool_of(name="p", cmd=["cat"], image="i:1")
PLAIN = pool_of(name="q", cmd=["cat"])


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def errors() -> asyncio.Queue[str]:
    return asyncio.Queue()


@pytest.fixture
def preparations(store: Store, errors: asyncio.Queue[str]) -> Preparations:
    return Preparations(
        store.as_images(), lambda what, error: errors.put_nowait(f"{what}: {error}")
    )


async def test_what_was_prepared_is_taken_once(preparations: Preparations, store: Store) -> None:
    await preparations.prepare([POOL, PLAIN])
    assert preparations.take("q") is None
    assert preparations.take("p") is store.prepared[0]
    assert preparations.take("p") is None
    await preparations.close()
    assert not store.released


async def test_what_nobody_took_is_let_go_when_there_is_another(
    preparations: Preparations, store: Store
) -> None:
    await preparations.prepare([POOL])
    await preparations.prepare([POOL])
    assert preparations.take("p") is store.prepared[1]
    await preparations.close()
    assert store.released == {0: 1}


async def test_a_missing_image_is_told_and_tried_again(
    preparations: Preparations, store: Store
) -> None:
    store.missing = "there is no i:1"
    await preparations.prepare([POOL])
    assert preparations.take("p") == "there is no i:1"
    store.missing = ""
    told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    preparations.again(POOL, told.set_result)
    async with asyncio.timeout(10):
        assert await told is store.prepared[0]
    await preparations.close()


async def test_the_end_gives_up_attempts_and_finishes_the_rest(
    preparations: Preparations, store: Store, errors: asyncio.Queue[str]
) -> None:
    got: list[Outcome] = []
    await preparations.prepare([POOL])
    preparations.again(POOL, got.append)
    taken = preparations.take("p")
    assert taken is not None
    preparations.release(taken)
    await preparations.close()
    assert got == [STOPPING]
    assert store.released == {0: 1}
    await preparations.prepare([POOL])
    assert preparations.take("p") == STOPPING
    assert errors.empty()


async def test_a_mistake_of_ours_is_reported(
    preparations: Preparations, errors: asyncio.Queue[str]
) -> None:
    def wrong(_: Outcome) -> None:
        raise KeyError("ours")

    preparations.again(POOL, wrong)
    async with asyncio.timeout(10):
        assert await errors.get() == "an image: 'ours'"
    await preparations.close()
