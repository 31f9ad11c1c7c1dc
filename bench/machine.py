"""What a figure was measured on: without it the figure means nothing."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from bench.build import ROOT


def description() -> dict[str, object]:
    """Kind of machine, software, commit and time; nothing that names the machine or its user."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "cpu": _cpu(),
        "cpus": os.cpu_count(),
        "virtual": "hypervisor" in _cpuinfo().get("flags", "").split(),
        "kernel": platform.release().partition("-")[0],  # the rest is the builder's
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }


def _cpuinfo() -> dict[str, str]:
    lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _cpu() -> str:
    return _cpuinfo().get("model name", platform.machine())


def _commit() -> str:
    """The commit that was built, with a + when the tree has other changes."""
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=10"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return ""  # a source distribution
