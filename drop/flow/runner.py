"""Makes what runs equal to what shall run: carries out the actions of `drop.flow.plan`.

Everything that is stopped is stopped downstream: a pool drains before its subscribers do, so that
what it has accepted still reaches them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from drop.flow import plan


class RunningPool(Protocol):
    """A pool with its workers. The futures are done when what they say is so."""

    @property
    def id(self) -> int: ...

    @property
    def started(self) -> asyncio.Future[None]:
        """Every worker has been spawned, or has failed to."""

    @property
    def drained(self) -> asyncio.Future[None]: ...

    @property
    def stopped(self) -> asyncio.Future[None]: ...

    def start(self) -> None: ...

    def stop(self, grace_seconds: float) -> None: ...

    def kill(self) -> None: ...

    def remove(self) -> None:
        """Once it has stopped, and no subscription names it."""


class Pools(Protocol):
    """Makes running pools of planned ones."""

    async def prepare(self, pools: Iterable[plan.Pool]) -> None:
        """What takes its time, before pools are created or their workers replaced."""

    def create(self, pool: plan.Pool) -> RunningPool:
        """Not started yet. Raises ValueError when the dataplane cannot take it."""

    def update(self, running: RunningPool, pool: plan.Pool, *, replace_workers: bool) -> None: ...


class Subscriber(Protocol):
    def subscribe(self, source_pool: int, target_pool: int, filter: bytes, mode: str) -> int: ...

    def unsubscribe(self, subscription: int) -> None: ...


class Runner:
    """`apply` is for one caller at a time: `drop.flow.flows` sees to that."""

    def __init__(self, pools: Pools, dataplane: Subscriber, now: Callable[[], float]) -> None:
        self._make = pools
        self._dataplane = dataplane
        self._now = now
        self._subscriptions: dict[plan.Subscription, int] = {}
        self._plans: dict[str, plan.Pool] = {}
        self.pools: dict[str, RunningPool] = {}

    @property
    def wiring(self) -> plan.Wiring:
        """What runs."""
        return plan.Wiring(dict(self._plans), frozenset(self._subscriptions))

    async def apply(self, shall: plan.Wiring, grace_seconds: float) -> None:
        """Returns when it is so: what had to go is gone, the first workers have been started.

        Raises ValueError when the dataplane cannot take a pool; then all is as before.
        """
        before = self.wiring
        try:
            await self._execute(plan.changes(before, shall), grace_seconds)
        except ValueError:
            await self._execute(plan.changes(self.wiring, before), grace_seconds)
            raise

    def stop_sources(self, grace_seconds: float) -> None:
        """Those that only emit; a node that ends could wait for ever for the end of their work."""
        for name, planned in self._plans.items():
            if planned.mailbox.kind == "stream":
                self.pools[name].stop(grace_seconds)

    def kill(self) -> None:
        """Stop everything now; an `apply` that waits for a pool gets on."""
        for pool in self.pools.values():
            pool.kill()

    async def _execute(self, actions: Sequence[plan.Action], grace_seconds: float) -> None:
        gone = [action.pool.name for action in actions if isinstance(action, plan.RemovePool)]
        await self._make.prepare(
            action.pool
            for action in actions
            if isinstance(action, plan.CreatePool)
            or (isinstance(action, plan.UpdatePool) and action.replace_workers)
        )
        for action in actions:
            # A pool that goes keeps its subscriptions until it has drained.
            if isinstance(action, plan.Unsubscribe) and action.subscription.source not in gone:
                self._unsubscribe(action.subscription)
        await self._remove(gone, grace_seconds)
        created = []
        for action in actions:
            match action:
                case plan.UpdatePool(pool, replace):
                    self._update(pool, replace_workers=replace)
                case plan.CreatePool(pool):
                    created.append(self._create(pool))
                case plan.Subscribe(subscription):
                    self._subscribe(subscription)
        await _all(pool.started for pool in created)

    async def _remove(self, names: Collection[str], grace_seconds: float) -> None:
        deadline = self._now() + grace_seconds
        for level in levels(names, self._subscriptions):
            pools = [self.pools[name] for name in level]
            for pool in pools:
                pool.stop(max(0.0, deadline - self._now()))
            await _all(pool.drained for pool in pools)
            for subscription in [each for each in self._subscriptions if each.source in level]:
                self._unsubscribe(subscription)
        await _all(self.pools[name].stopped for name in names)
        for name in names:
            self.pools.pop(name).remove()
            del self._plans[name]

    def _create(self, pool: plan.Pool) -> RunningPool:
        created = self._make.create(pool)
        self.pools[pool.name], self._plans[pool.name] = created, pool
        created.start()
        return created

    def _update(self, pool: plan.Pool, *, replace_workers: bool) -> None:
        self._make.update(self.pools[pool.name], pool, replace_workers=replace_workers)
        self._plans[pool.name] = pool

    def _subscribe(self, each: plan.Subscription) -> None:
        source, target = self.pools[each.source].id, self.pools[each.target].id
        subscription = self._dataplane.subscribe(source, target, each.filter, each.mode)
        self._subscriptions[each] = subscription

    def _unsubscribe(self, each: plan.Subscription) -> None:
        self._dataplane.unsubscribe(self._subscriptions.pop(each))


def levels(
    names: Collection[str], subscriptions: Iterable[plan.Subscription]
) -> Iterable[frozenset[str]]:
    """The pools in an order in which each comes after those it gets messages from.

    Pools that can go at the same time are one level. What is left when there is none is a cycle:
    it has no order, so it goes as one.
    """
    left = frozenset(names)
    edges = {(each.source, each.target) for each in subscriptions if each.source != each.target}
    while left:
        fed = {target for source, target in edges if source in left}
        level = left - fed or left
        yield level
        left -= level


async def _all(futures: Iterable[asyncio.Future[None]]) -> None:
    for future in futures:
        await asyncio.shield(future)  # whoever gives up waiting must not take it from the others
