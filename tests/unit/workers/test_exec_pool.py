"""A pool of kind exec with a dataplane that only records: what it is told, and when."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from drop.testing import dataplane as fake
from drop.workers.exec_pool import ExecPool, Processes
from drop.workers.exec_supervision import State
from drop.workers.process import LaunchError
from real_pool import POLICY, World


class Recipes:
    """Numbers them; fails while it is told to."""

    def __init__(self) -> None:
        self.made = 0
        self.error = ""

    def __call__(self) -> object:
        if self.error:
            raise LaunchError(self.error, hopeless=True)
        self.made += 1
        return self.made


def explain(number: int, what: str) -> str:
    return f"tr: {what}: errno {number}"


@pytest.fixture
def recipes() -> Recipes:
    return Recipes()


@pytest.fixture
async def pool(world: World, recipes: Recipes) -> ExecPool:
    return ExecPool(POLICY, {"kind": "exec"}, Processes(4, None), recipes, explain, world.shared)


def configured(world: World) -> list[tuple[object, ...]]:
    return [each[1:] for each in world.dataplane.commands if each[0] == "exec_configure"]


def test_how_many_are_kept_ready() -> None:
    by_load, fixed, none = Processes(4, None), Processes(4, 2), Processes(4, 0)
    assert (by_load.spare_least, by_load.spare_most) == (1, 4)
    assert (fixed.spare_least, fixed.spare_most) == (2, 2)
    assert (none.spare_least, none.spare_most) == (0, 0)


async def test_its_life(world: World, pool: ExecPool) -> None:
    pool.start()
    assert pool.started.done()
    assert configured(world) == [("echo", 1, 4, 1, 4)]
    pool.stop(10.0)
    async with asyncio.timeout(10):
        await asyncio.gather(pool.drained, pool.stopped)
    pool.remove()
    assert world.dataplane.commands[-2:] == [("pool_drain", "echo"), ("pool_remove", "echo")]


async def test_an_update_is_a_new_recipe_and_new_numbers(
    world: World, pool: ExecPool, recipes: Recipes
) -> None:
    pool.start()
    pool.update(replace(POLICY, command="rev"), Processes(9, 3), recipes, explain)
    assert configured(world)[-1] == ("echo", 2, 9, 3, 3)
    assert pool.supervision.policy.command == "rev"
    pool.kill()
    pool.remove()


async def test_a_start_that_fails_is_refused_with_the_reason_until_it_works(
    world: World, pool: ExecPool
) -> None:
    pool.start()
    world.dataplane.emit(fake.SPAWN_FAILED, pool.id, 2, "cannot execute")
    await world.read()
    refusal = world.dataplane.refused["echo"]
    assert refusal is not None
    assert refusal.startswith("it cannot be started: tr: cannot execute: errno 2; its log: ")
    assert pool.supervision.state is State.FAILING
    pool.kill()
    pool.remove()
    assert world.named("spawn_failed")


async def test_a_recipe_that_cannot_be_made_is_made_again(world: World, recipes: Recipes) -> None:
    recipes.error = "secret K is not set"
    policy = replace(POLICY, backoff_seconds_max=0.01)
    pool = ExecPool(policy, {"kind": "exec"}, Processes(1, 0), recipes, explain, world.shared)
    pool.start()
    await world.until(lambda: len(world.named("spawn_failed")) >= 2)
    assert configured(world) == []
    assert "secret K is not set" in str(world.dataplane.refused["echo"])
    recipes.error = ""
    await world.until(lambda: bool(world.named("spawn_works")))
    assert configured(world) == [("echo", 1, 1, 0, 0)]
    assert world.dataplane.refused["echo"] is None
    pool.kill()
    pool.remove()


async def test_after_an_update_that_failed_the_old_recipe_is_not_tried_again(
    world: World, recipes: Recipes
) -> None:
    policy = replace(POLICY, backoff_seconds_max=0.01)
    pool = ExecPool(policy, {"kind": "exec"}, Processes(1, 0), recipes, explain, world.shared)
    pool.start()
    recipes.error = "user x is unknown"
    pool.update(policy, Processes(1, 0), recipes, explain)
    await world.until(lambda: len(world.named("spawn_failed")) >= 2)
    recipes.error = ""
    await world.until(lambda: bool(world.named("spawn_works")))
    assert [each[1] for each in configured(world)] == [1, 2]
    assert not [each for each in world.dataplane.commands if each[0] == "exec_resume"]
    pool.kill()
    pool.remove()


async def test_a_process_that_could_not_be_started_is_tried_once(
    world: World, recipes: Recipes
) -> None:
    policy = replace(POLICY, backoff_seconds_max=0.01)
    pool = ExecPool(policy, {"kind": "exec"}, Processes(1, 0), recipes, explain, world.shared)
    pool.start()
    world.dataplane.emit(fake.SPAWN_FAILED, pool.id, 11, "cannot fork")
    resumed = ("exec_resume", "echo")
    async with asyncio.timeout(10):
        while resumed not in world.dataplane.commands:
            await world.read()
    world.dataplane.emit(fake.SPAWN_WORKS, pool.id)
    await world.until(lambda: bool(world.named("spawn_works")))
    assert world.dataplane.refused["echo"] is None
    pool.kill()
    pool.remove()


async def test_that_none_is_kept_ready_is_reported(world: World, pool: ExecPool) -> None:
    pool.start()
    world.dataplane.emit(fake.SPARES_OFF, pool.id, "ended before it had a message")
    await world.until(lambda: bool(world.named("spares_off")))
    assert world.named("spares_off")[0]["pool"] == "echo"
    pool.kill()
    pool.remove()


async def test_a_kill_waits_for_nothing(world: World, pool: ExecPool) -> None:
    pool.start()
    pool.stop(1000.0)
    pool.kill()
    assert pool.stopped.done()
    pool.remove()
