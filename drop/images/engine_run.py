"""How `podman run` has to be called on this machine: tried once, and what it leaves is removed.

Machines differ in what podman may use: a runtime that does not like the mounts of the control
groups, no systemd to make groups, a limit that must not be raised. `podman init` does all that
`podman run` does short of executing the program, so it is the trial.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from drop.images.engine import EngineCalls, program
from drop.images.faults import ImageError

INIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RunFlags:
    """In front of `run`, and behind it."""

    engine: tuple[str, ...] = ()
    run: tuple[str, ...] = ()


def find_flags_now(calls: EngineCalls, image: str, label: str, open_files: int) -> RunFlags:
    """For a thread of its own. Raises ImageError with what podman says without any flags."""
    if calls.engine.kind == "docker":  # its daemon has its own rights, and its own configuration
        return RunFlags()
    run = _process_limit()
    problem = ""
    for flags in _candidates(calls.environment):
        said = _try(calls, flags, run, image, label, open_files)
        if not said:
            return RunFlags(flags, run)
        problem = problem or said
    raise ImageError(f"podman cannot start a container on this machine: {problem}")


def _candidates(environment: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    """None first, then what each restriction known needs."""
    runc = program("runc", environment)
    runtimes: list[tuple[str, ...]] = [(), *([("--runtime", runc)] if runc else [])]
    for groups in ((), ("--cgroup-manager", "cgroupfs")):
        for runtime in runtimes:
            yield (*groups, *runtime)


def _process_limit() -> tuple[str, ...]:
    """podman sets a high limit by itself, which takes a right that a restricted root lacks. Ours is
    one that may be set; what a worker may have is limited by its control group."""
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    if hard == resource.RLIM_INFINITY:
        return ()
    return (f"--ulimit=nproc={hard}:{hard}",)


def _try(
    calls: EngineCalls,
    flags: tuple[str, ...],
    run: tuple[str, ...],
    image: str,
    label: str,
    open_files: int,
) -> str:
    """What podman complains of; empty when it works."""
    limits = (*run, f"--ulimit=nofile={open_files}:{open_files}")
    made = calls.now(
        *flags, "create", "--network", "none", "--label", label, *limits, image, "drop-probe"
    )
    if made.code:
        return made.complaint
    container = made.stdout.split()[-1]
    # The program does not exist, and that is looked at when it is executed, which is later.
    done = calls.now(*flags, "init", container, seconds=INIT_SECONDS)
    calls.now(*flags, "rm", "--force", container)
    return done.complaint if done.code else ""
