"""The command that starts one worker: by a runtime on a bundle, or by an engine. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from drop.images.container import Container
from drop.images.image_config import ImageConfig
from drop.images.reference import Option

RUNTIME_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
"""Of the runtime itself, not of the container."""

_MIB = 1 << 20
# Given by us, and once only: podman adds networks up, and a second value is an error.
_OWN = frozenset({"network", "user", "workdir", "memory", "pids-limit", "pull"})
# A variable of these names would change what podman or docker itself does.
_ENGINES_OWN = frozenset({"PATH", "HOME", "USER", "TMPDIR", "LANG"})
_ENGINES_OWN_PREFIXES = ("XDG_", "DOCKER_", "CONTAINER_", "CONTAINERS_", "STORAGE_", "REGISTRY_")


@dataclass(frozen=True, slots=True)
class Runtime:
    """crun or runc, and what it needs on this machine."""

    kind: Literal["crun", "runc"]
    path: str
    version: str
    enclose: str
    unmount: str | None = None
    """What is not to be there for it, such as the tree of cgroup v2 beside v1."""

    @property
    def enters_groups(self) -> bool:
        """crun can be told to stay where it is; runc makes a group of its own in any case."""
        return self.kind == "crun"

    def __str__(self) -> str:
        without = f", without {self.unmount}" if self.unmount else ""
        return f"{self.kind} {self.version} ({self.path}{without})"


@dataclass(frozen=True, slots=True)
class Start:
    """What to spawn for one worker, with plain pipes; `name` is for what comes afterwards."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    by_engine: bool
    reusable: bool = False
    """Whether it may be spawned again, also while it runs: nothing in it is for one worker."""


def runtime_argv(
    runtime: Runtime,
    *,
    name: str,
    bundle: str,
    scratch: str,
    lower: str,
    writable_mib: int,
    groups: Iterable[str],
) -> tuple[str, ...]:
    """`bundle` holds config.json, whose root is SCRATCH/root; `lower` is the image's own."""
    argv = [runtime.enclose]
    for group in groups:
        argv += ["-g", group]
    if runtime.unmount is not None:
        argv += ["-u", runtime.unmount]
    argv += ["-s", scratch, "-z", str(writable_mib), "-l", lower]
    argv += [runtime.path, "--root", f"{scratch}/state"]
    if runtime.kind == "crun":
        argv += ["--cgroup-manager", "disabled"]
    argv += ["run", "--bundle", bundle, "--pid-file", f"{scratch}/pid", name]
    return tuple(argv)


def engine_argv(
    engine: Sequence[str],
    kind: Literal["podman", "docker"],
    *,
    name: str,
    labels: Iterable[str],
    image: ImageConfig,
    container: Container,
    options: Iterable[Option],
    cmd: Sequence[str],
    env: Mapping[str, str],
    limits: Sequence[str] = (),
) -> tuple[str, ...]:
    """`run --rm -i` and what makes it a worker; the options of the reference win over ours.

    The values of variables are not in it, since everybody can read a command line: the engine takes
    them from its own environment (`engine_env`).
    """
    argv = [*engine, "run", "--rm", "--interactive", "--name", name]
    argv += [f"--label={label}" for label in labels]
    argv += ["--pull=never", "--log-driver=none", "--security-opt=no-new-privileges"]
    if kind == "podman":
        argv.append("--http-proxy=false")
    argv += _own(container)
    argv += limits
    argv += [option.argument for option in options if option.name not in _OWN]
    for variable, value in env.items():
        argv += ["--env", f"{variable}={value}" if _is_engines(variable) else variable]
    return (*argv, image.id, *cmd)


def engine_env(own: Mapping[str, str], env: Mapping[str, str]) -> dict[str, str]:
    """Of the engine's process: what it needs itself, and the worker's variables."""
    return {name: value for name, value in env.items() if not _is_engines(name)} | dict(own)


def _own(container: Container) -> list[str]:
    account, limits, settings = container.account, container.limits, container.settings
    argv = [
        f"--network={container.network}",
        f"--user={settings.user or f'{account.uid}:{account.gid}'}",
        f"--workdir={container.workdir}",
        f"--pids-limit={limits.processes}",
        f"--ulimit=nofile={limits.open_files}:{limits.open_files}",
        f"--ulimit=core={limits.core_mib * _MIB}:{limits.core_mib * _MIB}",
    ]
    if settings.user is None:
        argv += [f"--group-add={gid}" for gid in account.groups]
    if limits.memory_mib is not None:
        argv.append(f"--memory={limits.memory_mib}m")
    if limits.file_size_mib is not None:
        size = limits.file_size_mib * _MIB
        argv.append(f"--ulimit=fsize={size}:{size}")
    return argv


def _is_engines(name: str) -> bool:
    return name in _ENGINES_OWN or name.startswith(_ENGINES_OWN_PREFIXES)
