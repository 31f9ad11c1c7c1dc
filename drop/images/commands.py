"""Runs other programs and slow work on files in threads of its own, never in the loop's.

What runs is ended by `close`: a node that stops does not wait for a pull. A program's output is
kept in memory, so only programs that say little are run here; an archive goes from one to the next.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ParamSpec, TypeVar

THREADS = 2  # images prepared at a time; more would only share one disk
COMPLAINT_MAX = 600  # characters of what a program said last

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Done:
    """How a program ended; a negative code is a signal."""

    argv: Sequence[str]
    code: int
    stdout: str
    stderr: str

    @property
    def complaint(self) -> str:
        """The end of what it said on stderr, in one line, or how it ended."""
        said = " ".join(self.stderr.split())[-COMPLAINT_MAX:]
        if said:
            return said
        if self.code < 0:
            with suppress(ValueError):
                return f"killed by {signal.Signals(-self.code).name}"
        return f"exit code {self.code}"


class Commands:
    """`call` and `run` may be used from the loop; the rest is for functions given to `call`."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="drop-images")
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._closed = False

    async def call(self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: function(*args, **kwargs))

    async def run(
        self, argv: Sequence[str], *, env: Mapping[str, str], seconds: float, cwd: str | None = None
    ) -> Done:
        """Never raises for what the program does; one that cannot be started has the code 127."""
        return await self.call(self.run_now, argv, env=env, seconds=seconds, cwd=cwd)

    def run_now(
        self, argv: Sequence[str], *, env: Mapping[str, str], seconds: float, cwd: str | None = None
    ) -> Done:
        try:
            process = self._start(argv, env=env, cwd=cwd, stdout=subprocess.PIPE)
        except OSError as error:
            return Done(argv, 127, "", f"{argv[0]}: {error.strerror}")
        return self._finish(argv, process, seconds)

    def pipe_now(
        self,
        source: Sequence[str],
        sink: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        seconds: float,
    ) -> tuple[Done, Done]:
        """What the first one writes is what the second one, which runs in `cwd`, reads."""
        try:
            first = self._start(source, env=env, cwd=None, stdout=subprocess.PIPE)
        except OSError as error:
            failed = Done(source, 127, "", f"{source[0]}: {error.strerror}")
            return failed, failed
        assert first.stdout is not None
        try:
            second = self._start(
                sink, env=env, cwd=str(cwd), stdout=subprocess.PIPE, stdin=first.stdout
            )
        except OSError as error:
            first.kill()
            failed = Done(sink, 127, "", f"{sink[0]}: {error.strerror}")
            return self._finish(source, first, seconds), failed
        finally:
            first.stdout.close()
        first.stdout = None
        drained = self._finish(sink, second, seconds)
        return self._finish(source, first, seconds), drained

    def close(self) -> None:
        """Ends what runs, and waits for nothing."""
        with self._lock:
            self._closed = True
            for process in self._running:
                process.kill()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _start(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str | None,
        stdout: int,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed:
                raise OSError(0, "the node is stopping")
            process = subprocess.Popen(
                argv,
                env=dict(env),
                cwd=cwd,
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            self._running.add(process)
            return process

    def _finish(
        self, argv: Sequence[str], process: subprocess.Popen[bytes], seconds: float
    ) -> Done:
        try:
            stdout, stderr = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, _ = process.communicate()
            stderr = f"not done after {seconds:.0f} seconds, and ended".encode()
        finally:
            with self._lock:
                self._running.discard(process)
        return Done(
            argv,
            process.returncode,
            (stdout or b"").decode(errors="replace"),
            (stderr or b"").decode(errors="replace"),
        )
