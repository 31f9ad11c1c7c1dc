"""The images of pools: prepared before a pool starts, tried again when that failed, let go with it.

Preparing takes seconds, so it happens before workers are wanted, in threads of `drop.images`.
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
from drop.workers.process import LaunchError


class Preparations:
    def __init__(self, images: Images, on_error: Callable[[str, Exception], None]) -> None:
        """`on_error` gets a mistake of our own, in something that nobody waits for."""
        self.images = images
        self._on_error = on_error
        self._found: dict[str, PreparedImage | str] = {}
        """By pool; a text says why there is none."""
        self._kept: dict[str, list[PreparedImage]] = {}
        """Older ones too: workers of them may still run."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._trying: set[str] = set()

    async def prepare(self, pools: Iterable[Pool]) -> None:
        """What goes wrong is told to who wants to start a worker of it."""
        await asyncio.gather(*(self._prepare(pool) for pool in pools if pool.launch.image))

    def of(self, pool: Pool) -> PreparedImage:
        """Raises LaunchError; then it is tried again, for the next time."""
        found = self._found.get(pool.name, "it is being prepared")
        if isinstance(found, PreparedImage):
            return found
        if pool.name not in self._trying:
            self.later(self._prepare(pool))
        raise LaunchError(f"{pool.launch.place}: {found}", hopeless=True)

    def release(self, name: str) -> None:
        """The pool is gone, and nothing of it runs."""
        self._found.pop(name, None)
        for prepared in self._kept.pop(name, ()):
            self.later(self.images.release(prepared))

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Something that nobody waits for, until `close`."""
        task = asyncio.get_running_loop().create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self.images.close()

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            self._on_error("an image", error)

    async def _prepare(self, pool: Pool) -> None:
        how = pool.launch
        assert how.image is not None
        self._trying.add(pool.name)
        limits = Limits(
            memory_mib=how.memory_mib,
            processes=how.limits.processes,
            open_files=how.limits.open_files,
            file_size_mib=how.limits.file_size,
            core_mib=how.limits.core,
        )
        try:
            prepared = await self.images.prepare(how.image, cmd=how.argv, limits=limits)
        except ImageError as error:
            self._found[pool.name] = str(error)
        else:
            self._found[pool.name] = prepared
            self._kept.setdefault(pool.name, []).append(prepared)
        finally:
            self._trying.discard(pool.name)
