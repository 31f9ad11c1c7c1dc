"""What this kernel lets this user take from a worker: found out by taking it from a trial child.

Versions and capabilities say too little (a container may forbid what its kernel can), so each
protection is tried once, at the start of a node; some milliseconds in all.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from drop.host import capabilities
from drop.host.linux import Failure, try_confinement

NO_NEW_PRIVILEGES = "no_new_privileges"
PRIVATE_TMP = "private_tmp"
READ_ONLY = "read_only"
LANDLOCK = "landlock"
NO_NETWORK = "no_network"
OTHER_USER = "other_user"
MEMORY_PRIORITY = "memory_priority"

TEMPORARY = ("/tmp", "/var/tmp")
SHARED_MEMORY = ("/dev/shm",)
"""Of POSIX: programs expect to write there even when the file system is read-only."""
SCORE_ABOVE_NODE = 200
"""Of 1000: when memory is short, the kernel ends a worker before the node."""
SCORE_MAX = 1000


@dataclass(frozen=True, slots=True)
class Offers:
    """What can be had. `missing`: by name, why not; all of the names above that are not in it
    can."""

    uid: int
    missing: Mapping[str, str] = field(default_factory=dict)
    hard_limits: Mapping[int, int] = field(default_factory=dict)
    """By RLIMIT_ number, where there is one."""
    tasks: int = 0
    """Processes and threads of this user, at the time of asking."""
    memory_score: int = SCORE_ABOVE_NODE
    temporary: tuple[str, ...] = TEMPORARY
    shared_memory: tuple[str, ...] = SHARED_MEMORY


def probe() -> Offers:
    """Tries everything."""
    temporary = tuple(path for path in TEMPORARY if os.path.isdir(path))
    score = min(SCORE_MAX, _score() + SCORE_ABOVE_NODE)
    trials: dict[str, dict[str, Any]] = {
        OTHER_USER: {"uid": 65534, "gid": 65534},
        NO_NEW_PRIVILEGES: {"no_new_privileges": True},
        PRIVATE_TMP: {"private": [os.fsencode(path) for path in temporary]},
        READ_ONLY: {"read_only": True},
        LANDLOCK: {"landlock": True, "no_new_privileges": True},
        NO_NETWORK: {"network_none": True},
        MEMORY_PRIORITY: {"oom_score_adjust": score},
    }
    failures = {name: try_confinement(**options) for name, options in trials.items()}
    return Offers(
        uid=os.geteuid(),
        missing={name: why(name, failure) for name, failure in failures.items() if failure},
        hard_limits=_hard_limits(),
        tasks=tasks_of(os.getuid()),
        memory_score=score,
        temporary=temporary,
        shared_memory=tuple(path for path in SHARED_MEMORY if os.path.isdir(path)),
    )


def why(name: str, failure: Failure) -> str:
    """The reason in words: whose fault it is, and what would help."""
    if failure.number in (errno.EPERM, errno.EACCES):
        if os.geteuid() == 0:
            return f"{failure.text}; root has too few capabilities here, as in a container"
        if capabilities.effective():
            return f"{failure.text}; the node's service was given too few capabilities for it"
        return "the node does not run as root, nor as the system service"
    needed = _LINUX.get(name)
    if failure.number in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP) and needed:
        return f"{failure.text}; {needed} is needed"
    return failure.text


_LINUX = {
    READ_ONLY: "Linux 5.12",
    LANDLOCK: "Linux 5.13 with landlock among its security modules (lsm=)",
    PRIVATE_TMP: "Linux 5.2 with tmpfs",
}


def directories_named(argv: Iterable[str], directory: str | None) -> tuple[str, ...]:
    """The directories that a command means: its own, and those of existing files that it names by
    their absolute paths. They have to stay visible where /tmp does not."""
    found = [] if directory is None else [os.path.realpath(directory)]
    for argument in argv:
        if argument.startswith("/") and "\0" not in argument and os.path.exists(argument):
            path = os.path.realpath(argument)
            found.append(path if os.path.isdir(path) else os.path.dirname(path))
            if os.path.islink(argument) and not os.path.isdir(path):
                found += _installation(os.path.dirname(argument))
    return tuple(dict.fromkeys(found))


def directories_of_path(path: str) -> tuple[str, ...]:
    """Where the programs of a PATH are, with what is installed beside them."""
    found = [
        directory
        for entry in path.split(":")
        if entry.startswith("/") and os.path.isdir(entry)
        for directory in _installation(entry)
    ]
    return tuple(dict.fromkeys(found))


def _installation(directory: str) -> list[str]:
    """A directory of programs; one called `bin` belongs to what is around it, as an interpreter's
    environment does."""
    found = [os.path.realpath(directory)]
    if os.path.basename(directory) == "bin":
        found.append(os.path.realpath(os.path.dirname(directory)))
    return found


def tasks_of(uid: int) -> int:
    """Processes and threads of a user, as the kernel counts them for RLIMIT_NPROC, about."""
    count = 0
    for entry in os.scandir("/proc"):
        try:
            if entry.name.isdecimal() and entry.stat().st_uid == uid:
                count += len(os.listdir(f"/proc/{entry.name}/task"))
        except OSError:  # it has ended meanwhile
            continue
    return count


def _hard_limits() -> dict[int, int]:
    numbers = (
        resource.RLIMIT_NOFILE,
        resource.RLIMIT_CORE,
        resource.RLIMIT_FSIZE,
        resource.RLIMIT_NPROC,
    )
    found = {number: resource.getrlimit(number)[1] for number in numbers}
    return {number: limit for number, limit in found.items() if limit != resource.RLIM_INFINITY}


def _score() -> int:
    try:
        with open("/proc/self/oom_score_adj") as file:
            return int(file.read())
    except OSError:
        return 0
