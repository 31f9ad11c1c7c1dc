"""The images of pools: prepared before a pool starts, tried again when that failed, let go with it.

Preparing takes seconds, so it happens before workers are wanted, in threads of `drop.images`. What
was prepared waits here until the pool's starter takes it, and is the starter's from then on: while
a pool is replaced by one of the same name, each has its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from drop.flow.plan import Pool
from drop.images.container import Limits
from drop.images.faults import ImageError
from drop.images.images import Images
from drop.images.prepared import PreparedImage

Outcome = PreparedImage | str
"""A text says why there is none."""

STOPPING = "the node is being stopped"


class Preparations:
    def __init__(self, images: Images, on_error: Callable[[str, Exception], None]) -> None:
        """`on_error` gets a mistake of our own, in something that nobody waits for."""
        self.images = images
        self._on_error = on_error
        self._waiting: dict[str, Outcome] = {}  # by pool
        self._tasks: set[asyncio.Task[None]] = set()
        self._attempts: set[asyncio.Task[Outcome]] = set()
        self._given_up = False

    async def prepare(self, pools: Iterable[Pool]) -> None:
        """What goes wrong is told to who wants to start a worker of it."""
        await asyncio.gather(*(self._prepare(pool) for pool in pools if pool.launch.image))

    def take(self, pool: str) -> Outcome | None:
        """What was prepared last, once; None: nothing since the last time."""
        return self._waiting.pop(pool, None)

    def again(self, pool: Pool, then: Callable[[Outcome], None]) -> None:
        """Try it once more, and tell."""

        async def work() -> None:
            then(await self._attempt(pool))

        self.later(work())

    def release(self, outcome: Outcome) -> None:
        """Nothing is started from it any more, and nothing of it runs."""
        if isinstance(outcome, PreparedImage):
            self.later(self.images.release(outcome))

    def give_up(self) -> None:
        """The node is to end: who waits for an image gets none, now and later."""
        self._given_up = True
        for attempt in self._attempts:
            attempt.cancel()

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Something that nobody waits for, until `close`."""
        task = asyncio.get_running_loop().create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        self.give_up()
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self.images.close()

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            self._on_error("an image", error)

    async def _prepare(self, pool: Pool) -> None:
        outcome = await self._attempt(pool)
        nobody_took = self._waiting.pop(pool.name, "")  # a change that was given up
        self._waiting[pool.name] = outcome
        self.release(nobody_took)

    async def _attempt(self, pool: Pool) -> Outcome:
        if self._given_up:
            return STOPPING
        attempt = asyncio.ensure_future(self._outcome(pool))
        self._attempts.add(attempt)
        attempt.add_done_callback(self._attempts.discard)
        await asyncio.wait([attempt])
        return STOPPING if attempt.cancelled() else attempt.result()

    async def _outcome(self, pool: Pool) -> Outcome:
        how = pool.launch
        assert how.image is not None
        limits = Limits(
            memory_mib=how.memory_mib,
            processes=how.limits.processes,
            open_files=how.limits.open_files,
            file_size_mib=how.limits.file_size,
            core_mib=how.limits.core,
        )
        try:
            return await self.images.prepare(how.image, cmd=how.argv, limits=limits)
        except ImageError as error:
            return str(error)
