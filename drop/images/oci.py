"""The config.json of one worker's bundle (OCI runtime specification 1.0). Pure.

Namespaces of its own for everything but users, no new privileges, and as a user other than root no
capability at all. There is no device group in it: what devices a container has is decided by what
lies in its /dev (the runtime's own few) and by a root file system without device files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drop.images.account import Account
from drop.images.container import Container
from drop.images.seccomp import Filter

VERSION = "1.0.0"
COMPILED_FILTER = "run.oci.seccomp_bpf_data"  # crun's, since 1.2
_MIB = 1 << 20

# podman's default for root; it has no CAP_MKNOD, CAP_NET_RAW or CAP_AUDIT_WRITE.
ROOT_CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)
# What podman 4.3 to 5.2 hide; the last ones are newer kernels' and harmless where they are absent.
MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/dev/block",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def _mount(target: str, kind: str, *options: str, source: str = "") -> dict[str, Any]:
    return {
        "destination": target,
        "type": kind,
        "source": source or kind,
        "options": [*options],
    }


_MOUNTS = (
    _mount("/proc", "proc", "nosuid", "noexec", "nodev"),
    _mount("/dev", "tmpfs", "nosuid", "noexec", "strictatime", "mode=755", "size=65536k"),
    _mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
    _mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
    _mount("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev"),
)
_SYS = ("nosuid", "noexec", "nodev", "ro")


def config(
    container: Container,
    *,
    root: str,
    env: Mapping[str, str],
    hostname: str,
    seccomp: Filter | None,
    network_files: Sequence[str] = (),
    cgroup: str | None = None,
) -> dict[str, Any]:
    """`root`: the root file system; `network_files`: what a container that shares the machine's
    network shares of its files, to resolve names; `cgroup`: for a runtime that insists on making
    a group."""
    linux: dict[str, Any] = {
        "namespaces": _namespaces(container),
        "maskedPaths": [*MASKED],
        "readonlyPaths": [*READ_ONLY],
    }
    annotations = {}
    if seccomp is not None and seccomp.compiled is not None:
        annotations[COMPILED_FILTER] = seccomp.compiled
    elif seccomp is not None:
        linux["seccomp"] = seccomp.profile
    if cgroup is not None:
        linux["cgroupsPath"] = cgroup
        # What the root of v1 demands of a new group: without a word on devices, all are allowed.
        linux["resources"] = {"devices": _devices()}
    return {
        "ociVersion": VERSION,
        "process": _process(container, env),
        "root": {"path": root, "readonly": container.settings.read_only},
        "hostname": container.settings.hostname or hostname,
        "mounts": _mounts(container, network_files),
        "annotations": annotations,
        "linux": linux,
    }


def capabilities(account: Account) -> tuple[str, ...]:
    return ROOT_CAPABILITIES if account.uid == 0 else ()


def _process(container: Container, env: Mapping[str, str]) -> dict[str, Any]:
    account = container.account
    held = [*capabilities(account)]
    return {
        "terminal": False,
        "user": {
            "uid": account.uid,
            "gid": account.gid,
            # The first of the groups that a user logs in with is its own.
            "additionalGids": [account.gid, *account.groups],
            "umask": 0o022,
        },
        "args": [*container.command],
        "env": [f"{name}={value}" for name, value in env.items()],
        "cwd": container.workdir,
        "capabilities": {
            "bounding": held,
            "effective": held,
            "permitted": held,
            "inheritable": [],
            "ambient": [],
        },
        "rlimits": _rlimits(container),
        "noNewPrivileges": True,
    }


def _rlimits(container: Container) -> list[dict[str, Any]]:
    limits = container.limits
    values = {"RLIMIT_NOFILE": limits.open_files, "RLIMIT_CORE": limits.core_mib * _MIB}
    if limits.file_size_mib is not None:
        values["RLIMIT_FSIZE"] = limits.file_size_mib * _MIB
    return [{"type": name, "soft": value, "hard": value} for name, value in values.items()]


def _namespaces(container: Container) -> list[dict[str, str]]:
    """Without one of its own for the network, a container shares the machine's."""
    kinds = ["pid", "ipc", "uts", "mount", "cgroup"]
    if container.network == "none":
        kinds.append("network")
    return [{"type": kind} for kind in kinds]


def _mounts(container: Container, network_files: Sequence[str]) -> list[dict[str, Any]]:
    """sysfs shows the network namespace of who mounts it, so whoever shares the machine's may not
    mount one and is shown the machine's own, read-only."""
    mounts = [*_MOUNTS]
    if container.network == "none":
        mounts.append(_mount("/sys", "sysfs", *_SYS))
    else:
        mounts.append(_mount("/sys", "bind", "rbind", *_SYS, source="/sys"))
        mounts += [_bind(path, path, ("ro",)) for path in network_files]
    if container.settings.read_only:
        mounts += [_mount(path, "tmpfs", *_tmpfs_options(())) for path in ("/tmp", "/run")]
    for target, options in container.settings.tmpfs:
        mounts.append(_mount(target, "tmpfs", *_tmpfs_options(options)))
    for volume in container.settings.volumes:
        flags = ("ro",) if volume.read_only else ("rw",)
        mounts.append(_bind(volume.source, volume.target, flags))
    return mounts


def _bind(source: str, target: str, flags: Sequence[str]) -> dict[str, Any]:
    options = ("rbind", "rprivate", "nosuid", "nodev", *flags)
    return _mount(target, "bind", *options, source=source)


def _tmpfs_options(chosen: Sequence[str]) -> tuple[str, ...]:
    """Bounded and open to every user of the container, unless something else was said."""
    names = {each.partition("=")[0] for each in chosen}
    usual = [each for each in ("size=65536k", "mode=1777") if each.partition("=")[0] not in names]
    return ("nosuid", "nodev", *usual, *chosen)


def _devices() -> list[dict[str, Any]]:
    """The few that are in every container: null, zero, full, tty, random, urandom, ptmx, pts."""
    allowed = ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (136, None))
    rules: list[dict[str, Any]] = [{"allow": False, "access": "rwm"}]
    for major, minor in allowed:
        rule: dict[str, Any] = {"allow": True, "type": "c", "access": "rwm", "major": major}
        rules.append(rule if minor is None else rule | {"minor": minor})
    return rules
