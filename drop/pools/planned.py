"""Makes running pools of planned ones, and brings them to another plan. Composes; decides nothing.

The dataplane runs the processes of kind exec itself; the workers of every other kind are kept by
`drop.workers.pool`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from functools import partial

from drop._fast.logger import file_name
from drop.flow import plan
from drop.flow.runner import RunningPool
from drop.pools.host import Host
from drop.pools.image_starter import starter_of
from drop.pools.starter import Starter
from drop.workers import events as ev
from drop.workers.exec_pool import ExecPool, Processes
from drop.workers.exec_supervision import ExecSupervision
from drop.workers.health import Health
from drop.workers.pool import WorkerPool
from drop.workers.supervision import Supervision

SOURCE_DRAIN_SECONDS = 2.0
"""A source has its stdin closed and this long to write its last events; many never read it."""


@dataclass(slots=True)
class _Kept:
    running: WorkerPool | ExecPool
    starter: Starter
    planned: plan.Pool


class PlannedPools:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._kept: dict[str, _Kept] = {}

    async def prepare(self, pools: Iterable[plan.Pool]) -> None:
        if self._host.images is not None:
            await self._host.images.prepare(pools)

    def create(self, pool: plan.Pool) -> RunningPool:
        starter = starter_of(pool, self._host, partial(self.renew, pool.name))
        try:
            running = self._make(pool, starter)
        except ValueError:
            starter.close()
            raise
        self._kept[pool.name] = _Kept(running, starter, pool)
        running.stopped.add_done_callback(lambda _: self._closed(pool.name, starter))
        return running

    def update(self, running: RunningPool, pool: plan.Pool, *, replace_workers: bool) -> None:
        kept = self._kept[pool.name]
        kept.planned = pool
        kept.starter.update(pool)
        self._update(kept, replace=replace_workers)

    def renew(
        self, name: str, workers: Collection[int] | None = None
    ) -> asyncio.Future[ev.RolledOut] | None:
        """Start workers anew in turn, with all that they are given read again. None: of kind exec,
        where what waits is replaced at once and what runs ends by itself."""
        kept = self._kept[name]
        kept.starter.update(kept.planned)
        if isinstance(kept.running, WorkerPool):
            return kept.running.renew(workers)
        self._update(kept, replace=True)
        return None

    def supervision(self, name: str) -> Supervision | ExecSupervision | None:
        kept = self._kept.get(name)
        return kept.running.supervision if kept else None

    def running(self, name: str) -> WorkerPool | ExecPool | None:
        kept = self._kept.get(name)
        return kept.running if kept else None

    def _make(self, pool: plan.Pool, starter: Starter) -> WorkerPool | ExecPool:
        shared, mailbox = self._host.shared, asdict(pool.mailbox)
        if pool.mailbox.kind == "exec":
            return ExecPool(
                self._policy(pool),
                mailbox,
                _processes(pool),
                starter.capsule,
                starter.explain,
                shared,
            )
        return WorkerPool(self._policy(pool), mailbox, starter.launch, shared)

    def _update(self, kept: _Kept, *, replace: bool) -> None:
        pool, starter = kept.planned, kept.starter
        policy = self._policy(pool)
        if isinstance(kept.running, ExecPool):
            kept.running.update(policy, _processes(pool), starter.capsule, starter.explain)
        else:
            kept.running.update(policy, starter.launch, replace=replace)

    def _closed(self, name: str, starter: Starter) -> None:
        """Its processes are dead, or are being killed; a new pool of that name may run already."""
        starter.close()
        if self._kept[name].starter is starter:
            del self._kept[name]

    def _policy(self, pool: plan.Pool) -> ev.Policy:
        settings, how = self._host.settings, pool.launch
        grace = settings.grace_ms / 1000.0
        source = pool.mailbox.kind == "stream"
        return ev.Policy(
            pool=pool.name,
            command=Starter.describe(pool),
            log=os.path.join(settings.log_dir, file_name(pool.name)),
            workers=pool.workers,
            restart=ev.Restart(pool.restart),
            ready=how.ready,
            start_seconds=how.start_ms / 1000.0,
            health=_health(pool),
            source=source,
            # Two sources side by side would send everything twice.
            surge=how.ready is not None and not source,
            drain_seconds=min(grace, SOURCE_DRAIN_SECONDS) if source else grace,
        )


def _processes(pool: plan.Pool) -> Processes:
    return Processes(pool.workers, pool.spare)


def _health(pool: plan.Pool) -> Health | None:
    asked = pool.health
    if asked is None:
        return None
    expect = None if asked.expect is None else asked.expect.encode()
    return Health(asked.message.encode(), expect, asked.every / 1000.0)
