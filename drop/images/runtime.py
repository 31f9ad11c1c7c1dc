"""Which of crun and runc starts containers on this machine: tried once, on a container of nothing.

What they are able to do depends on the kernel, the mounts and the rights of the node, and each says
so only when it is run. So a container is made whose files are the machine's own programs, with all
that a worker's has: namespaces, limits, filters. The first runtime that runs `true` in it is taken.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import drop
from drop.images.commands import Commands
from drop.images.engine import program
from drop.images.groups import Groups
from drop.images.launcher import Runtime
from drop.images.probe import Probe
from drop.images.seccomp import PROFILES, Filter, runtime_profile

HYBRID = "/sys/fs/cgroup/unified"
_NAMES: tuple[Literal["crun", "runc"], ...] = ("crun", "runc")


def enclose_path() -> Path:
    """Built beside the extensions."""
    return Path(drop.__file__).with_name("_fast") / "drop-enclose"


def find_runtime_now(
    directory: Path, groups: Groups, commands: Commands, environ: Mapping[str, str]
) -> Runtime | str:
    """The runtime, or why there is none. Slow; for a thread of its own."""
    if os.geteuid() != 0:
        return "starting containers without an engine takes a node that runs as root"
    enclose = enclose_path()
    if not enclose.exists():
        return f"{enclose} is not built: python build_ext.py drop-enclose"
    problems = []
    for name in _NAMES:
        path = program(name, environ)
        if path is None:
            problems.append(f"{name} is not installed")
            continue
        unmount = hybrid_mount(Path("/proc/self/mounts").read_text()) if name == "crun" else None
        version = commands.run_now([path, "--version"], env={}, seconds=10.0).stdout
        runtime = Runtime(name, path, _version(version), str(enclose), unmount)
        problem = Probe(runtime, directory, groups, commands).problem_now()
        if not problem:
            return runtime
        problems.append(f"{name}: {problem}")
    return "; ".join(problems)


def find_filter_now(runtime: Runtime, capabilities: tuple[str, ...], probe: Probe) -> Filter | None:
    """What podman filters the system calls of such a container by; None where it cannot be known.

    crun is given the compiled filter, which saves it most of its time.
    """
    for path in PROFILES:
        try:
            profile = json.loads(Path(path).read_text())
            made = runtime_profile(profile, os.uname().machine, capabilities)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if made is None:
            return None
        plain = Filter(made)
        return Filter(made, probe.compile_now(plain)) if runtime.kind == "crun" else plain
    return None


def hybrid_mount(mounts: str) -> str | None:
    """The tree of cgroup v2 mounted beside v1, with which crun refuses to work: it looks for it at
    this place. It is unmounted for crun alone, never on the machine."""
    lines = [line.split() for line in mounts.splitlines()]
    return HYBRID if any(fields[1:3] == [HYBRID, "cgroup2"] for fields in lines) else None


def _version(said: str) -> str:
    words = (said.splitlines() or [""])[0].split()
    return words[-1] if words else "of an unknown version"
