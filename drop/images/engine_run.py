"""How `podman run` has to be called on this machine: tried once, and what it leaves is removed.

Machines differ in what podman may use: a runtime that does not like the mounts of the control
groups, no systemd to make groups, a limit that must not be raised. `podman init` does all that
`podman run` does short of executing the program, so it is the trial.
"""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from drop.images.container import Container
from drop.images.engine import EngineCalls, program
from drop.images.faults import ImageError

INIT_SECONDS = 60.0
PROCESSES_MAX = 32_768
"""podman 4.3 gives itself no higher limit than this, whatever it was started with."""


@dataclass(frozen=True, slots=True)
class RunFlags:
    """In front of `run`, and behind it."""

    engine: tuple[str, ...] = ()
    run: tuple[str, ...] = ()


def find_flags_now(calls: EngineCalls, image: str, container: Container, label: str) -> RunFlags:
    """For a thread of its own. Raises ImageError with all that podman says."""
    if calls.engine.kind == "docker":  # its daemon has its own rights, and its own configuration
        return RunFlags()
    run = _process_limit()
    arguments = [
        *("--network", "none", "--label", label, "--entrypoint", json.dumps(container.command)),
        f"--ulimit=nofile={container.limits.open_files}:{container.limits.open_files}",
        *run,
        image,
    ]
    problems: dict[str, None] = {}  # in their order, each once
    for flags in _candidates(calls.environment):
        problem = _try(calls, flags, arguments)
        if not problem:
            return RunFlags(flags, run)
        problems[problem] = None
    raise ImageError(f"podman cannot start a container of it here: {'; '.join(problems)}")


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
    processes = min(hard, PROCESSES_MAX)
    return (f"--ulimit=nproc={processes}:{processes}",)


def _try(calls: EngineCalls, flags: Sequence[str], arguments: Sequence[str]) -> str:
    """What podman complains of; empty when it works."""
    made = calls.now(*flags, "create", *arguments)
    if made.code:
        return made.complaint
    container = made.stdout.split()[-1]
    done = calls.now(*flags, "init", container, seconds=INIT_SECONDS)
    calls.remove_now(container)
    return done.complaint if done.code else ""
