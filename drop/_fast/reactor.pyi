"""Types of drop._fast.reactor; the behaviour is described in reactor.pyx and docs/protocol.md.

A happening is a tuple that starts with one of these numbers:

    (WORKER_GONE, pool, worker, reason, unanswered, answered)
        its descriptors are closed; kill its group.
        reason: eof, timeout, unasked, garbled, too_large, write, removed, memory
    (WORKER_DRAINED, pool, worker, answered)
    (POOL_DRAINED, pool)
    (DRAINED,)
    (MESSAGE, pool, token, payload)                   for a control pool; answer(token, ...)
    (PUBLISHED, request, accepted, refused)
    (STATISTICS, request, json)
    (WORKER_READY, pool, worker)                      the line that worker_add was given came
    (WORKER_HEALTH, pool, worker, outcome)            of worker_probe: ok, wrong, busy
    (UNKNOWN_TOKEN, pool, worker, count, line)        answers of kind async that nobody waits for;
                                                      at most one a second of a worker
    (SPAWN_FAILED, pool, errno, text)                 of kind exec; exec_resume() tries again
    (SPAWN_WORKS, pool)                               the first start after that went well
    (SPARES_OFF, pool, reason)                        of kind exec: none is kept ready any more
"""

from typing import Any, Literal

WORKER_GONE: int
WORKER_DRAINED: int
POOL_DRAINED: int
DRAINED: int
MESSAGE: int
PUBLISHED: int
STATISTICS: int
WORKER_READY: int
WORKER_HEALTH: int
UNKNOWN_TOKEN: int
SPAWN_FAILED: int
SPAWN_WORKS: int
SPARES_OFF: int

def leak_counters() -> dict[str, int]: ...

class Reactor:
    def __init__(
        self,
        *,
        node_name: str,
        payload_max: int,
        connections_max: int,
        calls_max: int,
        slow_client_ms: int,
        memory_max: int,
        token: bytes = b"",
        gather: bool = True,
        logs: object = None,
    ) -> None: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    @property
    def happening_fd(self) -> int: ...
    def happenings(self) -> list[tuple[Any, ...]]: ...
    def listen(self, fd: int, *, trusted: bool) -> int: ...
    def listen_stop(self, listener: int) -> None: ...
    def pool_create(
        self,
        name: str,
        *,
        kind: Literal["line", "frame", "async", "stream", "exec", "control"] | str,
        inflight: int = 1,
        queue: int = 1024,
        overflow: Literal["default", "reject", "block", "drop-oldest"] | str = "default",
        timeout_ms: int = 0,
        newline: Literal["refuse", "ncm"] | str = "refuse",
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
    def worker_remove(self, worker: int, *, drain: bool) -> None: ...
    def worker_exited(self, worker: int, how: str = "") -> None: ...
    def worker_probe(self, worker: int, payload: bytes, expect: bytes | None) -> None: ...
    def exec_configure(
        self, pool: int, recipe: object, *, at_most: int, spare_least: int, spare_most: int
    ) -> None: ...
    def exec_resume(self, pool: int) -> None: ...
    def subscribe(
        self, source: int, target: int, filter: bytes, mode: Literal["one", "all"] | str
    ) -> int: ...
    def unsubscribe(self, subscription: int) -> None: ...
    def answer(self, token: int, status: int, payload: bytes) -> None: ...
    def publish(self, pool: int, messages: list[bytes]) -> int: ...
    def statistics(self) -> int: ...
    def drain(self) -> None: ...
