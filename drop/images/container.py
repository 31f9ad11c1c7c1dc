"""What one container is, whoever runs it: command, environment, user, directory, limits. Pure.

what the image says  <  what the options of `image:` say  <  what the function says
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drop.images.account import Account, account_of
from drop.images.faults import ImageError
from drop.images.image_config import Facts
from drop.images.settings import MEMORY_MIB_MIN, WRITABLE_MIB, Settings

HOME = "/home/drop"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""For an image that says none, as podman and docker have it."""
PROCESSES = 512
OPEN_FILES = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one worker; None: none."""

    memory_mib: int | None = None
    processes: int = PROCESSES
    open_files: int = OPEN_FILES
    file_size_mib: int | None = None
    core_mib: int = 0


@dataclass(frozen=True, slots=True)
class Container:
    """All that is the same for every worker of a function, but the environment."""

    command: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    """Of the image and the options."""
    account: Account
    workdir: str
    network: str
    limits: Limits
    settings: Settings

    @property
    def writable_mib(self) -> int:
        return self.limits.memory_mib or WRITABLE_MIB


def container_of(
    facts: Facts, settings: Settings, cmd: Sequence[str], limits: Limits, network: str
) -> Container:
    """Raises ImageError when there is no command, no such user, or too little memory."""
    account = account_of(settings.user, facts.config.user, facts.passwd, facts.group)
    return Container(
        command=_command(facts, settings, cmd),
        env=_env(facts, settings, account),
        account=account,
        workdir=_workdir(facts, settings),
        network=settings.network or network,
        limits=_limits(settings, limits),
        settings=settings,
    )


def worker_env(container: Container, own: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of one worker; `own`: DROP_*, LANG, TZ and what the flow names."""
    return dict(container.env) | dict(own)


def _command(facts: Facts, settings: Settings, cmd: Sequence[str]) -> tuple[str, ...]:
    """As everywhere: an entrypoint stays, and `cmd` takes the place of the image's arguments.

    An entrypoint that is given as an option belongs to another program than those arguments.
    """
    entrypoint, arguments = facts.config.entrypoint, facts.config.command
    if settings.entrypoint is not None:
        entrypoint, arguments = settings.entrypoint, ()
    command = (*entrypoint, *(cmd or arguments))
    if not command or not command[0]:
        raise ImageError("the image has no command of its own: the function needs the key cmd")
    return command


def _env(facts: Facts, settings: Settings, account: Account) -> tuple[tuple[str, str], ...]:
    pairs = (each.partition("=") for each in facts.config.env)
    image = {name: value for name, equals, value in pairs if name and equals}
    merged = {"PATH": PATH, "HOME": account.home} | image | dict(settings.env)
    return tuple(merged.items())


def _workdir(facts: Facts, settings: Settings) -> str:
    workdir = settings.workdir or (HOME if facts.has_home else facts.config.workdir)
    return workdir if workdir.startswith("/") else "/"


def _limits(settings: Settings, limits: Limits) -> Limits:
    """An option wins: it stands behind what the function's keys become."""
    memory = settings.memory_mib or limits.memory_mib
    if memory is not None and memory < MEMORY_MIB_MIN:
        raise ImageError(
            f"memory: {memory} MiB is too little for a container; at least {MEMORY_MIB_MIN}"
        )
    return Limits(
        memory_mib=memory,
        processes=settings.processes or limits.processes,
        open_files=limits.open_files,
        file_size_mib=limits.file_size_mib,
        core_mib=limits.core_mib,
    )
