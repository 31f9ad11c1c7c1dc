"""System calls of a node per message, counted by `perf stat`, or by `strace -c` where perf cannot.

A separate run: strace slows the node down, which makes its batches larger and the figure smaller.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from bench.system.setting import Measure

ATTACH_SECONDS = 0.3  # neither tool tells when it is attached


def counted(pid: int, measure: Measure) -> float | None:
    """Per message of one run of `measure`; None where neither tool may watch other processes."""
    for watch in (_perf, _strace):
        calls = watch(pid, measure)
        if calls is not None:
            return calls
    return None


def _perf(pid: int, measure: Measure) -> float | None:
    command = ["perf", "stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p", str(pid)]
    return _watched(command, measure, r"^(\d+),,raw_syscalls")


def _strace(pid: int, measure: Measure) -> float | None:
    return _watched(["strace", "-f", "-c", "-p", str(pid)], measure, r"(\d+)\s+(?:\d+\s+)?total$")


def _watched(command: list[str], measure: Measure, pattern: str) -> float | None:
    """The number that `pattern` finds in what the tool says, by the messages of the run."""
    if shutil.which(command[0]) is None:
        return None
    with tempfile.TemporaryDirectory(prefix="drop-bench-") as directory:
        report = Path(directory, "report")
        tool = subprocess.Popen(
            [*command, "-o", str(report)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(ATTACH_SECONDS)
        if tool.poll() is not None:
            return None
        messages = measure()["messages"]
        tool.send_signal(signal.SIGINT)
        tool.wait()
        found = re.search(pattern, report.read_text() if report.exists() else "", re.MULTILINE)
    return int(found[1]) / messages if found else None
