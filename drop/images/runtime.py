"""Which of crun and runc starts containers on this machine: tried once, on a container of nothing.

What they are able to do depends on the kernel, the mounts and the rights of the node, and each says
so only when it is run. So a container is made whose files are the machine's own programs, with all
that a worker's has: namespaces, limits, filters. The first runtime that runs `true` in it is taken.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import drop
from drop.images import oci, seccomp
from drop.images.account import NOBODY, Account
from drop.images.commands import Commands
from drop.images.container import Container, Limits
from drop.images.engine import program
from drop.images.groups import Groups
from drop.images.launcher import Runtime, runtime_argv
from drop.images.settings import Settings, Volume

PROBE_SECONDS = 20.0
PROBE_MIB = 64
HYBRID = "/sys/fs/cgroup/unified"
SYSTEM_DIRECTORIES = ("/bin", "/lib", "/lib64", "/usr")
_NAMES: tuple[Literal["crun", "runc"], ...] = ("crun", "runc")


def enclose_path() -> Path:
    """Built beside the extensions."""
    return Path(drop.__file__).with_name("_fast") / "enclose"


def find_runtime_now(
    directory: Path, groups: Groups, commands: Commands, environ: Mapping[str, str]
) -> Runtime | str:
    """The runtime, or why there is none. Slow; for a thread of its own."""
    if os.geteuid() != 0:
        return "starting containers without an engine takes a node that runs as root"
    enclose = enclose_path()
    if not enclose.exists():
        return f"{enclose} is not built: python build_ext.py enclose"
    problems = []
    for name in _NAMES:
        path = program(name, environ)
        if path is None:
            problems.append(f"{name} is not installed")
            continue
        unmount = hybrid_mount(Path("/proc/self/mounts").read_text()) if name == "crun" else None
        runtime = Runtime(name, path, _version(commands, path), str(enclose), unmount)
        problem = _try(runtime, directory, groups, commands)
        if not problem:
            return runtime
        problems.append(f"{name}: {problem}")
    return "; ".join(problems)


def hybrid_mount(mounts: str) -> str | None:
    """The tree of cgroup v2 mounted beside v1, with which crun refuses to work: it looks for it at
    this place. It is unmounted for crun alone, never on the machine."""
    lines = [line.split() for line in mounts.splitlines()]
    here = any(fields[1:3] == [HYBRID, "cgroup2"] for fields in lines)
    return HYBRID if here else None


def load_profile() -> Mapping[str, Any] | None:
    """What podman filters system calls by; None where it is not installed or cannot be read."""
    for path in seccomp.PROFILES:
        try:
            profile = json.loads(Path(path).read_text())
        except (OSError, ValueError):
            continue
        if isinstance(profile, dict):
            return profile
    return None


def filter_for(profile: Mapping[str, Any] | None, account: Account) -> dict[str, Any] | None:
    """Of system calls, for a container that runs as `account`."""
    if profile is None:
        return None
    capabilities = oci.ROOT_CAPABILITIES if account.uid == 0 else ()
    try:
        return seccomp.runtime_profile(profile, os.uname().machine, capabilities)
    except (KeyError, TypeError):
        return None


def _try(runtime: Runtime, directory: Path, groups: Groups, commands: Commands) -> str:
    """What is wrong with it; empty when it works."""
    shutil.rmtree(directory, ignore_errors=True)
    for name in ("rootfs", "bundle", "scratch"):
        (directory / name).mkdir(parents=True, mode=0o700)
    limited = not groups.problem
    try:
        if limited:
            groups.make("probe", PROBE_MIB, 64)
        return _run(runtime, directory, groups, commands, limited=limited)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    finally:
        groups.remove("probe")
        shutil.rmtree(directory, ignore_errors=True)


def _run(
    runtime: Runtime, directory: Path, groups: Groups, commands: Commands, *, limited: bool
) -> str:
    container = _nothing()
    document = oci.config(
        container,
        root=str(directory / "scratch" / "root"),
        env={"PATH": "/usr/bin:/bin"},
        hostname="probe",
        seccomp=filter_for(load_profile(), container.account),
        cgroup=None if runtime.enters_groups or not limited else groups.inner("probe"),
    )
    (directory / "bundle" / "config.json").write_text(json.dumps(document))
    argv = runtime_argv(
        runtime,
        name="probe",
        bundle=str(directory / "bundle"),
        scratch=str(directory / "scratch"),
        lower=str(directory / "rootfs"),
        writable_mib=container.writable_mib,
        read_only=False,
        groups=groups.entrances("probe") if limited and runtime.enters_groups else (),
    )
    done = commands.run_now(argv, env={"PATH": "/usr/bin:/bin"}, seconds=PROBE_SECONDS)
    return done.complaint if done.code else ""


def _nothing() -> Container:
    own = tuple(
        Volume(path, path, read_only=True) for path in SYSTEM_DIRECTORIES if os.path.isdir(path)
    )
    return Container(
        command=("true",),
        env=(),
        account=Account(NOBODY, NOBODY),
        workdir="/",
        network="none",
        limits=Limits(memory_mib=PROBE_MIB),
        settings=Settings(volumes=own),
    )


def _version(commands: Commands, path: str) -> str:
    said = commands.run_now([path, "--version"], env={}, seconds=PROBE_SECONDS).stdout
    words = (said.splitlines() or [""])[0].split()
    return words[-1] if words else "of an unknown version"
