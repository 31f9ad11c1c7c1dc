"""Whose image is whose while pools are changed; starting in one is in system/test_node_images."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from drop.pools.image_starter import ImageStarter, starter_of
from drop.pools.preparations import Preparations
from drop.pools.starter import Starter
from drop.workers.process import LaunchError
from pools_tools import Machine, pool_of
from unit.pools.images import Store


class World:
    def __init__(self, here: Machine) -> None:
        self.store = Store()
        self.preparations = Preparations(self.store.as_images(), print)
        self.host = here.with_images(self.preparations)
        self.came = asyncio.Event()
        self.pool = pool_of(here.directory, name="p", cmd=["cat"], image="i:1")

    async def starter(self) -> ImageStarter:
        await self.preparations.prepare([self.pool])
        return ImageStarter(self.pool, self.host, self.came.set)


@pytest.fixture
def its(here: Machine) -> World:
    return World(here)


async def test_which_kind_of_starter(its: World, tmp_path: Path) -> None:
    plain = pool_of(tmp_path, name="q", cmd=["cat"])
    assert type(starter_of(plain, its.host, its.came.set)) is Starter
    assert type(starter_of(its.pool, its.host, its.came.set)) is ImageStarter


async def test_a_successor_of_the_same_name_keeps_its_own_image(its: World) -> None:
    """A change of the mailbox prepares the new pool before the old one is gone."""
    old = await its.starter()
    await its.preparations.prepare([its.pool])
    old.close()
    new = ImageStarter(its.pool, its.host, its.came.set)
    assert new._image() is its.store.prepared[1]
    await its.preparations.close()
    assert its.store.released == {0: 1}


async def test_an_update_takes_the_new_image_and_the_end_lets_go_of_all(its: World) -> None:
    starter = await its.starter()
    await its.preparations.prepare([its.pool])
    assert starter._image() is its.store.prepared[0]  # until it is told
    starter.update(its.pool)
    assert starter._image() is its.store.prepared[1]
    starter.update(its.pool)  # a renewal, for which nothing was prepared
    assert starter._image() is its.store.prepared[1]
    starter.close()
    await its.preparations.close()
    assert its.store.released == {0: 1, 1: 1}


async def test_an_image_that_comes_later_is_found_and_told(its: World) -> None:
    its.store.missing = "there is no i:1"
    starter = await its.starter()
    with pytest.raises(LaunchError, match=r"flow\.yaml:3: there is no i:1"):
        starter.launch(1)
    its.store.missing = ""
    async with asyncio.timeout(10):
        await its.came.wait()
    assert starter._image() is its.store.prepared[0]
    starter.close()
    await its.preparations.close()
    assert its.store.released == {0: 1}


async def test_an_attempt_for_what_is_not_wanted_any_more_is_let_go(its: World) -> None:
    its.store.missing = "there is no i:1"
    starter = await its.starter()
    for start in (lambda: starter.launch(1), starter.capsule):
        with pytest.raises(LaunchError, match="there is no"):
            start()
    its.store.missing = ""
    starter.close()
    async with asyncio.timeout(10):
        await its.store.let_go.wait()
    assert its.store.released == {0: 1}
    assert not its.came.is_set()
    await its.preparations.close()
