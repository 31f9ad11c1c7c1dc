"""The client library from one Python process: pipelined calls, and one call at a time beside C."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial

from bench.system.figures import Compared, Row, Sample, at_least, at_most, median
from bench.system.load import calls
from bench.system.node import Node, function
from bench.system.setting import Measure, Setting

POOL = "echo"
RATE_MIN = 250_000
FAST_YARDSTICK = 2_000_000  # messages/s of the 1x1024 yardstick from where on RATE_MIN holds
DIFFERENCE_MAX_US = 20
QUEUE = 8192  # all that the tasks of the caller may have outstanding


def asynchronous(setting: Setting) -> list[Row]:
    """`call`, a future for each, and `call_many`, of which the faster is what a caller can have."""
    name = "client library, async, pipelined"
    with Node([function(POOL, setting.worker("c"), 4, 256, queue=QUEUE)]) as node:
        run = partial(_in_a_process, address=node.address, seconds=setting.seconds)
        measures: dict[str, Measure] = {mode: partial(run, mode) for mode in ("call", "call_many")}
        if setting.roofline:
            measures["yardstick"] = partial(
                setting.roofline.tcp, "c", 4, 256, 1, 1024, setting.seconds
            )
        results = setting.alternate(name, **measures)
    theirs = median(results["yardstick"], "rate") if setting.roofline else None
    bar = at_least(RATE_MIN, Compared.OURS) if (theirs or 0) >= FAST_YARDSTICK else None
    return [
        Row(name, f"{mode}() per second", median(results[mode], "rate"), theirs, bar)
        for mode in ("call", "call_many")
    ]


def synchronous(setting: Setting) -> list[Row]:
    name = "client library, sync, one at a time"
    with Node([function(POOL, setting.worker("c"), 1, 1)]) as node:
        results = setting.alternate(
            name,
            c=partial(calls, node.address, POOL, 1, 1, setting.seconds),
            ours=partial(_in_a_process, "sync", address=node.address, seconds=setting.seconds),
        )
    bar = at_most(DIFFERENCE_MAX_US, Compared.DIFFERENCE)
    c, ours = median(results["c"], "p50"), median(results["ours"], "p50")
    return [Row(name, "p50 us (yardstick: C client)", ours, c, bar)]


def _in_a_process(mode: str, *, address: str, seconds: float) -> Sample:
    command = [sys.executable, "-m", "bench.system.caller", mode, address, POOL, str(seconds)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    result: Sample = json.loads(done.stdout)
    return result
