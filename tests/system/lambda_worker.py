"""drop-lambda as the node starts it: frames in, frames out, the log in a file."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from drop.adapters import lambda_program

PROGRAM = lambda_program()
RUNTIME = Path(__file__).parent / "programs" / "runtime.py"
SECONDS_MAX = 30


class LambdaWorker:
    """One drop-lambda with a runtime behind it; used in a `with`, ended by the end of its stdin."""

    def __init__(
        self,
        directory: Path,
        command: Sequence[str] = (sys.executable, str(RUNTIME)),
        *,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._log = directory / "stderr"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [PROGRAM, *options, "--", *command],
                cwd=directory,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.stdin, self.stdout):
            with suppress(BrokenPipeError):  # what was written ahead has no reader
                pipe.close()

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def send(self, *events: bytes) -> None:
        """All of them in one write, as a node does that has many."""
        self.stdin.write(b"".join(struct.pack(">I", len(event)) + event for event in events))
        self.stdin.flush()

    def receive(self) -> bytes:
        """The next response; fails with the log when there is none."""
        prefix = self.stdout.read(4)
        assert len(prefix) == 4, f"no response; the log is:\n{self.log}"
        return self.stdout.read(struct.unpack(">I", prefix)[0])

    def call(self, event: bytes) -> bytes:
        self.send(event)
        return self.receive()

    def end(self) -> int:
        """Closes stdin; the exit code."""
        self.stdin.close()
        return self.wait()

    def wait(self) -> int:
        return self.process.wait(SECONDS_MAX)
