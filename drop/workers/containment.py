"""What one function's workers are kept from: its keys and what the host offers, made into the
arguments of a recipe. Pure.

What was asked for and cannot be had is decided here, before anything is started, and said: `off`
names each protection that is missing, `warnings` only those that somebody asked for in the flow.
A recipe never leaves out a step by itself.
"""

from __future__ import annotations

import resource  # only the numbers of limits
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Protocol

TMP_MIB = 256
"""Size of a private /tmp where the function has no `memory`; it is memory, so it counts there."""
TMP_FILES = 65_536
PLAIN_USER_TASKS = 1024
"""What the node's own user may start besides workers while the node runs. The kernel counts all
tasks of a user together, so without cgroups the limit only stops what goes wild."""
MIB = 1 << 20


class Offers(Protocol):
    """What the host can do; `drop.host.confinement` finds it out."""

    @property
    def uid(self) -> int: ...
    @property
    def missing(self) -> Mapping[str, str]: ...
    @property
    def hard_limits(self) -> Mapping[int, int]: ...
    @property
    def tasks(self) -> int: ...
    @property
    def memory_score(self) -> int: ...
    @property
    def temporary(self) -> tuple[str, ...]: ...
    @property
    def shared_memory(self) -> tuple[str, ...]: ...


class Account(Protocol):
    @property
    def uid(self) -> int: ...
    @property
    def gid(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """The keys `contain`, `limits` and `memory` of a function, with their defaults."""

    no_new_privileges: bool = True
    cgroup: bool = True
    private_tmp: bool = True
    read_only: bool = False
    write: tuple[str, ...] = ()
    network: bool = True
    memory_mib: int | None = None
    processes: int = 512
    cpu: int = 100
    open_files: int = 1024
    file_size_mib: int | None = None
    core_mib: int = 0


@dataclass(frozen=True, slots=True)
class Groups:
    """What control groups have to limit, of each worker; all at rest: none are needed."""

    memory_mib: int | None = None
    processes: int | None = None
    cpu: int = 100


@dataclass(frozen=True, slots=True)
class Containment:
    arguments: Mapping[str, Any]
    """Keywords of a `Recipe`, but for the command and the groups."""
    groups: Groups
    off: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def contain(
    wanted: Wanted,
    offers: Offers,
    account: Account,
    *,
    directories: Iterable[str] = (),
    groups_missing: Mapping[str, str],
) -> Containment:
    """`directories`: those that the command means, without symbolic links. `groups_missing`: by
    controller (memory, pids, cpu), why it cannot be used."""
    planned = _Plan(wanted, offers)
    planned.user(account)
    planned.groups(groups_missing)
    planned.limits()
    planned.file_system(tuple(directories))
    planned.network()
    return Containment(
        planned.arguments, Groups(**planned.limited), planned.off, tuple(planned.warnings)
    )


class _Plan:
    def __init__(self, wanted: Wanted, offers: Offers) -> None:
        self._wanted, self._offers = wanted, offers
        self._other = False
        """The worker is another user than the node."""
        self.arguments: dict[str, Any] = {}
        self.limited: dict[str, Any] = {}
        self.off: dict[str, str] = {}
        self.warnings: list[str] = []

    def user(self, account: Account) -> None:
        offers = self._offers
        self._other = account.uid != offers.uid
        if self._other:
            self.arguments |= {"uid": account.uid, "gid": account.gid}
        if self._wanted.no_new_privileges and self._can("no_new_privileges", asked=False):
            self.arguments["no_new_privileges"] = True
        # What a service manager gave is the node's alone. A change of users takes all rights from a
        # child of root's, and none from anybody else's.
        self.arguments["no_capabilities"] = offers.uid != 0
        if self._can("memory_priority", asked=False):
            self.arguments["oom_score_adjust"] = offers.memory_score

    def groups(self, missing: Mapping[str, str]) -> None:
        wanted = self._wanted
        if not wanted.cgroup:
            missing = dict.fromkeys(("memory", "pids", "cpu"), "the function says cgroup: false")
        if wanted.memory_mib is not None:
            self._group("memory", "memory_mib", wanted.memory_mib, missing, asked=True)
        self._group("pids", "processes", wanted.processes, missing, asked=False)
        if wanted.cpu != 100:
            self._group("cpu", "cpu", wanted.cpu, missing, asked=True)

    def limits(self) -> None:
        wanted, offers = self._wanted, self._offers
        limits = {
            resource.RLIMIT_NOFILE: wanted.open_files,
            resource.RLIMIT_CORE: wanted.core_mib * MIB,
        }
        if wanted.file_size_mib is not None:
            limits[resource.RLIMIT_FSIZE] = wanted.file_size_mib * MIB
        if "processes" not in self.limited and offers.uid != 0 and not self._other:
            limits[resource.RLIMIT_NPROC] = offers.tasks + PLAIN_USER_TASKS + wanted.processes
        self.arguments["limits"] = {
            number: min(value, offers.hard_limits.get(number, value))
            for number, value in limits.items()
        }
        hard = offers.hard_limits.get(resource.RLIMIT_NOFILE, wanted.open_files)
        if wanted.open_files > hard:
            self.warnings.append(
                f"open_files: {wanted.open_files} is more than the node may have itself, {hard} is "
                f"used; raise the node's limit (LimitNOFILE, ulimit -n)"
            )

    def file_system(self, directories: tuple[str, ...]) -> None:
        wanted, offers = self._wanted, self._offers
        writable = wanted.write if wanted.read_only else ()
        needed = directories + writable
        private = self._private(needed) if wanted.private_tmp else ()
        if wanted.read_only:
            if "read_only" not in offers.missing:
                self.arguments["read_only"] = True
                private += offers.shared_memory if private else ()
            elif self._can("landlock", asked=True):
                self.arguments["landlock"] = True
                self.arguments["no_new_privileges"] = True  # the kernel wants it first
            # Who gets no /tmp of its own shall at least have the one that there is.
            if wanted.private_tmp and not private:
                writable += offers.temporary + offers.shared_memory
            self.arguments["writable"] = _encoded(writable)
        if private:
            kept = _inside(needed, private)
            size = wanted.memory_mib or TMP_MIB
            self.arguments |= {
                "private": _encoded(private),
                "private_options": f"mode=1777,size={size}m,nr_inodes={TMP_FILES}".encode(),
                "kept": _encoded(kept),
            }

    def network(self) -> None:
        if not self._wanted.network and self._can("no_network", asked=True):
            self.arguments["network_none"] = True

    def _private(self, needed: tuple[str, ...]) -> tuple[str, ...]:
        offers = self._offers
        if not self._can("private_tmp", asked=False):
            return ()
        if self._wanted.read_only and "read_only" in offers.missing:
            self.off["private_tmp"] = "landlock rules cannot name a directory that is yet to be"
            return ()
        for directory in needed:
            if directory in offers.temporary:
                self.off["private_tmp"] = f"the function needs {directory} itself"
                return ()
        return offers.temporary

    def _group(
        self, controller: str, key: str, value: int, missing: Mapping[str, str], *, asked: bool
    ) -> None:
        if controller not in missing:
            self.limited[key] = value
            return
        self.off[controller] = missing[controller]
        if asked:
            self.warnings.append(f"{_NAMES[controller]} is off: {missing[controller]}")

    def _can(self, name: str, *, asked: bool) -> bool:
        """Notes it when it cannot be had."""
        reason = self._offers.missing.get(name)
        if reason is None:
            return True
        self.off[name] = reason
        if asked:
            self.warnings.append(f"{_NAMES[name]} is off: {reason}")
        return False


_NAMES = {
    "memory": "the limit of memory",
    "cpu": "the weight of the CPU",
    "landlock": "filesystem: read-only",
    "no_network": "network: none",
}


def _inside(directories: tuple[str, ...], private: tuple[str, ...]) -> tuple[str, ...]:
    """The directories that private ones would hide, without those inside another one of them."""
    hidden = {each for each in directories if any(_below(each, one) for one in private)}
    return tuple(
        sorted(each for each in hidden if not any(_below(each, other) for other in hidden))
    )


def _below(path: str, directory: str) -> bool:
    return PurePosixPath(directory) in PurePosixPath(path).parents


def _encoded(paths: Iterable[str]) -> list[bytes]:
    return [path.encode("utf-8", "surrogateescape") for path in dict.fromkeys(paths)]
