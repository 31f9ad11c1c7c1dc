"""The node's core with real processes and sockets, and a stand-in for the control plane.

A thread takes what the reactor tells, as the node would: it kills a worker that is gone and, where
the test wants it, starts another. Tests wait for what was told, never for time to pass.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from drop._fast import reactor as native
from drop._fast.spawn import Recipe
from system.wire import SECONDS_MAX, Wire

PROGRAMS = Path(__file__).parent / "programs"
DEFAULTS: dict[str, Any] = {
    "node_name": "n1",
    "payload_max": 1 << 20,
    "connections_max": 1000,
    "calls_max": 65_536,
    "slow_client_ms": 30_000,
    "memory_max": 256 << 20,
}


def program(name: str, *arguments: str | Path) -> list[str]:
    """The command of a worker out of programs/; without `site`, so that it starts quickly."""
    return [sys.executable, "-I", "-S", str(PROGRAMS / f"{name}.py"), *map(str, arguments)]


OBEDIENT = program("obedient")


class Dataplane:
    """One reactor: `with Dataplane() as plane`. Options are those of Reactor."""

    def __init__(self, **options: Any) -> None:
        self.reactor = native.Reactor(**(DEFAULTS | options))
        self.reactor.start()
        self.port = self._listen_tcp()
        self.told: list[tuple[Any, ...]] = []
        self.processes: dict[int, subprocess.Popen[bytes]] = {}  # by worker
        self._pools: dict[str, int] = {}
        self._respawn: dict[int, Sequence[str]] = {}  # commands by pool
        self._changed = threading.Condition()
        self._stop, self._stopping = os.pipe()
        self._listener = threading.Thread(target=self._take_happenings)
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._stopping)
        self._listener.join()
        os.close(self._stop)
        self.reactor.stop()
        for process in self.processes.values():
            process.kill()
            process.wait()
        del self.reactor  # what it leaves open is counted when it goes

    # ---- pools and workers ----------------------------------------------------------------------

    def pool(
        self,
        name: str,
        command: Sequence[str] = ("cat",),
        *,
        workers: int = 1,
        respawn: bool = False,
        kind: str = "line",
        **options: Any,
    ) -> int:
        """Makes a pool with its workers and returns its id."""
        pool = self.reactor.pool_create(name, kind=kind, **options)
        self._pools[name] = pool
        if respawn:
            self._respawn[pool] = command
        for _ in range(workers):
            self.worker(pool, command)
        self.settle()
        return pool

    def worker(self, pool: int, command: Sequence[str] = ("cat",)) -> int:
        """Starts a process and gives it to the pool; returns the worker's id."""
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": os.environ["PATH"]},
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdin, process.stdout, self._changed:  # known before it can be gone
            worker = self.reactor.worker_add(
                pool, os.dup(process.stdin.fileno()), os.dup(process.stdout.fileno())
            )
            self.processes[worker] = process
        return worker

    def exec_pool(
        self,
        name: str,
        command: Sequence[str],
        *,
        at_most: int = 4,
        spare: int | tuple[int, int] = (1, 4),
        **options: Any,
    ) -> int:
        """Makes a pool of kind exec and returns its id. `spare`: as many ready, or from, to."""
        pool = self.reactor.pool_create(name, kind="exec", **options)
        self._pools[name] = pool
        self.configure(pool, command, at_most=at_most, spare=spare)
        return pool

    def configure(
        self,
        pool: int,
        command: Sequence[str],
        *,
        at_most: int = 4,
        spare: int | tuple[int, int] = (1, 4),
    ) -> None:
        """How the processes of a pool of kind exec are started from here on."""
        recipe = Recipe(
            [os.fsencode(word) for word in command],
            env=[b"PATH=" + os.fsencode(os.environ["PATH"])],
            cwd=None,
        )
        least, most = (spare, spare) if isinstance(spare, int) else spare
        self.reactor.exec_configure(
            pool, recipe.capsule(), at_most=at_most, spare_least=least, spare_most=most
        )
        self.settle()

    def kill(self, worker: int) -> None:
        """SIGKILL, from outside: the reactor learns of it by the end of the worker's stdout."""
        self.processes[worker].send_signal(signal.SIGKILL)

    def subscribe(self, source: str, target: str, filter: bytes = b"", mode: str = "one") -> int:
        subscription = self.reactor.subscribe(
            self._pools[source], self._pools[target], filter, mode
        )
        self.settle()
        return subscription

    # ---- connections ----------------------------------------------------------------------------

    def connect(self, **options: Any) -> Wire:
        """A client over TCP that has said HELLO."""
        return Wire(self.port, **options)

    def _listen_tcp(self) -> int:
        listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        port: int = listener.getsockname()[1]
        self.reactor.listen(listener.detach(), trusted=False)
        return port

    def listen_unix(self, path: Path) -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        self.reactor.listen(listener.detach(), trusted=True)

    # ---- what the reactor tells -----------------------------------------------------------------

    def wait(self, kind: int, *values: Any, count: int = 1) -> list[tuple[Any, ...]]:
        """The happenings that begin with `kind` and `values`, once there are `count` of them."""

        def found() -> list[tuple[Any, ...]]:
            start = (kind, *values)
            return [each for each in self.told if each[: len(start)] == start]

        with self._changed:
            done = self._changed.wait_for(lambda: len(found()) >= count, SECONDS_MAX)
            assert done, f"{count} of {(kind, *values)} expected, told: {self.told}"
            return found()

    def wait_gone(self, pool: int, count: int = 1) -> list[tuple[str, int]]:
        """(reason, unanswered) of the workers of a pool that went."""
        return [each[3:5] for each in self.wait(native.WORKER_GONE, pool, count=count)]

    def _take_happenings(self) -> None:
        poll = select.poll()
        poll.register(self.reactor.happening_fd, select.POLLIN)
        poll.register(self._stop, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            with self._changed:
                happenings = self.reactor.happenings()
                for happening in happenings:
                    if happening[0] == native.WORKER_GONE:
                        self._bury(*happening[1:3])
                self.told += happenings
                self._changed.notify_all()
            if self._stop in ready:
                return

    def _bury(self, pool: int, worker: int) -> None:
        self.processes[worker].kill()
        self.processes[worker].wait()
        if pool in self._respawn:
            self.worker(pool, self._respawn[pool])

    # ---- figures --------------------------------------------------------------------------------

    def statistics(self) -> dict[str, Any]:
        """The node's figures, after everything that was asked of the reactor before."""
        request = self.reactor.statistics()
        (happening,) = self.wait(native.STATISTICS, request)
        figures: dict[str, Any] = json.loads(happening[2])
        return figures

    def settle(self) -> None:
        """Returns when the reactor has done what it was told to: it tells only what it must."""
        self.statistics()

    def figures(self, pool: str) -> dict[str, Any]:
        """The figures of one pool."""
        found = [each for each in self.statistics()["pools"] if each["name"] == pool]
        assert len(found) == 1, f"{pool}: {found}"
        figures: dict[str, Any] = found[0]
        return figures

    def until(self, condition: Callable[[], bool], turns: int = 20_000) -> None:
        """Asks again, a turn of the reactor each time, for what it has no reason to tell."""
        for _ in range(turns):
            if condition():
                return
        raise AssertionError(f"not within {turns} turns: {self.statistics()}")


def balance(figures: dict[str, Any]) -> Counter[str]:
    """A pool's books: everything offered is answered, failed, dropped, or still there.

    An answer that came late counts as an answer and as the failure that its caller was told.
    """
    outcomes = Counter(answered=figures["answers"] - figures["late"])
    outcomes.update(failed=sum(figures["errors"].values()))
    outcomes.update(dropped=sum(figures["dropped"].values()))
    outcomes.update(there=figures["waiting"] + figures["inflight"])
    assert figures["messages"] == outcomes.total(), f"{outcomes}: {figures}"
    return outcomes
