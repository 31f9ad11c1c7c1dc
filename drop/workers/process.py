"""One worker's process: start it, signal its group, reap it. Decides nothing, waits for nothing.

    prepare(command, containment, groups) -> Recipe      once for a pool
    launch(recipe, slot) -> Process                      for each of its workers

Who owns what: the three pipes belong to the `Process` until they are taken (the reactor closes
stdin and stdout, the logger stderr); the pidfd is its own until `reap`.

A process id is a name that the kernel gives to somebody else once the process is reaped, and so is
the id of its group. Both are safe to signal exactly as long as the leader, dead or alive, has not
been reaped. So the group is killed first and the leader reaped last, in one function. What opened
a session of its own is in another group by then, but still in the slot's control group, so that is
killed as well.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from errno import errorcode
from shlex import join
from typing import Any, NamedTuple, Protocol

from drop._fast import spawn
from drop.workers.advice import HOPELESS, advice_of_step

NUMBER_VARIABLE = "DROP_WORKER"
"""Holds the worker's number in its pool, counted from 1: one more than its slot's."""


class LaunchError(Exception):
    """A worker could not be started; the text has the command, the reason and what to do."""

    def __init__(self, text: str, *, hopeless: bool) -> None:
        super().__init__(text)
        self.hopeless = hopeless
        """Trying again will not help before somebody changes something."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to start. A program without a slash is looked for in the PATH of `environment`."""

    argv: tuple[str, ...]
    cwd: str | None
    environment: Mapping[str, str]
    user: str = ""
    """Who it runs as, for those who read why it does not."""


class Groups(Protocol):
    """The control groups of a pool."""

    @property
    def directories(self) -> tuple[str, ...]: ...
    @property
    def slots(self) -> int: ...
    def prepare(self, slot: int) -> None:
        """Make those of a slot. Raises OSError."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: one of the first two is given, or none when somebody else reaped it."""

    code: int | None = None
    signal: int | None = None
    out_of_memory_mib: int | None = None
    """Its limit, when the kernel killed it, or one that it had started, for lack of memory."""

    @property
    def clean(self) -> bool:
        return self.code == 0

    def __str__(self) -> str:
        ended = self._ended()
        if self.out_of_memory_mib is None:
            return ended
        memory = f"out of memory, limit {self.out_of_memory_mib} MiB"
        if self.signal == signal.SIGKILL:
            return f"killed: {memory}"
        return f"{ended}; a process that it had started was killed: {memory}"

    def _ended(self) -> str:
        if self.code is not None:
            return f"exit code {self.code}"
        if self.signal is None:
            return "ended, and somebody else took its exit code"
        with suppress(ValueError):
            return f"killed by {signal.Signals(self.signal).name}"
        return f"killed by signal {self.signal}"


class Recipe:
    """How the workers of one pool are started; `native` is for the dataplane's own threads."""

    def __init__(
        self, native: spawn.Recipe, command: Command, groups: Groups | None, memory_mib: int | None
    ) -> None:
        self.native = native
        self.command = command
        self._groups = groups
        self._memory_mib = memory_mib

    def prepare_slot(self, slot: int) -> None:
        """What a process in the slot needs that is made when first used. Raises OSError."""
        if self._groups is not None:
            self._groups.prepare(slot)

    def prepare_all(self) -> None:
        """For those who start processes from native code. Raises OSError."""
        for slot in range(self.native.slots):
            self.prepare_slot(slot)

    def memory_kills(self, slot: int) -> int:
        """How often a process of the slot was killed for lack of memory, ever."""
        return 0 if self._memory_mib is None else self.native.oom_kills(slot)

    def exhausted(self, slot: int, kills_before: int) -> int | None:
        """The limit of memory, if it was reached since then."""
        return self._memory_mib if self.memory_kills(slot) > kills_before else None


class _Place(NamedTuple):
    """Where a process runs."""

    recipe: Recipe
    slot: int
    kills_before: int  # for lack of memory, of those that were in the slot before it


class Process:
    """A worker that runs, or has ended and waits to be reaped."""

    def __init__(
        self, place: _Place, pid: int, pidfd: int, stdin: int, stdout: int, stderr: int
    ) -> None:
        self._place = place
        self.pid = pid
        """Also the id of its process group and its session."""
        self.pidfd = pidfd
        """Readable when the process has ended."""
        self._pipes: tuple[int, int] | None = (stdin, stdout)
        self._stderr: int | None = stderr
        self._reaped = False
        self.when_reaped: Callable[[], None] | None = None
        """What to take back when the process has ended: what it was given besides its pipes."""

    def take_pipes(self) -> tuple[int, int]:
        """The writing end of stdin and the reading end of stdout; the caller's from here on."""
        assert self._pipes is not None, "the pipes were taken before"
        pipes, self._pipes = self._pipes, None
        return pipes

    def take_stderr(self) -> int:
        """The reading end of its stderr; the caller's from here on."""
        assert self._stderr is not None, "stderr was taken before"
        stderr, self._stderr = self._stderr, None
        return stderr

    def signal_group(self, *, kill: bool) -> None:
        """SIGTERM, or SIGKILL, to the process and all of its group; nothing once it was reaped."""
        if not self._reaped:
            # EPERM: what is left of the group runs as somebody else (a setuid program).
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL if kill else signal.SIGTERM)

    def reap(self) -> Exit:
        """Kill the group, take the exit status, kill what is left in the slot; close the pidfd and
        the pipes that nobody took.

        To be called once, when the pidfd is readable. A process that still runs is killed.
        """
        self.signal_group(kill=True)
        self._reaped = True
        ended = self._wait()
        self._place.recipe.native.kill_slot(self._place.slot)
        os.close(self.pidfd)
        for fd in (*(self._pipes or ()), self._stderr):
            if fd is not None:
                os.close(fd)
        self._pipes = self._stderr = None
        if self.when_reaped is not None:
            self.when_reaped()
        return ended

    def _wait(self) -> Exit:
        try:
            ended = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        except ChildProcessError:
            return Exit()
        assert ended is not None
        recipe, slot, kills_before = self._place
        memory = recipe.exhausted(slot, kills_before)
        if ended.si_code == os.CLD_EXITED:
            return Exit(code=ended.si_status, out_of_memory_mib=memory)
        return Exit(signal=ended.si_status, out_of_memory_mib=memory)


def prepare(
    command: Command,
    arguments: Mapping[str, Any] | None = None,
    *,
    groups: Groups | None = None,
    memory_mib: int | None = None,
) -> Recipe:
    """Everything that the starts of a pool have in common. Raises LaunchError.

    `arguments`: those of a `Containment`. `memory_mib`: the limit that `groups` keep.
    """
    environment = {
        name: value for name, value in command.environment.items() if name != NUMBER_VARIABLE
    }
    try:
        native = spawn.Recipe(
            [os.fsencode(argument) for argument in command.argv],
            env=[os.fsencode(f"{name}={value}") for name, value in environment.items()],
            cwd=None if command.cwd is None else os.fsencode(command.cwd),
            number_variable=NUMBER_VARIABLE.encode(),
            groups=[os.fsencode(path) for path in groups.directories] if groups else [],
            slots=groups.slots if groups and groups.directories else 0,
            **(arguments or {}),
        )
    except (OSError, ValueError) as error:
        raise _launch_error(error, command) from None
    return Recipe(native, command, groups, memory_mib)


def launch(recipe: Recipe | Command, slot: int = 0) -> Process:
    """Start a worker with three new pipes, in a slot where none is left. Raises LaunchError.

    The process is killed when the calling thread ends, so that no worker survives its node: call it
    from a thread that lives as long as the node. Takes about as long as the kernel needs to find
    and map the program; other threads go on. A bare command is one that nothing is kept from.
    """
    if isinstance(recipe, Command):
        recipe = prepare(recipe)
    pipes: list[int] = []
    try:
        recipe.prepare_slot(slot)
        place = _Place(recipe, slot, recipe.memory_kills(slot))
        for _ in range(3):
            pipes += os.pipe()  # O_CLOEXEC, both ends
        stdin, to_stdin, from_stdout, stdout, from_stderr, stderr = pipes
        pid, pidfd = recipe.native.spawn(slot, stdin=stdin, stdout=stdout, stderr=stderr)
    except (OSError, ValueError) as error:
        for fd in pipes:
            os.close(fd)
        raise _launch_error(error, recipe.command) from None
    for fd in (stdin, stdout, stderr):
        os.close(fd)
    return Process(place, pid, pidfd, to_stdin, from_stdout, from_stderr)


def explain(command: Command, number: int, step: str) -> LaunchError:
    """What to say when `step` of a start ("cannot execute") failed with errno `number`."""
    where = f" (in {command.cwd})" if command.cwd is not None else ""
    name = errorcode.get(number, number)
    text = f"{join(command.argv)}{where}: {step}: {os.strerror(number)} ({name})"
    path = command.environment.get("PATH", "")
    if help_ := advice_of_step(step, number, command.argv[0], command.cwd, path, command.user):
        text += f"; {help_}"
    return LaunchError(text, hopeless=number in HOPELESS)


def _launch_error(error: OSError | ValueError, command: Command) -> LaunchError:
    if isinstance(error, ValueError):  # a NUL byte: the kernel has no way to take it
        where = f" (in {command.cwd})" if command.cwd is not None else ""
        return LaunchError(f"{join(command.argv)}{where}: {error}", hopeless=True)
    if isinstance(error, spawn.SpawnError):
        step = error.step
    elif isinstance(error.filename, str):
        step = f"cannot make the control group {error.filename}"
    else:
        step = "cannot make pipes"
    return explain(command, error.errno or 0, step)
