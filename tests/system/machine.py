"""A machine of its own for a test, see machine.sh: commands run in it, files are put into it."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from node_tools import until

SCRIPT = Path(__file__).with_name("machine.sh")
ROOT = Path(__file__).resolve().parents[2]
START_SECONDS_MAX = 30


class NoMachine(Exception):
    """Not possible here; the text says why."""


class Machine:
    """`boot`: with systemd as its first process. To be closed."""

    def __init__(self, directory: Path, *, boot: bool = False) -> None:
        """`directory` is kept visible, like the tests' own program. Raises NoMachine."""
        if os.geteuid() != 0:
            raise NoMachine("needs root")
        if boot and not Path("/lib/systemd/systemd").exists():
            raise NoMachine("systemd is not installed")
        self._group = _make_group() if boot else None
        base = tempfile.mkdtemp(prefix="machine-", dir=directory)
        shown = map(str, (ROOT, sys.prefix, directory))
        mode, group = ("boot" if boot else "hold"), str(self._group or "")
        self._process = subprocess.Popen(
            ["sh", str(SCRIPT), mode, base, group, *shown],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._wait_ready()
        for directory in (ROOT, sys.prefix, sys.base_prefix):
            self._open(os.path.realpath(directory))
        if boot:
            self.run("systemctl", "is-system-running", "--wait", check=False)

    def run(
        self, *command: str, check: bool = True, text: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """`text` is what it reads. Fails the test when the command does, unless not `check`."""
        variables = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/root"}
        ran = subprocess.run(
            self.command(*command),
            env=variables | environment,
            input=text or "",
            capture_output=True,
            text=True,
            timeout=100,
        )
        shown = f"{' '.join(command)}: {ran.returncode}\n{ran.stdout}{ran.stderr}"
        assert ran.returncode == 0 or not check, shown
        return ran

    def command(self, *command: str) -> list[str]:
        """What the host runs to have it run there."""
        return ["nsenter", f"--target={self.init()}", "--all", *command]

    def output(self, *command: str) -> str:
        return self.run(*command).stdout.strip()

    def path(self, name: str) -> Path:
        """A file of the machine, as the host finds it."""
        return Path(f"/proc/{self.init()}/root{name}")

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        """A new file, whatever there was under the name."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        if self._group is not None:
            until(lambda: _removed(self._group))

    def _open(self, directory: str) -> None:
        """Let all users of the machine pass, also where the tests lie in somebody's home."""
        layer = self.path("/").stat().st_dev
        for each in (directory, *map(str, Path(directory).parents)):
            path = self.path(each)
            status = path.stat()
            if status.st_dev == layer:  # never what is the host's
                path.chmod(status.st_mode | 0o011)

    def init(self) -> int:
        """The process id of the machine's first process."""
        pid = self._process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def _wait_ready(self) -> None:
        stdout, stderr = self._process.stdout, self._process.stderr
        assert stdout is not None
        assert stderr is not None
        readable, _, _ = select.select([stdout], [], [], START_SECONDS_MAX)
        if readable and stdout.readline() == b"ready\n":
            return
        self.close()
        raise NoMachine(f"no machine of its own here: {stderr.read().decode().strip()}")


def _make_group() -> Path:
    """Below that of this process in version 2. Raises NoMachine."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            group = Path(before.split()[4], f"drop-machine-{os.getpid()}")
            try:
                group.mkdir(exist_ok=True)
            except OSError as error:
                raise NoMachine(f"no control group for systemd: {error}") from error
            return group
    raise NoMachine("no control groups of version 2 are mounted")


def _removed(group: Path | None) -> bool:
    """False while something is in it."""
    assert group is not None
    for directory, _, _ in os.walk(group, topdown=False):
        try:
            os.rmdir(directory)
        except OSError:
            return False
    return not group.exists()


def make_tree(directory: Path, version: str, *, client: bool = False) -> Path:
    """What packages are made of, small: programs that this interpreter runs from this project.

    DROP_TREE and DROP_CLIENT_TREE name real ones (packaging/tree/build) instead.
    """
    given = os.environ.get("DROP_CLIENT_TREE" if client else "DROP_TREE")
    if given:
        shutil.copytree(given, directory, symlinks=True)
    else:
        (directory / "bin").mkdir(parents=True)
        (directory / "lib").mkdir()
        (directory / "lib" / "which").write_text("client" if client else "node")
        _program(directory / "bin" / "python3", "")
        _program(directory / "bin" / "drop", "-m drop.cli.main")
        if not client:
            _program(directory / "bin" / "drop-node", "-m drop.cli.node")
    (directory / "VERSION").write_text(f"{version}\n")
    return directory


def _program(path: Path, options: str) -> None:
    text = f'#!/bin/sh\nexport PYTHONPATH={ROOT}\nexec {sys.executable} {options} "$@"\n'
    path.write_text(text)
    path.chmod(0o755)
