"""What tests of images share: a store of podman's own, images of a local root file system, workers.

Nothing is pulled: an image is busybox and a few files. The store is in a directory of the test run.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from drop.images.images import Images
from drop.images.launcher import Start
from drop.images.prepared import PreparedImage
from drop.images.runtime import enclose_path
from drop.workers.process import Command, Exit, Process, launch

APPLETS = (
    *("cat", "sh", "echo", "id", "pwd", "env", "ls", "sleep", "touch", "mount", "grep", "head"),
    *("dd", "kill", "hostname", "wc", "printf", "true"),
)
WAIT_SECONDS = 30.0


def why_not() -> str:
    """Why containers cannot be tested here; empty when they can."""
    if os.geteuid() != 0:
        return "containers are started directly by root only"
    missing = [
        name
        for name in ("podman", "crun", "busybox", "tar")
        if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None
    ]
    if missing:
        return f"not installed: {', '.join(missing)} (apt-get install podman crun busybox-static)"
    if not enclose_path().exists():
        return "drop-enclose is not built: python build_ext.py drop-enclose"
    dynamic = (
        b"NEEDED"
        in subprocess.run(
            ["objdump", "-p", shutil.which("busybox") or ""], capture_output=True
        ).stdout
    )
    return "busybox is not a static one (apt-get install busybox-static)" if dynamic else ""


@dataclass(frozen=True)
class Store:
    """A store of podman's, and the command line that names it."""

    directory: Path

    @property
    def engine(self) -> str:
        """vfs needs nothing of the kernel."""
        root, run = self.directory / "root", self.directory / "run"
        return f"podman --root {root} --runroot {run} --storage-driver vfs"

    def podman(self, *arguments: str, data: bytes | None = None) -> str:
        done = subprocess.run(
            [*self.engine.split(), *arguments], input=data, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def add(self, name: str, root: Path, *changes: str) -> None:
        """An image of a directory; `changes` are lines of a Dockerfile."""
        archive = subprocess.run(["tar", "-C", root, "-c", "."], check=True, capture_output=True)
        words = [word for change in changes for word in ("--change", change)]
        self.podman("import", "--quiet", *words, "-", name, data=archive.stdout)

    def containers(self) -> list[str]:
        return self.podman("ps", "--all", "--quiet").split()


def make_root(directory: Path, *, drop: bool = True) -> Path:
    """A root file system with busybox, with or without the user `drop` and its home."""
    for name in ("bin", "etc", "tmp", "srv"):
        (directory / name).mkdir(parents=True)
    (directory / "tmp").chmod(0o1777)
    shutil.copy(shutil.which("busybox") or "", directory / "bin" / "busybox")
    for applet in APPLETS:
        (directory / "bin" / applet).symlink_to("busybox")
    passwd = "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/srv:/bin/sh\n"
    if drop:
        passwd += "drop:x:1234:1235::/home/drop:/bin/sh\n"
        (directory / "home" / "drop").mkdir(parents=True)
        os.chown(directory / "home" / "drop", 1234, 1235)
    (directory / "etc" / "passwd").write_text(passwd)
    (directory / "etc" / "group").write_text("root:x:0:\ndrop:x:1235:\nmore:x:77:drop\n")
    return directory


@dataclass
class Worker:
    """A worker as the node has it: a process with three pipes."""

    images: Images
    start: Start
    process: Process
    pipes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pipes = [*self.process.take_pipes(), self.process.take_stderr()]

    @property
    def pid(self) -> int:
        return self.process.pid

    def write(self, data: bytes) -> None:
        os.write(self.pipes[0], data)

    def line(self) -> bytes:
        """The next line of stdout, or what there is before its end."""
        found = b""
        while not found.endswith(b"\n"):
            ready, _, _ = select.select([self.pipes[1]], [], [], WAIT_SECONDS)
            assert ready, f"no line within {WAIT_SECONDS} s"
            byte = os.read(self.pipes[1], 1)
            if not byte:
                break
            found += byte
        return found

    def close_stdin(self) -> None:
        os.close(self.pipes[0])
        self.pipes[0] = -1

    def signal(self, number: signal.Signals) -> None:
        """To the group, as the node does it."""
        os.killpg(self.process.pid, number)

    def wait(self) -> Exit:
        ready, _, _ = select.select([self.process.pidfd], [], [], WAIT_SECONDS)
        assert ready, f"has not ended within {WAIT_SECONDS} s"
        return self.process.reap()

    async def exceeded_memory(self) -> bool:
        """When it has ended: whether that was why."""
        status = self.wait()
        exceeded = self.images.exceeded_memory(self.start)
        await self.ended(status)
        return exceeded

    async def ended(self, status: Exit | None = None) -> tuple[Exit, str, str]:
        """How it ended, and the rest of stdout and stderr."""
        status = status or self.wait()
        said = [_rest(pipe) for pipe in self.pipes[1:]]
        for pipe in self.pipes:
            if pipe >= 0:
                os.close(pipe)
        await self.images.ended(self.start)
        return status, said[0], said[1]


def _rest(pipe: int) -> str:
    found = b""
    while block := os.read(pipe, 65536):
        found += block
    return found.decode(errors="replace")


def spawn(images: Images, prepared: PreparedImage, **env: str) -> Worker:
    start = images.start(prepared, env)
    return Worker(images, start, launch(Command(start.argv, None, start.environment)))


async def run(
    images: Images, text: str, *cmd: str, data: bytes = b"", env: dict[str, str] | None = None
) -> tuple[Exit, str, str]:
    """One worker's whole life: it gets `data` and the end of file."""
    prepared = await images.prepare(text, cmd=cmd)
    worker = spawn(images, prepared, **(env or {}))
    worker.write(data) if data else None
    worker.close_stdin()
    ended = await worker.ended()
    await images.release(prepared)
    return ended


def groups_left(images: Images) -> list[Path]:
    """Control groups of workers."""
    return [*Path("/sys/fs/cgroup").glob(f"**/drop-images-{images.owner}/*/")]


needs_containers = pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")
