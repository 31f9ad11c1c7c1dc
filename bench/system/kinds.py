"""The kinds beside `line`, and what containment costs: each with its yardstick in the same run."""

from __future__ import annotations

import subprocess
from functools import partial

from bench.build import program
from bench.system.figures import Row, Sample, at_least, at_most, median
from bench.system.load import calls
from bench.system.node import Node, function
from bench.system.setting import Setting

PARALLEL = 2
"""Processes that the yardstick keeps going, and callers of ours: one for each processor."""


def execute(setting: Setting) -> list[Row]:
    """A process for each message, beside plain C that only starts and reaps the same program."""
    cat = str(program("cat", ["bench/workers/cat.c"]))
    loop = str(program("spawn_loop", ["bench/workers/spawn_loop.c"]))
    functions = [
        function("warm", [cat], 8, 1, kind="exec", contain="off"),
        function("cold", [cat], 8, 1, kind="exec", contain="off", spare=0),
    ]
    with Node(functions) as node:
        results = setting.alternate(
            "exec",
            yardstick=partial(_spawned, loop, cat, setting.seconds),
            ours=partial(calls, node.address, "warm", 1, 2 * PARALLEL, setting.seconds),
            cold=partial(calls, node.address, "cold", 1, 1, setting.seconds),
            warm=partial(calls, node.address, "warm", 1, 1, setting.seconds),
        )
    rates = [median(results[side], "rate") for side in ("ours", "yardstick")]
    cold, warm = (median(results[side], "p50") for side in ("cold", "warm"))
    return [
        Row("exec", "processes/s", rates[0], rates[1], at_least(0.8)),
        Row("exec", "p50 us, warm beside cold", warm, cold, at_most(0.5)),
    ]


def asynchronous(setting: Setting) -> list[Row]:
    """256 messages outstanding with one worker, by token and in order."""
    cat = ["cat"]
    functions = [
        function("tokens", cat, 1, 256, kind="async"),
        function("lines", cat, 1, 256, kind="line"),
    ]
    with Node(functions) as node:
        load = partial(calls, node.address, connections=1, depth=256, seconds=setting.seconds)
        results = setting.alternate(
            "async", yardstick=partial(load, "lines"), ours=partial(load, "tokens")
        )
    rates = [median(results[side], "rate") for side in ("ours", "yardstick")]
    return [Row("async", "messages/s, beside line", rates[0], rates[1], at_least(0.8))]


def containment(setting: Setting) -> list[Row]:
    """The same function with all that is on by default, and with nothing."""
    worker = setting.worker("c")
    functions = [
        function("open", worker, 2, 64, contain="off"),
        function("kept", worker, 2, 64, memory=64),
    ]
    with Node(functions) as node:
        load = partial(calls, node.address, connections=1, depth=256, seconds=setting.seconds)
        results = setting.alternate(
            "containment", yardstick=partial(load, "open"), ours=partial(load, "kept")
        )
    rates = [median(results[side], "rate") for side in ("ours", "yardstick")]
    return [Row("containment", "messages/s, beside none", rates[0], rates[1], at_least(0.95))]


def _spawned(loop: str, command: str, seconds: float) -> Sample:
    done = subprocess.run(
        [loop, str(PARALLEL), f"{seconds:g}", command], capture_output=True, text=True, check=True
    )
    return {"rate": float(done.stdout)}
