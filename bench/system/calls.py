"""Calls over TCP: throughput and latency of pools beside the yardstick, and what a call costs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from bench.system import syscalls
from bench.system.figures import Bar, Compared, Row, at_least, at_most, median
from bench.system.load import watched_calls
from bench.system.node import Node, function
from bench.system.setting import Measure, Setting

POOL = "echo"
CONTROL_SHARE_MAX = 0.02
COSTS = {
    "reactor_us": "reactor CPU per message, us",
    "workers_us": "workers' CPU per message, us",
    "reactor_switches": "reactor context switches per message",
}


@dataclass(frozen=True)
class Calls:
    """Connections x depth calls outstanding into workers of `inflight` each."""

    name: str
    worker: str
    workers: int
    inflight: int
    connections: int
    depth: int
    rate: Bar | None = None
    p50: Bar | None = None

    def __call__(self, setting: Setting) -> list[Row]:
        command = setting.worker(self.worker)
        with Node([function(POOL, command, self.workers, self.inflight)]) as node:
            return self._measure(setting, node)

    def _measure(self, setting: Setting, node: Node) -> list[Row]:
        load = partial(watched_calls, node, node.workers(), POOL, self.connections, self.depth)
        results = setting.alternate(
            self.name, **self._yardstick(setting), ours=partial(load, setting.seconds)
        )
        ours, theirs = results["ours"], results.get("yardstick")
        rows = [
            Row(self.name, figure, median(ours, key), median(theirs, key) if theirs else None, bar)
            for figure, key, bar in (
                ("messages/s", "rate", self.rate), ("p50 us", "p50", self.p50),
                ("p99 us", "p99", None),
            )
        ]  # fmt: skip
        share = Row(
            self.name, "other threads' CPU / reactor's", median(ours, "control_share"),
            bar=at_most(CONTROL_SHARE_MAX, Compared.OURS),
        )  # fmt: skip
        costs = [Row(self.name, text, median(ours, key)) for key, text in COSTS.items()]
        counted = syscalls.counted(node.pid, partial(load, min(setting.seconds, 1.0)))
        if counted is not None:
            costs.append(Row(self.name, "node syscalls per message", counted))
        return [*rows, share, *costs]

    def _yardstick(self, setting: Setting) -> dict[str, Measure]:
        if setting.roofline is None:
            return {}
        return {
            "yardstick": partial(
                setting.roofline.tcp, self.worker, self.workers, self.inflight,
                self.connections, self.depth, setting.seconds,
            )
        }  # fmt: skip


CASES = (
    Calls("tcp 1x1024, 4 C workers w256", "c", 4, 256, 1, 1024, rate=at_least(0.7)),
    Calls("tcp 1x1024, 4 Python workers w64", "python", 4, 64, 1, 1024, rate=at_least(0.8)),
    Calls("tcp 1x64, 4 C workers w64", "c", 4, 64, 1, 64, rate=at_least(0.8), p50=at_most(1.2)),
    Calls("tcp 64x1, 4 C workers w1", "c", 4, 1, 64, 1, rate=at_least(0.8)),
    Calls("tcp 1x1, 1 C worker", "c", 1, 1, 1, 1, p50=at_most(0.5)),
)
