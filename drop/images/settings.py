"""From the options of a reference to the settings of a container; what needs an engine. Pure.

A bundle that is started directly knows the options that are plain facts of the OCI format. Any
other is no error: `Settings.engine_only` then names the first one, and podman or docker runs the
container, slower, as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil

from drop.images.faults import ReferenceFault
from drop.images.reference import Option, Reference

MEMORY_MIB_MIN = 8
"""Of a container: crun itself takes about 2 MiB of it, podman refuses less than 6."""
WRITABLE_MIB = 256
"""What a container without a memory limit may write to its own file system, which is memory."""

_MIB = 1 << 20
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": _MIB, "g": 1 << 30, "t": 1 << 40}
_MEMORY = re.compile(r"(\d{1,15})([bkmgt]?)b?\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_HOSTNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,62}\Z")
_TMPFS_OPTION = re.compile(
    r"(?:rw|ro|nosuid|nodev|noexec|exec|size=\d{1,12}[kmg%]?|mode=[0-7]{3,4})\Z"
)
PULL = ("always", "missing", "never", "newer")
NETWORKS = ("none", "host")  # that take no engine


@dataclass(frozen=True, slots=True)
class Volume:
    """A directory or file of the machine, seen in the container."""

    source: str
    target: str
    read_only: bool

    @property
    def option(self) -> Option:
        """As an engine takes it."""
        flags = "ro" if self.read_only else "rw"
        return Option("volume", f"{self.source}:{self.target}:{flags}")


@dataclass(frozen=True, slots=True)
class Settings:
    """How each container of one function is set up; None: as the image says, or by default."""

    network: str | None = None
    memory_mib: int | None = None
    volumes: tuple[Volume, ...] = ()
    tmpfs: tuple[tuple[str, tuple[str, ...]], ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    user: str | None = None
    workdir: str | None = None
    entrypoint: tuple[str, ...] | None = None
    hostname: str | None = None
    processes: int | None = None
    read_only: bool = False
    pull: str = "never"
    engine_only: str = ""
    """What no bundle can do, for people; empty when there is nothing."""


def settings_of(reference: Reference) -> Settings:
    """Raises ReferenceFault for a value that nobody could take."""
    settings = Settings()
    for option in reference.options:
        taken = _TAKEN.get(option.name, _leave_to_engine)
        settings = taken(settings, option)
    return settings


def _leave_to_engine(settings: Settings, option: Option) -> Settings:
    if option.value == "false" or settings.engine_only:
        return settings
    return replace(settings, engine_only=f"the option --{option.name}")


def _nothing(settings: Settings, option: Option) -> Settings:
    """What is so anyway, or is a matter of who looks at a list of containers."""
    return settings


def _network(settings: Settings, option: Option) -> Settings:
    if option.value not in NETWORKS:
        settings = _leave_to_engine(settings, replace(option, name=f"network={option.value}"))
    return replace(settings, network=option.value)


def _memory(settings: Settings, option: Option) -> Settings:
    found = _MEMORY.match(option.value.lower())
    mib = ceil(int(found[1]) * _UNITS[found[2]] / _MIB) if found else 0
    if mib < MEMORY_MIB_MIN:
        raise ReferenceFault(
            f"found --memory={option.value}", f"at least {MEMORY_MIB_MIN}m, such as 64m or 1g"
        )
    return replace(settings, memory_mib=mib)


def _volume(settings: Settings, option: Option) -> Settings:
    source, _, rest = option.value.partition(":")
    target, _, flags = rest.partition(":")
    if not source or not _absolute(target):
        raise ReferenceFault(f"found --volume={option.value}", "--volume=DIRECTORY:DIRECTORY[:ro]")
    if source.startswith((".", "~")) or ("/" in source and not _absolute(source)):
        raise ReferenceFault(
            f"found --volume={option.value}",
            "a source that begins with / and has no .., or a volume's name",
        )
    if not source.startswith("/") or flags not in ("", "ro", "rw"):
        return _leave_to_engine(settings, replace(option, name=f"volume={option.value}"))
    volume = Volume(source, target, flags == "ro")
    return replace(settings, volumes=(*settings.volumes, volume))


def _tmpfs(settings: Settings, option: Option) -> Settings:
    target, _, text = option.value.partition(":")
    if not _absolute(target):
        raise ReferenceFault(f"found --tmpfs={option.value}", "--tmpfs=DIRECTORY[:size=64m]")
    options = tuple(filter(None, text.split(",")))
    if not all(_TMPFS_OPTION.match(each) for each in options):
        return _leave_to_engine(settings, replace(option, name=f"tmpfs={option.value}"))
    return replace(settings, tmpfs=(*settings.tmpfs, (target, options)))


def _env(settings: Settings, option: Option) -> Settings:
    name, equals, value = option.value.partition("=")
    if not equals or not _VARIABLE.match(name):
        raise ReferenceFault(
            f"found --env={name}", "--env=NAME=VALUE; the node's own variables are not passed on"
        )
    return replace(settings, env=(*settings.env, (name, value)))


def _entrypoint(settings: Settings, option: Option) -> Settings:
    if option.value.startswith("["):  # podman's form with several arguments
        return _leave_to_engine(settings, option)
    return replace(settings, entrypoint=(option.value,) if option.value else ())


def _workdir(settings: Settings, option: Option) -> Settings:
    if not _absolute(option.value):
        raise ReferenceFault(f"found --workdir={option.value}", "a directory that begins with /")
    return replace(settings, workdir=option.value)


def _hostname(settings: Settings, option: Option) -> Settings:
    if not _HOSTNAME.match(option.value):
        raise ReferenceFault(f"found --hostname={option.value}", "a host's name")
    return replace(settings, hostname=option.value)


def _processes(settings: Settings, option: Option) -> Settings:
    if not option.value.isdecimal() or int(option.value) < 1:
        return _leave_to_engine(settings, option)
    return replace(settings, processes=int(option.value))


def _pull(settings: Settings, option: Option) -> Settings:
    if option.value not in PULL:
        raise ReferenceFault(f"found --pull={option.value}", "one of " + ", ".join(PULL))
    return replace(settings, pull=option.value)


def _security(settings: Settings, option: Option) -> Settings:
    """No container gets new privileges, so it may be said."""
    if option.value.replace("=", ":") in ("no-new-privileges", "no-new-privileges:true"):
        return settings
    return _leave_to_engine(settings, option)


def _absolute(path: str) -> bool:
    return path.startswith("/") and ".." not in path.split("/")


_TAKEN: Mapping[str, Callable[[Settings, Option], Settings]] = {
    "network": _network,
    "memory": _memory,
    "volume": _volume,
    "tmpfs": _tmpfs,
    "env": _env,
    "user": lambda settings, option: replace(settings, user=option.value),
    "workdir": _workdir,
    "entrypoint": _entrypoint,
    "hostname": _hostname,
    "pids-limit": _processes,
    "read-only": lambda settings, option: replace(settings, read_only=option.value == "true"),
    "pull": _pull,
    "security-opt": _security,
    "label": _nothing,
    "quiet": _nothing,
    "no-healthcheck": _nothing,
    "log-driver": _nothing,
}
