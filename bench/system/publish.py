"""In-process dispatch: Python publishes batches into a pool; no socket and no protocol.

The reactor runs in a process of its own, so that nothing of the driver's disturbs it:

    python -m bench.system.publish WORKERS INFLIGHT SECONDS COMMAND...     prints a sample as JSON
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from functools import partial
from typing import Any

from bench.system.figures import Row, Sample, at_least, median
from bench.system.load import PAYLOAD, WARMUP_S
from bench.system.setting import Measure, Setting
from drop._fast import reactor as native

Happening = tuple[Any, ...]  # see drop/_fast/reactor.pyi

WORKERS = 4
BATCH = 1024  # messages in one publish()
BATCHES = 4  # on their way at a time: the pool never runs dry, and memory stays small
POOL_TIMEOUT_MS = 30_000
ANSWERS_SECONDS_MAX = 10.0


class Dispatch:
    """One reactor with one pool; for tests of its parts and for the micro benchmarks, too."""

    def __init__(self, workers: int, inflight: int, command: list[str]) -> None:
        self.reactor = native.Reactor(
            node_name="bench", payload_max=1 << 20, connections_max=64, calls_max=65_536,
            slow_client_ms=10_000, memory_max=1 << 30,
        )  # fmt: skip
        self.reactor.start()
        self.pool = self.reactor.pool_create(
            "echo", kind="line", inflight=inflight, queue=4096, timeout_ms=POOL_TIMEOUT_MS
        )
        self._processes = [self._start(command) for _ in range(workers)]
        self._open = 0  # batches
        self.accepted = 0

    def close(self) -> None:
        self.reactor.stop()
        for process in self._processes:
            process.kill()
            process.wait()

    def publish(self, batch: list[bytes], batches: int = BATCHES) -> None:
        """Publishes one; waits while `batches` are on their way."""
        self.reactor.publish(self.pool, batch)
        self._open += 1
        while self._open >= batches:
            self._take(self._wait())

    def statistics(self) -> dict[str, Any]:
        """The reactor's figures, docs/protocol.md section 6."""
        request = self.reactor.statistics()
        while True:
            for happening in self._take(self._wait()):
                if happening[:2] == (native.STATISTICS, request):
                    document: dict[str, Any] = json.loads(happening[2])
                    return document

    def answered(self) -> int:
        """Messages of the pool that were answered."""
        return int(self.statistics()["pools"][0]["answers"])

    def finish(self) -> None:
        """Waits until everything that was published is answered."""
        deadline = time.monotonic() + ANSWERS_SECONDS_MAX
        while self._open or self.answered() < self.accepted:
            if self._open:
                self._take(self._wait())
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.accepted} published, {self.answered()} answered")

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        stdin, to_worker = os.pipe()
        from_worker, stdout = os.pipe()
        process = subprocess.Popen(command, stdin=stdin, stdout=stdout)
        os.close(stdin)
        os.close(stdout)
        self.reactor.worker_add(self.pool, to_worker, from_worker)
        return process

    def _wait(self) -> list[Happening]:
        if not select.select([self.reactor.happening_fd], [], [], ANSWERS_SECONDS_MAX)[0]:
            raise RuntimeError(f"nothing happened for {ANSWERS_SECONDS_MAX:g} s")
        return self.reactor.happenings()

    def _take(self, happenings: list[Happening]) -> list[Happening]:
        for happening in happenings:
            if happening[0] == native.PUBLISHED:
                _, _, accepted, refused = happening
                if refused:
                    raise RuntimeError(f"{refused} messages were refused")
                self._open -= 1
                self.accepted += accepted
            elif happening[0] == native.WORKER_GONE:
                raise RuntimeError(f"a worker is gone: {happening}")
        return happenings


def measure(workers: int, inflight: int, seconds: float, command: list[str]) -> Sample:
    """Answers per second behind a warm-up, with batches published as fast as they are taken."""
    dispatch = Dispatch(workers, inflight, command)
    batch = [PAYLOAD] * BATCH
    try:
        _publish_until(dispatch, batch, time.perf_counter() + WARMUP_S)
        start, before = time.perf_counter(), dispatch.answered()
        _publish_until(dispatch, batch, start + seconds)
        answered, elapsed = dispatch.answered() - before, time.perf_counter() - start
        dispatch.finish()
    finally:
        dispatch.close()
    return {"rate": answered / elapsed}


def _publish_until(dispatch: Dispatch, batch: list[bytes], end: float) -> None:
    while time.perf_counter() < end:
        dispatch.publish(batch)


def _in_a_process(inflight: int, seconds: float, command: list[str]) -> Sample:
    run = [sys.executable, "-m", "bench.system.publish", str(WORKERS), str(inflight), str(seconds)]
    done = subprocess.run([*run, *command], check=True, stdout=subprocess.PIPE)
    result: Sample = json.loads(done.stdout)
    return result


def _case(inflight: int, setting: Setting) -> list[Row]:
    name = f"publish in process, {WORKERS} C workers w{inflight}"
    measures: dict[str, Measure] = {
        "ours": partial(_in_a_process, inflight, setting.seconds, setting.worker("c"))
    }
    if setting.roofline:
        pipes = setting.roofline.pipes
        measures["yardstick"] = partial(pipes, "c", WORKERS, inflight, setting.seconds)
    results = setting.alternate(name, **measures)
    theirs = median(results["yardstick"], "rate") if setting.roofline else None
    return [Row(name, "messages/s", median(results["ours"], "rate"), theirs, at_least(0.6))]


def publish(setting: Setting) -> list[Row]:
    """Both windows of the pipes yardstick."""
    return [row for inflight in (64, 256) for row in _case(inflight, setting)]


if __name__ == "__main__":
    _, workers_, inflight_, seconds_, *command_ = sys.argv
    print(json.dumps(measure(int(workers_), int(inflight_), float(seconds_), command_)))
