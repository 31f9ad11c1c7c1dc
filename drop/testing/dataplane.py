"""A dataplane without messages: records the commands, reports what a test tells it to.

It owns descriptors as the real one does, so that real workers see their pipes close.
"""

from __future__ import annotations

import os
from itertools import count
from typing import Any

WORKER_GONE, WORKER_DRAINED, POOL_DRAINED, DRAINED, MESSAGE, PUBLISHED, STATISTICS = range(1, 8)
WORKER_READY, WORKER_HEALTH, UNKNOWN_TOKEN, SPAWN_FAILED, SPAWN_WORKS, SPARES_OFF = range(8, 14)


class FakeDataplane:
    """`commands` are tuples of the method's name and its arguments, in order.

    Drains end at once; a worker that is removed or has exited is reported gone.
    """

    def __init__(self) -> None:
        self.commands: list[tuple[Any, ...]] = []
        self.pools: dict[int, str] = {}
        self.workers: dict[int, tuple[int, int, int]] = {}
        """By id: its pool, and the descriptors that lead to it."""
        self.awaited: dict[int, bytes] = {}
        """By worker: how the line begins that says it is ready; empty: it need not say so."""
        self.marks: dict[int, int] = {}
        self.health: str | None = "ok"
        """The outcome of every health check; None: there is no answer."""
        self.refused: dict[str, str | None] = {}
        self.pools_max = 10_000
        self.happening_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._happenings: list[tuple[Any, ...]] = []
        self._ids = count(1)

    def emit(self, *happening: Any) -> None:
        self._happenings.append(happening)
        os.eventfd_write(self.happening_fd, 1)

    def happenings(self) -> list[tuple[Any, ...]]:
        os.eventfd_read(self.happening_fd)
        happenings, self._happenings = self._happenings, []
        return happenings

    def close(self) -> None:
        for worker in list(self.workers):
            self._let_go(worker)
        os.close(self.happening_fd)

    def pool_create(self, name: str, *, kind: str, **options: Any) -> int:
        if name in self.pools.values():
            raise ValueError(f"the pool {name!r} exists already")
        if len(self.pools) >= self.pools_max:
            raise ValueError(f"there are {self.pools_max} pools already")
        pool = next(self._ids)
        self.pools[pool] = name
        self.commands.append(("pool_create", name, kind))
        return pool

    def pool_remove(self, pool: int) -> None:
        self.commands.append(("pool_remove", self.pools.pop(pool)))

    def pool_drain(self, pool: int) -> None:
        self.commands.append(("pool_drain", self.pools[pool]))
        self.emit(POOL_DRAINED, pool)

    def pool_refuse(self, pool: int, text: str | None) -> None:
        self.refused[self.pools[pool]] = text

    def worker_add(
        self,
        pool: int,
        stdin_fd: int,
        stdout_fd: int,
        pid: int = 0,
        *,
        ready: bytes = b"",
        mark: int = 0,
    ) -> int:
        worker = next(self._ids)
        self.workers[worker] = pool, stdin_fd, stdout_fd
        self.awaited[worker], self.marks[worker] = ready, mark
        self.commands.append(("worker_add", self.pools[pool]))
        return worker

    def worker_probe(self, worker: int, payload: bytes, expect: bytes | None) -> None:
        self.commands.append(("worker_probe", worker, payload, expect))
        if worker in self.workers and self.health is not None:
            self.emit(WORKER_HEALTH, self.workers[worker][0], worker, self.health)

    def worker_remove(self, worker: int, *, drain: bool) -> None:
        if worker in self.workers:
            pool = self._let_go(worker)
            if drain:
                self.emit(WORKER_DRAINED, pool, worker, 0)
            else:
                self.emit(WORKER_GONE, pool, worker, "removed", 0, 0)

    def worker_exited(self, worker: int, how: str = "") -> None:
        self.commands.append(("worker_exited", worker, how))
        self.give_up(worker, "eof")

    def say_ready(self, worker: int) -> None:
        """As the dataplane does when the line comes."""
        self.emit(WORKER_READY, self.workers[worker][0], worker)

    def give_up(self, worker: int, reason: str, unanswered: int = 0, answered: int = 0) -> None:
        """As the dataplane does with a worker that broke its contract."""
        if worker in self.workers:
            pool = self._let_go(worker)
            self.emit(WORKER_GONE, pool, worker, reason, unanswered, answered)

    def exec_configure(
        self, pool: int, recipe: object, *, at_most: int, spare_least: int, spare_most: int
    ) -> None:
        numbers = at_most, spare_least, spare_most
        self.commands.append(("exec_configure", self.pools[pool], recipe, *numbers))

    def exec_resume(self, pool: int) -> None:
        self.commands.append(("exec_resume", self.pools[pool]))

    def subscribe(self, source_pool: int, target_pool: int, filter: bytes, mode: str) -> int:
        names = self.pools[source_pool], self.pools[target_pool]
        self.commands.append(("subscribe", *names))
        return next(self._ids)

    def unsubscribe(self, subscription: int) -> None:
        self.commands.append(("unsubscribe",))

    def answer(self, token: int, status: int, payload: bytes) -> None:
        self.commands.append(("answer", token, status, payload))

    def statistics(self) -> int:
        request = next(self._ids)
        self.emit(STATISTICS, request, b"{}")
        return request

    def drain(self) -> None:
        self.emit(DRAINED)

    def _let_go(self, worker: int) -> int:
        pool, *fds = self.workers.pop(worker)
        for fd in fds:
            os.close(fd)
        return pool
