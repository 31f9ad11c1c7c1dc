"""Runs the cases and prints the table; the exit status is 0 whatever the figures are."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from bench import machine, record
from bench.system import client_library, kinds, memory
from bench.system.calls import CASES as CALLS
from bench.system.chain import chain
from bench.system.figures import Row, Sample, table
from bench.system.flooded import flooded
from bench.system.logs import logs
from bench.system.publish import publish
from bench.system.roofline import find, place
from bench.system.sdk import sdk
from bench.system.setting import Setting
from bench.system.starting import starting

Case = Callable[[Setting], list[Row]]

CASES: dict[str, Case] = {
    "tcp-1x1024": CALLS[0],
    "tcp-python": CALLS[1],
    "tcp-1x64": CALLS[2],
    "tcp-64x1": CALLS[3],
    "tcp-1x1": CALLS[4],
    "publish": publish,
    "chain": chain,
    "client-async": client_library.asynchronous,
    "client-sync": client_library.synchronous,
    "sdk": sdk,
    "logs": logs,
    "flooded": flooded,
    "memory-idle": memory.idle,
    "memory-connections": memory.connections,
    "memory-pools": memory.pools,
    "memory-growth": memory.growth,
    "starting": starting,
    "exec": kinds.execute,
    "async": kinds.asynchronous,
    "containment": kinds.containment,
}


def main() -> None:
    options = _options()
    on = machine.description()
    roofline = find()
    if roofline is None:
        print(f"no yardsticks in {place()} (DROP_ROOFLINE): only our own figures\n")
    setting = Setting(options.reps, options.seconds, options.quick, roofline)
    rows: list[Row] = []
    for name in options.case or CASES:
        print(f"... {name}", file=sys.stderr, flush=True)
        rows += CASES[name](setting)
    judged = [row for row in rows if row.yardstick is not None or row.bar is not None]
    print(table(judged))
    print("\nrecorded, without a bar\n")
    print(table([row for row in rows if row not in judged]))
    print(f"\nmedians of {options.reps} x {options.seconds:g} s; {on['cpus']} x {on['cpu']}")
    if options.json:
        samples = {name: [_short(each) for each in of] for name, of in setting.samples.items()}
        record.write(options.json, _command(options), on, [row.as_json() for row in rows], samples)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.system", description=__doc__)
    parser.add_argument("--reps", type=int, default=5, help="of each side of each case (5)")
    parser.add_argument("--seconds", type=float, default=1.5, help="of each repetition (1.5)")
    parser.add_argument("--case", action="append", choices=CASES, help="only this one; repeatable")
    parser.add_argument("--quick", action="store_true", help="a tenth of the memory cases")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the record of the run")
    return parser.parse_args()


def _command(options: argparse.Namespace) -> str:
    """What to type to repeat the run, without the file that it was recorded in."""
    cases = [word for name in options.case or () for word in ("--case", name)]
    words = ["--reps", str(options.reps), "--seconds", f"{options.seconds:g}", *cases]
    return " ".join(["python -m bench.system", *words, *["--quick"] * options.quick])


def _short(sample: Sample) -> dict[str, float]:
    return {key: float(f"{value:.5g}") for key, value in sample.items()}


if __name__ == "__main__":
    main()
