"""What the control plane asks of the dataplane: the shape of `drop._fast.reactor.Reactor`.

Every method may be called from any thread and returns at once; commands are carried out in order.
"""

from __future__ import annotations

from typing import Any, Protocol


class Dataplane(Protocol):
    @property
    def happening_fd(self) -> int: ...

    def happenings(self) -> list[tuple[Any, ...]]: ...

    def pool_create(
        self,
        name: str,
        *,
        kind: str,
        inflight: int = 1,
        queue: int = 1024,
        overflow: str = "default",
        timeout_ms: int = 0,
        newline: str = "refuse",
        retries: int = 0,
    ) -> int: ...

    def pool_remove(self, pool: int) -> None: ...

    def pool_drain(self, pool: int) -> None: ...

    def pool_refuse(self, pool: int, text: str | None) -> None: ...

    def worker_add(
        self,
        pool: int,
        stdin_fd: int,
        stdout_fd: int,
        pid: int = 0,
        *,
        ready: bytes = b"",
        mark: int = 0,
    ) -> int: ...

    def worker_probe(self, worker: int, payload: bytes, expect: bytes | None) -> None: ...

    def worker_remove(self, worker: int, *, drain: bool) -> None: ...

    def worker_exited(self, worker: int, how: str = "") -> None: ...

    def exec_configure(
        self, pool: int, recipe: object, *, at_most: int, spare_least: int, spare_most: int
    ) -> None: ...

    def exec_resume(self, pool: int) -> None: ...

    def subscribe(self, source_pool: int, target_pool: int, filter: bytes, mode: str) -> int: ...

    def unsubscribe(self, subscription: int) -> None: ...

    def answer(self, token: int, status: int, payload: bytes) -> None: ...

    def statistics(self) -> int: ...

    def drain(self) -> None: ...
