"""Instructions per message, counted by callgrind: no other load on the machine changes them.

    python -m bench.micro.instructions [--functions]

Each case runs with two numbers of messages; the difference of the counts belongs to the difference
of the numbers, and what starts and ends the program falls out. Of the reactor, its thread alone is
counted, without the kernel. Its figure depends on how many messages it finds in one turn, which is
printed beside it (callgrind makes the reactor slow, so its turns are well filled).
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bench.build import ROOT
from bench.micro.native import CASES, executable

FEW, MANY = 20_480, 122_880  # messages; multiples of a batch of publish()
THREAD = "run"  # the function of the reactor's thread
MODES = ("publish", "calls")
SHOWN = 12  # functions of the hot path


class CallgrindFailed(Exception):
    """valgrind ended with an error; the text is what it said."""


def count(command: Sequence[str], out: Path, *options: str) -> tuple[int, str]:
    """Instructions of one run, and what it printed. `out` is callgrind's file."""
    tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *options]
    done = subprocess.run([*tool, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CallgrindFailed(done.stderr)
    found = re.search(r"^totals: (\d+)$", out.read_text(), re.MULTILINE)
    if found is None:
        raise CallgrindFailed(f"no totals in callgrind's output of {' '.join(command)}")
    return int(found[1]), done.stdout


def native(case: str, directory: Path) -> float:
    """Of a case of native.c."""
    few, many = (
        count([str(executable()), case, str(messages)], directory / "native")[0]
        for messages in (FEW, MANY)
    )
    return (many - few) / (MANY - FEW)


def reactor(mode: str, directory: Path) -> tuple[float, float, str]:
    """Of the reactor's thread; messages per turn; the costliest functions as text."""
    counts = []
    for messages in (FEW, MANY):
        command = [sys.executable, "-m", "bench.micro.host", mode, str(messages)]
        out = directory / mode
        counts.append(count(command, out, f"--toggle-collect={THREAD}"))
    (few, _), (many, printed) = counts
    annotated = subprocess.run(
        ["callgrind_annotate", "--auto=no", str(out)], capture_output=True, text=True, check=True
    ).stdout
    return (many - few) / (MANY - FEW), float(printed), costliest(annotated)


def costliest(annotated: str) -> str:
    """The first functions of callgrind_annotate's list, with instructions per message."""
    lines = re.findall(r"^\s*([\d,]+) \(\s*[\d.]+%\)\s+(?:[^:\s]*:)?(\S+)", annotated, re.MULTILINE)
    costs: Counter[str] = Counter()  # what was inlined from several files has several lines
    for cost, name in lines:
        costs[name] += int(cost.replace(",", ""))
    del costs["PROGRAM"]
    functions = costs.most_common(SHOWN)
    return "\n".join(f"    {cost / MANY:10.1f}  {name}" for name, cost in functions)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.micro.instructions")
    parser.add_argument("--functions", action="store_true", help="also the costliest functions")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("no valgrind: instructions are not counted")
        return
    print(f"{'instructions per message of 100 bytes':48}{'':>10}{'per turn':>10}")
    with tempfile.TemporaryDirectory(prefix="drop-bench-") as directory:
        for case in CASES:
            print(f"native {case:41}{native(case, Path(directory)):10.1f}", flush=True)
        for mode in MODES:
            each, turn, functions = reactor(mode, Path(directory))
            print(f"reactor thread, {mode:32}{each:10.1f}{turn:10.0f}", flush=True)
            if options.functions:
                print(functions)


if __name__ == "__main__":
    main()
