"""Control groups on paper: where a process is in them, what its groups are named, what is written
into their files. Pure; `drop.host.cgroups` reads and writes.

Version 1 has a hierarchy for each controller (memory, pids, cpu), version 2 has one for all; a
machine may have both, with each controller in one of them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple
from urllib.parse import quote

CONTROLLERS = ("pids", "memory", "cpu")
"""Those that are used; the first one that a pool has is where its processes are looked for."""

CPU_WEIGHT = 100
"""Of a process without a group, in version 2's scale."""
SHARES = 1024  # the same in version 1's
SHARES_MIN, SHARES_MAX = 2, 262_144
WEIGHT_MAX = 10_000
NAME_MAX = 200  # bytes; the kernel takes 255
MIB = 1 << 20

Version = Literal[1, 2]


@dataclass(frozen=True, slots=True)
class Place:
    """The group that a process is in, in one hierarchy."""

    version: Version
    controllers: frozenset[str]
    """Of version 1; in version 2 the file cgroup.controllers of the group says."""
    directory: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one worker with all that it starts; None: not limited."""

    memory_mib: int | None = None
    processes: int | None = None
    cpu: int = CPU_WEIGHT
    """Its weight against others when the processors are busy."""

    def controllers(self) -> tuple[str, ...]:
        """Those that it takes to keep them, in the order of CONTROLLERS."""
        needed = {
            "pids": self.processes is not None,
            "memory": self.memory_mib is not None,
            "cpu": self.cpu != CPU_WEIGHT,
        }
        return tuple(name for name in CONTROLLERS if needed[name])


class Setting(NamedTuple):
    """One write to a file of a group."""

    file: str
    text: str
    optional: bool = False
    """The limit holds without it, if less exactly; kernels can be built without that file."""


def places(membership: str, mounts: str) -> tuple[Place, ...]:
    """From the texts of /proc/PID/cgroup and /proc/PID/mountinfo.

    A hierarchy that is not mounted, or of which the process's part is not visible, is left out.
    """
    mounted = list(_mounts(mounts))
    found = []
    for line in membership.splitlines():
        _, names, path = line.split(":", 2)
        controllers = frozenset(names.split(",")) if names else frozenset[str]()
        for mount in mounted:
            if mount.version == (1 if names else 2) and controllers <= mount.options:
                directory = _visible(path, mount)
                if directory is not None:
                    found.append(Place(mount.version, controllers, directory))
                break
    return tuple(found)


class _Mount(NamedTuple):
    version: Version
    root: str  # the part of the hierarchy that is visible
    point: str
    options: frozenset[str]


def _mounts(text: str) -> Iterator[_Mount]:
    versions: dict[str, Version] = {"cgroup": 1, "cgroup2": 2}
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind in versions:
            root, point = (_unescaped(word) for word in before.split(" ")[3:5])
            yield _Mount(versions[kind], root, point, frozenset(options.split(",")))


def _unescaped(path: str) -> str:
    """Blanks and backslashes are written in octal."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), path)


def _visible(path: str, mount: _Mount) -> str | None:
    """Where the group `path` is below the mount point."""
    root = mount.root.rstrip("/")
    if ".." in path.split("/") or not (path == root or path.startswith(f"{root}/")):
        return None
    return mount.point.rstrip("/") + path[len(root) :].rstrip("/")


def node_group(node: str, var_dir: str) -> str:
    """The name of a node's group: two nodes of one name differ by their directories, which they
    lock."""
    return f"drop-{_safe(node)}-{hashlib.sha256(var_dir.encode()).hexdigest()[:8]}"


def pool_group(pool: str) -> str:
    """The prefix keeps a pool from being named as a file of the kernel's is."""
    return f"pool-{_safe(pool)}"


def _safe(name: str) -> str:
    encoded = quote(name, safe="")
    if len(encoded) <= NAME_MAX:
        return encoded
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{encoded[: NAME_MAX - 17]}-{digest}"


def settings(version: Version, controller: str, limits: Limits) -> tuple[Setting, ...]:
    """What to write into a worker's group, in order."""
    match controller, version:
        case "pids", _:
            value = "max" if limits.processes is None else str(limits.processes)
            return (Setting("pids.max", value),)
        case "memory", 1:
            return _memory_1(limits.memory_mib)
        case "memory", 2:
            return _memory_2(limits.memory_mib)
    return (weight(version, limits.cpu),)


def weight(version: Version, cpu: int) -> Setting:
    """Its share of busy processors; for a group of groups, the sum of theirs."""
    if version == 1:
        shares = cpu * SHARES // CPU_WEIGHT
        return Setting("cpu.shares", str(max(SHARES_MIN, min(SHARES_MAX, shares))))
    return Setting("cpu.weight", str(max(1, min(WEIGHT_MAX, cpu))))


def _memory_1(mib: int | None) -> tuple[Setting, ...]:
    """Memory with swap may never be limited to less than memory, so that limit is off meanwhile."""
    value = "-1" if mib is None else str(mib * MIB)
    return (
        Setting("memory.memsw.limit_in_bytes", "-1", optional=True),
        Setting("memory.limit_in_bytes", value),
        Setting("memory.memsw.limit_in_bytes", value, optional=True),
    )


def _memory_2(mib: int | None) -> tuple[Setting, ...]:
    """A worker that has lost a process for lack of memory is of no use: it ends as a whole."""
    if mib is None:
        return (Setting("memory.max", "max"), Setting("memory.swap.max", "max", optional=True))
    return (
        Setting("memory.max", str(mib * MIB)),
        Setting("memory.swap.max", "0", optional=True),
        Setting("memory.oom.group", "1", optional=True),
    )
