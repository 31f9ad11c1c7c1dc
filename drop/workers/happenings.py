"""What the dataplane reports, handed to who waits for it.

The loop watches one descriptor; while messages flow and nothing happens, nothing runs here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from drop.workers.dataplane import Dataplane


class PoolListener(Protocol):
    def worker_gone(self, worker: int, reason: str, unanswered: int, answered: int) -> None: ...

    def worker_drained(self, worker: int, answered: int) -> None: ...

    def worker_ready(self, worker: int) -> None: ...

    def worker_health(self, worker: int, outcome: str) -> None: ...

    def unknown_token(self, worker: int, count: int, line: bytes) -> None: ...

    def pool_drained(self) -> None: ...


class ExecListener(Protocol):
    """A pool of kind exec, which has no workers for us."""

    def spawn_failed(self, number: int, what: str) -> None: ...

    def spawn_works(self) -> None: ...

    def spares_off(self, reason: str) -> None: ...

    def pool_drained(self) -> None: ...


class Kinds(Protocol):
    """The constants of `drop._fast.reactor`."""

    WORKER_GONE: int
    WORKER_DRAINED: int
    WORKER_READY: int
    WORKER_HEALTH: int
    POOL_DRAINED: int
    DRAINED: int
    MESSAGE: int
    PUBLISHED: int
    STATISTICS: int
    UNKNOWN_TOKEN: int
    SPAWN_FAILED: int
    SPAWN_WORKS: int
    SPARES_OFF: int


MessageHandler = Callable[[int, bytes], None]
"""Gets (token, payload); answers by `Dataplane.answer`."""


class Happenings:
    def __init__(
        self, dataplane: Dataplane, kinds: Kinds, on_error: Callable[[str, Exception], None]
    ) -> None:
        self._dataplane = dataplane
        self._on_error = on_error
        self._pools: dict[int, PoolListener] = {}
        self._exec_pools: dict[int, ExecListener] = {}
        self._messages: dict[int, MessageHandler] = {}
        self._replies: dict[int, asyncio.Future[Any]] = {}
        self.drained = asyncio.Event()
        self._handlers: dict[int, Callable[..., None]] = {
            kinds.WORKER_GONE: self._worker_gone,
            kinds.WORKER_DRAINED: self._worker_drained,
            kinds.WORKER_READY: self._worker_ready,
            kinds.WORKER_HEALTH: self._worker_health,
            kinds.POOL_DRAINED: self._pool_drained,
            kinds.DRAINED: self.drained.set,
            kinds.MESSAGE: self._message,
            kinds.PUBLISHED: self._published,
            kinds.STATISTICS: self._reply,
            kinds.UNKNOWN_TOKEN: self._unknown_token,
            kinds.SPAWN_FAILED: self._spawn_failed,
            kinds.SPAWN_WORKS: self._spawn_works,
            kinds.SPARES_OFF: self._spares_off,
        }

    def start(self) -> None:
        asyncio.get_running_loop().add_reader(self._dataplane.happening_fd, self._read)

    def stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self._dataplane.happening_fd)
        for future in self._replies.values():
            future.cancel()

    def listen(self, pool: int, listener: PoolListener) -> None:
        self._pools[pool] = listener

    def listen_exec(self, pool: int, listener: ExecListener) -> None:
        self._exec_pools[pool] = listener

    def unlisten(self, pool: int) -> None:
        self._pools.pop(pool, None)
        self._exec_pools.pop(pool, None)

    def on_message(self, pool: int, handler: MessageHandler) -> None:
        """For a pool of kind `control`."""
        self._messages[pool] = handler

    async def statistics(self) -> bytes:
        """The node's statistics as JSON."""
        return bytes(await self._wait(self._dataplane.statistics()))

    async def _wait(self, request: int) -> Any:
        future = self._replies[request] = asyncio.get_running_loop().create_future()
        try:
            return await future
        finally:
            self._replies.pop(request, None)

    def _read(self) -> None:
        for kind, *rest in self._dataplane.happenings():
            try:
                self._handlers[kind](*rest)
            except Exception as error:  # a mistake of ours about one must not lose the others
                self._on_error(f"happening {kind} {rest!r:.200}", error)

    # A pool that is not known (any more) has been removed by us: its last news are no news.

    def _worker_gone(
        self, pool: int, worker: int, reason: str, unanswered: int, answered: int
    ) -> None:
        if listener := self._pools.get(pool):
            listener.worker_gone(worker, reason, unanswered, answered)

    def _worker_drained(self, pool: int, worker: int, answered: int) -> None:
        if listener := self._pools.get(pool):
            listener.worker_drained(worker, answered)

    def _worker_ready(self, pool: int, worker: int) -> None:
        if listener := self._pools.get(pool):
            listener.worker_ready(worker)

    def _worker_health(self, pool: int, worker: int, outcome: str) -> None:
        if listener := self._pools.get(pool):
            listener.worker_health(worker, outcome)

    def _pool_drained(self, pool: int) -> None:
        if listener := self._pools.get(pool) or self._exec_pools.get(pool):
            listener.pool_drained()

    def _unknown_token(self, pool: int, worker: int, count: int, line: bytes) -> None:
        if listener := self._pools.get(pool):
            listener.unknown_token(worker, count, line)

    def _spawn_failed(self, pool: int, number: int, what: str) -> None:
        if listener := self._exec_pools.get(pool):
            listener.spawn_failed(number, what)

    def _spawn_works(self, pool: int) -> None:
        if listener := self._exec_pools.get(pool):
            listener.spawn_works()

    def _spares_off(self, pool: int, reason: str) -> None:
        if listener := self._exec_pools.get(pool):
            listener.spares_off(reason)

    def _message(self, pool: int, token: int, payload: bytes) -> None:
        self._messages[pool](token, payload)

    def _published(self, request: int, accepted: int, refused: int) -> None:
        self._reply(request, (accepted, refused))

    def _reply(self, request: int, result: object) -> None:
        future = self._replies.get(request)
        if future is not None and not future.done():
            future.set_result(result)
