"""One worker's process: start it, signal its group, reap it. Decides nothing, waits for nothing.

Who owns what: the three pipes belong to the `Process` until they are taken (the reactor closes
stdin and stdout, the logger stderr); the pidfd is its own until `reap`.

A process id is a name that the kernel gives to somebody else once the process is reaped, and so is
the id of its group. Both are safe to signal exactly as long as the leader, dead or alive, has not
been reaped. So the group is killed first and the leader reaped last, in one function.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from errno import errorcode
from shlex import join

from drop._fast.spawn import spawn
from drop.workers.advice import HOPELESS, advice


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


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: one of the two is given, or none when somebody else reaped it."""

    code: int | None = None
    signal: int | None = None

    @property
    def clean(self) -> bool:
        return self.code == 0

    def __str__(self) -> str:
        if self.code is not None:
            return f"exit code {self.code}"
        if self.signal is None:
            return "ended, and somebody else took its exit code"
        with suppress(ValueError):
            return f"killed by {signal.Signals(self.signal).name}"
        return f"killed by signal {self.signal}"


class Process:
    """A worker that runs, or has ended and waits to be reaped."""

    def __init__(self, pid: int, pidfd: int, stdin: int, stdout: int, stderr: int) -> None:
        self.pid = pid
        """Also the id of its process group and its session."""
        self.pidfd = pidfd
        """Readable when the process has ended."""
        self._pipes: tuple[int, int] | None = (stdin, stdout)
        self._stderr: int | None = stderr
        self._reaped = False

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
        """Kill the group, take the exit status, close the pidfd and the pipes that nobody took.

        To be called once, when the pidfd is readable. A process that still runs is killed.
        """
        self.signal_group(kill=True)
        self._reaped = True
        ended = _wait(self.pidfd)
        os.close(self.pidfd)
        for fd in (*(self._pipes or ()), self._stderr):
            if fd is not None:
                os.close(fd)
        self._pipes = self._stderr = None
        return ended


def launch(command: Command) -> Process:
    """Start a worker with three new pipes. Raises LaunchError.

    The process is killed when the calling thread ends, so that no worker survives its node: call it
    from a thread that lives as long as the node. Takes about as long as the kernel needs to find
    and map the program; other threads go on.
    """
    pipes: list[int] = []
    try:
        for _ in range(3):
            pipes += os.pipe()  # O_CLOEXEC, both ends
        stdin, to_stdin, from_stdout, stdout, from_stderr, stderr = pipes
        pid, pidfd = spawn(
            [os.fsencode(argument) for argument in command.argv],
            env=[os.fsencode(f"{key}={value}") for key, value in command.environment.items()],
            cwd=None if command.cwd is None else os.fsencode(command.cwd),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )
    except (OSError, ValueError) as error:
        for fd in pipes:
            os.close(fd)
        raise _launch_error(error, command) from None
    for fd in (stdin, stdout, stderr):
        os.close(fd)
    return Process(pid, pidfd, to_stdin, from_stdout, from_stderr)


def _wait(pidfd: int) -> Exit:
    try:
        ended = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    except ChildProcessError:
        return Exit()
    assert ended is not None
    if ended.si_code == os.CLD_EXITED:
        return Exit(code=ended.si_status)
    return Exit(signal=ended.si_status)


def _launch_error(error: OSError | ValueError, command: Command) -> LaunchError:
    where = f" (in {command.cwd})" if command.cwd is not None else ""
    if isinstance(error, ValueError):  # a NUL byte: the kernel has no way to take it
        return LaunchError(f"{join(command.argv)}{where}: {error}", hopeless=True)
    number = error.errno or 0
    text = f"{join(command.argv)}{where}: {error.strerror} ({errorcode.get(number, number)})"
    path = command.environment.get("PATH", "")
    if help_ := advice(number, command.argv[0], command.cwd, path):
        text += f"; {help_}"
    return LaunchError(text, hopeless=number in HOPELESS)
