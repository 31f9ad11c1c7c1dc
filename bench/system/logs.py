"""What logging costs the dataplane: the same calls with and without workers that say all they can.

A flood is a worker in an endless loop of writing; it shares nothing with the pool that is called.
The talking pool says a line for each answer, and beside it stands the same program that says them
to /dev/null. The node of each measure runs by itself, for a flood takes its CPU all the time.
"""

from __future__ import annotations

from functools import partial

from bench.build import program
from bench.system.figures import Row, Sample, at_least, median
from bench.system.load import calls
from bench.system.node import Node, function
from bench.system.setting import Setting

POOL = "echo"
BAR = at_least(0.9)
TEXT = "a line of a worker that never stops to say what it thinks"
FLOOD = ["sh", "-c", f"exec yes {TEXT} 3>&1 >&2"]  # 3: its stdout stays open, or it counts as gone
SHAPES = {"1x1024, 4 C workers w256": (256, 1, 1024), "64x1, 4 C workers w1": (1, 64, 1)}
WORKERS = 4


def logs(setting: Setting) -> list[Row]:
    return [
        row
        for name, shape in SHAPES.items()
        for row in (*_flooded(setting, name, *shape), *_talking(setting, name, *shape))
    ]


def _flooded(setting: Setting, name: str, inflight: int, connections: int, depth: int) -> list[Row]:
    quiet = [function(POOL, setting.worker("c"), WORKERS, inflight)]
    flood = function("flood", FLOOD, 1, 1, kind="stream")
    run = partial(_calls, connections=connections, depth=depth, seconds=setting.seconds)
    case = f"logs, a flood beside {name}"
    results = setting.alternate(
        case, quiet=partial(run, quiet), flooded=partial(run, [*quiet, flood])
    )
    return _rows(case, "quiet", results["flooded"], results["quiet"])


def _talking(setting: Setting, name: str, inflight: int, connections: int, depth: int) -> list[Row]:
    talker = str(program("echo_log", ["bench/workers/echo_log.c"]))
    run = partial(_calls, connections=connections, depth=depth, seconds=setting.seconds)
    case = f"logs, a line for each answer, {name}"
    results = setting.alternate(
        case,
        unheard=partial(run, [function(POOL, [talker, "/dev/null"], WORKERS, inflight)]),
        logged=partial(run, [function(POOL, [talker], WORKERS, inflight)]),
    )
    return _rows(case, "to /dev/null", results["logged"], results["unheard"])


def _rows(case: str, beside: str, ours: list[Sample], theirs: list[Sample]) -> list[Row]:
    rate = median(ours, "rate")
    return [
        Row(case, f"messages/s (yardstick: {beside})", rate, median(theirs, "rate"), BAR),
        Row(case, "log lines/s written", median(ours, "written")),
        Row(case, "log lines/s cut", median(ours, "cut")),
    ]


def _calls(
    functions: list[dict[str, object]], *, connections: int, depth: int, seconds: float
) -> Sample:
    with Node(functions) as node:
        before = node.info()["logs"]
        sample = calls(node.address, POOL, connections, depth, seconds)
        after = node.info()["logs"]
    passed = sample["messages"] / sample["rate"]  # the warm-up too
    lines = {key: after[key] - before[key] for key in ("lines", "cut")}
    return {**sample, "written": lines["lines"] / passed, "cut": lines["cut"] / passed}
