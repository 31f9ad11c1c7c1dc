"""The process of an MCP server program: started, written to, read line by line, ended.

It stays in the adapter's process group, which the node signals as a whole, and dies with the
adapter. Its stderr is the adapter's, which is the log.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress

PR_SET_PDEATHSIG = 1


class ServerProcess:
    """One run of the program; `on_line` gets what it writes, `on_end` is told once how it ended.

    With the way it ended comes whether there is no use in starting it again.
    """

    def __init__(
        self,
        command: Sequence[str],
        line_max: int,
        grace_s: float,
        on_line: Callable[[bytes], None],
        on_end: Callable[[str, bool], None],
    ) -> None:
        self._command = command
        self._line_max = line_max
        self._grace_s = grace_s
        self._on_line = on_line
        self._on_end = on_end
        self._early: list[bytes] = []  # written before the process was there
        self._process: asyncio.subprocess.Process | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())

    def send(self, line: bytes) -> None:
        """Write a line, now or as soon as the process is there."""
        if self._process is None:
            self._early.append(line)
        elif self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(line + b"\n")

    async def drain(self) -> None:
        """Wait until the program has read most of what was sent."""
        if self._process is not None and self._process.stdin is not None:
            with suppress(ConnectionError):  # its end is told by the task that reads
                await self._process.stdin.drain()

    async def stop(self) -> None:
        """End of file, then SIGTERM, then SIGKILL, with a grace before each."""
        process = self._process
        if process is None:
            self._task.cancel()
            return
        if process.stdin is not None:
            process.stdin.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            done, _ = await asyncio.wait({self._task}, timeout=self._grace_s)
            if done:
                return
            with suppress(ProcessLookupError):
                process.send_signal(number)
        await asyncio.wait({self._task}, timeout=self._grace_s)

    async def _run(self) -> None:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=self._line_max,
                preexec_fn=_die_with_parent(),
            )
        except OSError as error:
            hopeless = isinstance(error, FileNotFoundError | PermissionError)
            self._on_end(f"cannot be started: {self._command[0]}: {error.strerror}", hopeless)
            return
        assert process.stdout is not None
        self._process = process
        early, self._early = self._early, []
        for line in early:
            self.send(line)
        async for line in lines(process.stdout):
            self._on_line(line)
        self._on_end(await self._end(process), False)

    async def _end(self, process: asyncio.subprocess.Process) -> str:
        """How it ended. One that has closed its stdout, or writes no lines, is of no more use."""
        try:
            async with asyncio.timeout(self._grace_s):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
        code = await process.wait()
        if code < 0:
            return f"was ended by signal {-code} ({signal.strsignal(-code)})"
        return f"ended with exit code {code}"


async def lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The lines without their ends, until the end or a line that is longer than the limit."""
    with suppress(ValueError):
        while line := await reader.readline():
            yield line.rstrip(b"\r\n")


def _die_with_parent() -> Callable[[], None]:
    """For the child: be killed when the parent dies, even by SIGKILL."""
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def prepare() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(126)

    return prepare
