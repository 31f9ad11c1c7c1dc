"""The order in which the runner does things, seen by pools that do nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from drop.flow.plan import Launch, Mailbox, Pool, Subscription, Wiring
from drop.flow.runner import Runner, RunningPool, levels
from drop.testing.clock import FakeClock
from drop.testing.dataplane import FakeDataplane

MAILBOX = Mailbox("line", 1, 16, "default", 0, "refuse", 0)


def planned(name: str, *, command: str = "cat", workers: int = 1) -> Pool:
    return Pool(name, Launch("flow", (command,), "/", ()), MAILBOX, workers, "always")


def wiring(*names: str, subscriptions: str = "") -> Wiring:
    """`subscriptions` is like "a>b b>c": b gets the answers of a."""
    pairs = [each.split(">") for each in subscriptions.split()]
    return Wiring(
        {name: planned(name) for name in names},
        frozenset(Subscription(source, target) for source, target in pairs),
    )


class FakePool:
    """Drains and stops when told to by the test, or by itself."""

    def __init__(self, name: str, id: int, log: list[str], *, obedient: bool) -> None:
        self.name, self.id, self._log, self._obedient = name, id, log, obedient
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[None] = loop.create_future()
        self.drained: asyncio.Future[None] = loop.create_future()
        self.stopped: asyncio.Future[None] = loop.create_future()

    def start(self) -> None:
        self._log.append(f"start {self.name}")
        if self._obedient:
            self.started.set_result(None)

    def stop(self, grace_seconds: float) -> None:
        self._log.append(f"stop {self.name} {grace_seconds:g}")
        if self._obedient:
            self.drained.set_result(None)
            self.stopped.set_result(None)

    def kill(self) -> None:
        self._log.append(f"kill {self.name}")
        for future in (self.started, self.drained, self.stopped):
            future.done() or future.set_result(None)

    def remove(self) -> None:
        self._log.append(f"remove {self.name}")


class World:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.obedient = True
        self.fail = ""
        self.clock = FakeClock()
        self.dataplane = FakeDataplane()
        self.runner = Runner(self, self, self.clock.now)
        self.pools: dict[str, FakePool] = {}
        self.prepared: list[str] = []

    async def prepare(self, pools: Iterable[Pool]) -> None:
        self.prepared += [pool.name for pool in pools]

    def create(self, pool: Pool) -> RunningPool:
        assert pool.name in self.prepared
        if pool.name == self.fail:
            raise ValueError("too many pools")
        made = FakePool(pool.name, len(self.pools) + 1, self.log, obedient=self.obedient)
        self.pools[pool.name] = made
        return made

    def update(self, running: RunningPool, pool: Pool, *, replace_workers: bool) -> None:
        self.log.append(f"update {pool.name} {replace_workers}")

    def subscribe(self, source_pool: int, target_pool: int, filter: bytes, mode: str) -> int:
        names = {pool.id: pool.name for pool in self.pools.values()}
        self.log.append(f"{names[source_pool]}>{names[target_pool]}")
        return source_pool * 100 + target_pool

    def unsubscribe(self, subscription: int) -> None:
        names = {pool.id: pool.name for pool in self.pools.values()}
        self.log.append(f"{names[subscription // 100]}/{names[subscription % 100]}")

    def told(self) -> list[str]:
        log, self.log[:] = self.log[:], []
        return log


async def test_pools_come_before_their_subscriptions() -> None:
    world = World()
    shall = wiring("a", "b", subscriptions="a>b")
    await world.runner.apply(shall, 10.0)
    assert world.told() == ["start a", "start b", "a>b"]
    assert world.runner.wiring == shall


async def test_nothing_to_do_does_nothing() -> None:
    world = World()
    await world.runner.apply(wiring("a"), 10.0)
    world.told()
    await world.runner.apply(wiring("a"), 10.0)
    assert world.told() == []


async def test_what_goes_goes_downstream_and_keeps_its_subscriptions_until_drained() -> None:
    world = World()
    await world.runner.apply(wiring("c", "b", "a", subscriptions="a>b b>c"), 10.0)
    world.told()
    await world.runner.apply(Wiring(), 10.0)
    assert world.told() == [
        *("stop a 10", "a/b", "stop b 10", "b/c", "stop c 10"),
        *("remove c", "remove b", "remove a"),
    ]
    assert world.runner.wiring == Wiring()


async def test_a_subscription_of_what_stays_ends_first() -> None:
    world = World()
    await world.runner.apply(wiring("a", "b", subscriptions="a>b"), 10.0)
    world.told()
    await world.runner.apply(wiring("a"), 10.0)
    assert world.told() == ["a/b", "stop b 10", "remove b"]


async def test_the_grace_is_for_all_levels_together() -> None:
    world = World()
    world.obedient = False
    starting = asyncio.create_task(world.runner.apply(wiring("a", "b", subscriptions="a>b"), 10.0))
    await _turns(lambda: len(world.log) == 3)
    for pool in world.pools.values():
        pool.started.set_result(None)
    await starting
    world.told()
    stopping = asyncio.create_task(world.runner.apply(Wiring(), 10.0))
    await _turns(lambda: world.log == ["stop a 10"])
    world.clock.advance(7.0)
    world.pools["a"].drained.set_result(None)
    await _turns(lambda: world.log[1:] == ["a/b", "stop b 3"])
    world.runner.kill()
    await stopping
    assert world.told()[-2:] == ["remove a", "remove b"]


async def _turns(condition: Callable[[], bool]) -> None:
    for _ in range(100):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it does not come to this")


async def test_an_update_leaves_the_pool() -> None:
    world = World()
    await world.runner.apply(wiring("a"), 10.0)
    world.told()
    for workers, command, expected in ((3, "cat", False), (3, "tac", True)):
        shall = Wiring({"a": planned("a", command=command, workers=workers)})
        await world.runner.apply(shall, 10.0)
        assert world.told() == [f"update a {expected}"]
        assert world.runner.wiring == shall


async def test_another_mailbox_needs_another_pool() -> None:
    world = World()
    await world.runner.apply(wiring("a"), 10.0)
    world.told()
    changed = replace(planned("a"), mailbox=replace(MAILBOX, queue=5))
    await world.runner.apply(Wiring({"a": changed}), 10.0)
    assert world.told() == ["stop a 10", "remove a", "start a"]


async def test_what_the_dataplane_refuses_is_undone() -> None:
    world = World()
    before = wiring("a", "b", subscriptions="a>b")
    await world.runner.apply(before, 10.0)
    world.told()
    world.fail = "d"
    with pytest.raises(ValueError, match="too many pools"):
        await world.runner.apply(wiring("a", "c", "d", subscriptions="a>c"), 10.0)
    assert world.runner.wiring == before
    assert set(world.runner.pools) == {"a", "b"}
    assert world.told()[-1] == "a>b"


def test_levels() -> None:
    def shown(names: str, pairs: str) -> list[str]:
        found = levels(names, wiring(subscriptions=pairs).subscriptions)
        return ["".join(sorted(level)) for level in found]

    assert shown("", "") == []
    assert shown("abc", "") == ["abc"]
    assert shown("abcd", "a>b b>d a>c c>d") == ["a", "bc", "d"]
    assert shown("bc", "a>b b>c") == ["b", "c"]
    assert shown("abc", "a>a a>b b>b") == ["ac", "b"]
    assert shown("abcd", "a>b b>c c>b c>d") == ["a", "bcd"]
