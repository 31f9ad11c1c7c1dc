"""A world for pools with real processes; only the dataplane is a fake, so no message flows."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from drop.clock import SystemClock
from drop.testing import dataplane as fake
from drop.testing.dataplane import FakeDataplane
from drop.workers.breaker import BreakerLimits
from drop.workers.events import Policy
from drop.workers.happenings import Happenings
from drop.workers.pool import Shared, WorkerPool
from drop.workers.process import Command, Process, launch
from drop.workers.spawner import Spawner

POLICY = Policy(
    pool="echo",
    command="cat",
    log="/logs/echo.log",
    close_seconds=0.05,
    term_seconds=0.05,
    leave_seconds=0.05,
    backoff_seconds=0.01,
    breaker=BreakerLimits(fruitless_max=3, open_seconds=60.0),
)
PATH = os.environ["PATH"]


class Logs:
    """Throws stderr away, and closes it at once: a worker that writes there gets SIGPIPE."""

    fails = False

    def add(self, pool: str, worker: int, pid: int, fd: int) -> int:
        if self.fails:
            raise OSError(24, "Too many open files")
        os.close(fd)
        return 4096 + worker


class World:
    def __init__(self) -> None:
        self.dataplane = FakeDataplane()
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.errors: list[Exception] = []
        self.happenings = Happenings(
            self.dataplane, fake, lambda _, error: self.errors.append(error)
        )
        self.logs = Logs()
        clock = SystemClock()
        self.shared = Shared(
            self.dataplane, self.happenings, Spawner(clock), self.logs, clock, self.report
        )
        self.changed = asyncio.Event()
        self.launched: list[Process] = []

    def report(self, level: str, name: str, **fields: object) -> None:
        self.reports.append((name, fields))
        self.changed.set()

    def pool(self, *argv: str, **policy: Any) -> WorkerPool:
        def start(worker: int) -> Process:
            process = launch(Command(argv, None, {"PATH": PATH, "DROP_WORKER": str(worker)}))
            self.launched.append(process)
            self.changed.set()
            return process

        return WorkerPool(replace(POLICY, **policy), {"kind": "line"}, start, self.shared)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def read(self) -> None:
        """Happenings come in order, so when this one is there, so are those before it."""
        self.happenings.drained.clear()
        self.dataplane.emit(fake.DRAINED)
        async with asyncio.timeout(10):
            await self.happenings.drained.wait()

    def named(self, name: str) -> list[dict[str, Any]]:
        return [fields for event, fields in self.reports if event == name]


async def stopped(pool: WorkerPool) -> None:
    async with asyncio.timeout(10):
        await pool.stopped
    pool.remove()
