"""Programs on the SDKs, on bare pipes: how they are started, fed and read.

Each language runs the same handler, programs/sdk_probe.*.
"""

from __future__ import annotations

import os
import shlex
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).parent / "programs"
END_S_MAX = 60.0

sys.path.insert(0, str(ROOT / "examples"))  # the examples are scripts, not a package

import toolchain  # noqa: E402

WARNINGS = "-Wall -Wextra -Wconversion -Wshadow -pedantic -Werror"
PYTHON = ["python", "python-async"]
NODE = ["node", "node-async"]
SHELL = ["dash", "bash"]
EVERY = [*PYTHON, "c", *SHELL, *NODE]
BINARY = [*PYTHON, "c", *NODE]  # which can hold any byte

NASTY = [
    b"",
    b"",
    b" ",
    b"  two  spaces  ",
    b"carriage\rreturn\r",
    b"\xff\xfe\xc3 is no UTF-8",
    b"\xc3",
    "line\u2028separator".encode(),
    b"\\n \\ %s $(id) `id` * 'quote\" ~ -n",
    b"-e",
    b"::",
    b"\tncm\t",
]


class Probe:
    """Starts the programs; compiles the one that needs it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._node = shutil.which("node", path=toolchain.path())

    def command(self, sdk: str, *arguments: str) -> list[str]:
        """What runs the probe of an SDK; skips where its language is missing."""
        flavour = "async" if sdk.endswith("-async") else "sync"
        if sdk in PYTHON:
            return [sys.executable, str(PROGRAMS / "sdk_probe.py"), flavour, *arguments]
        if sdk in NODE:
            return [self.node(), str(PROGRAMS / "sdk_probe.js"), flavour, *arguments]
        if sdk in SHELL:
            return [self.tool(sdk), str(PROGRAMS / "sdk_probe.sh")]
        return [str(self.compiled(PROGRAMS / "sdk_probe.c", f"-std=c99 {WARNINGS}"))]

    def node(self) -> str:
        if self._node is None:
            pytest.skip("no Node.js in PATH nor in examples/build")
        return self._node

    def tool(self, name: str) -> str:
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"no {name} in PATH")
        return found

    def compiled(self, source: Path, flags: str, compiler: Sequence[str] = ()) -> Path:
        """The program of a source that includes the header, compiled once."""
        command = [*(compiler or shlex.split(os.environ.get("CC", "cc"))), *shlex.split(flags)]
        target = self.directory / f"{source.stem}-{abs(hash(tuple(command)))}"
        if not target.exists():
            include = f"-I{ROOT / 'sdk' / 'c'}"
            command += ["-O2", include, str(source), "-o", str(target)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        return target


@contextmanager
def running(command: list[str], **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """The process with the environment of a worker; it is killed if the test fails."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/", **variables}
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


class Result:
    """What a function had done when it ended."""

    def __init__(self, process: subprocess.Popen[bytes], stdin: bytes | None) -> None:
        stdout, stderr = process.communicate(stdin, timeout=END_S_MAX)
        self.stdout, self.stderr, self.status = stdout, stderr.decode(), process.returncode

    @property
    def lines(self) -> list[bytes]:
        assert self.stdout == b"" or self.stdout.endswith(b"\n")
        return self.stdout.split(b"\n")[:-1]

    @property
    def frames(self) -> list[bytes]:
        found, rest = [], self.stdout
        while rest:
            (length,) = struct.unpack(">I", rest[:4])
            assert len(rest) >= 4 + length
            found.append(rest[4 : 4 + length])
            rest = rest[4 + length :]
        return found


def given(command: list[str], stdin: bytes, **variables: str) -> Result:
    """The function fed whole."""
    with running(command, **variables) as process:
        return Result(process, stdin)


def lines(*messages: bytes) -> bytes:
    return b"".join(message + b"\n" for message in messages)


def frames(*messages: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(message)) + message for message in messages)


def read_line(process: subprocess.Popen[bytes]) -> bytes:
    """The next answer, byte by byte: whatever comes behind it stays in the pipe."""
    assert process.stdout is not None
    answer = b""
    while not answer.endswith(b"\n"):
        byte = process.stdout.read(1)
        assert byte, f"ended behind {answer!r}"
        answer += byte
    return answer[:-1]


def send(process: subprocess.Popen[bytes], stdin: bytes) -> None:
    assert process.stdin is not None
    assert process.stdin.write(stdin) == len(stdin)


def echoed(messages: Sequence[bytes]) -> list[bytes]:
    return [b"=" + message for message in messages]
