"""A machine for `drop tune` to change: private network and mount namespaces.

The keys of net.ipv4 and somaxconn are the kernel's real ones, of the new network namespace; the
global ones are copies, bind-mounted over /proc/sys, so that nothing of the host is ever written.
/etc/sysctl.d and the units' directory are empty ones of this machine.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

TIMEOUT = 60
COPIES = {
    "vm.swappiness": "60",
    "vm.vfs_cache_pressure": "100",
    "vm.dirty_ratio": "20",
    "vm.dirty_background_ratio": "10",
    "vm.dirty_writeback_centisecs": "500",
    "vm.dirty_expire_centisecs": "3000",
    "kernel.panic": "0",
    "fs.file-max": "1000",
}
TREE = Path(__file__).resolve().parents[2]

# Arguments: the directory with copies, the one for /etc/sysctl.d, the one for units; then keys.
SETUP = """
set -e
copies=$1; etc=$2; units=$3; shift 3
for key in "$@"; do mount --bind "$copies/$key" "/proc/sys/$(echo "$key" | tr . /)"; done
mount --bind "$etc" /etc/sysctl.d
mount --bind "$units" /etc/systemd/system
ip link set lo up
echo ready
exec cat
"""


def why_not() -> str:
    """Why there can be no such machine here, or nothing."""
    if os.geteuid() != 0:
        return "namespaces without users are root's"
    for tool in ("unshare", "nsenter", "ip"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    for directory in ("/etc/sysctl.d", "/etc/systemd/system"):
        if not Path(directory).is_dir():
            return f"there is no {directory} to lay another over"
    probe = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, text=True)
    return probe.stderr.strip()


class TunedHost:
    """Lives while its `with` does. `var` is the node's directory, `etc` is /etc/sysctl.d."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.var, self.etc, self.units = (directory / each for each in ("var", "etc", "units"))
        self._copies = directory / "copies"
        for each in (self.var, self.etc, self.units, self._copies):
            each.mkdir()
        for key, value in COPIES.items():
            (self._copies / key).write_text(f"{value}\n")

    def __enter__(self) -> Self:
        places = map(str, (self._copies, self.etc, self.units))
        self._process = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-c", SETUP, "sh", *places, *COPIES],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        assert self._process.stderr
        if self._process.stdout.readline() != "ready\n":
            pytest.skip(f"no private namespaces here: {self._process.stderr.read()}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.communicate(timeout=TIMEOUT)

    def command(self, *words: str) -> list[str]:
        return ["nsenter", "-t", str(self._process.pid), "-n", "-m", *words]

    def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(TREE)}
        return subprocess.run(
            self.command(*words),
            input=stdin,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )

    def must(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def python(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-c", program, *arguments)

    def tune_command(self, *options: str) -> list[str]:
        drop = (sys.executable, "-m", "drop.cli.main", "tune", "--var-dir", str(self.var))
        return [*drop, *options]

    def tune(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self.run(*self.tune_command(*options))

    def document(self, *options: str, code: int = 0) -> dict[str, Any]:
        done = self.tune("--json", *options)
        assert done.returncode == code, done.stdout + done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def rows(self, *options: str) -> dict[str, dict[str, Any]]:
        return {row["key"]: row for row in self.document(*options)["rows"]}

    def values(self) -> dict[str, str]:
        """All keys of the table that are here, byte for byte."""
        program = (
            "import json; from drop.host.tuning.parameters import BY_KEY; from pathlib import Path;"
            "p = {k: Path('/proc/sys', k.replace('.', '/')) for k in BY_KEY};"
            "print(json.dumps({k: v.read_text() for k, v in p.items() if v.is_file()}))"
        )
        values: dict[str, str] = json.loads(self.must(sys.executable, "-c", program))
        return values

    def established(self) -> int:
        """How many ends of TCP connections there are in its network."""
        lines = Path(f"/proc/{self._process.pid}/net/tcp").read_text().splitlines()[1:]
        return sum(line.split()[3] == "01" for line in lines)

    @property
    def record(self) -> Path:
        return self.var / "tuning.json"
