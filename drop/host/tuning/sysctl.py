"""Reads and writes the kernel's values, below a directory that is /proc/sys unless a test says so.

Also what else a recommendation rests on: memory, cores, the kernel's version, the limit of
descriptors of the service. Decides nothing.
"""

from __future__ import annotations

import errno
import os
import re
import resource
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from drop.host.tuning.advice import Machine, Profile
from drop.host.tuning.parameters import NOFILE
from drop.host.tuning.plan import Reading
from drop.host.tuning.socket_options import READ, Option, socket_options

PROC_SYS = Path("/proc/sys")
VALUE_BYTES_MAX = 256  # three numbers of 20 digits, and room
SERVICE = "drop-core.service"
SYSTEMCTL_SECONDS_MAX = 5.0


class Sysctls:
    def __init__(self, root: Path = PROC_SYS) -> None:
        self.root = root

    def path(self, key: str) -> Path:
        return self.root / key.replace(".", "/")

    def text(self, key: str) -> str:
        """The value, with single blanks. Raises OSError."""
        descriptor = os.open(self.path(key), os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.read(descriptor, VALUE_BYTES_MAX)
        finally:
            os.close(descriptor)
        return " ".join(data.decode("ascii", "replace").split())

    def read(self, key: str) -> Reading:
        """The value, and whether it could be written; opening alone changes nothing."""
        try:
            text = self.text(key)
        except FileNotFoundError:
            return Reading(None)
        except OSError as error:
            return Reading(None, problem=f"cannot be read: {error.strerror}")
        locked, needs = self._obstacle(key)
        return Reading(text, locked=locked, needs=needs)

    def write(self, key: str, text: str) -> str:
        """Writes a value at once; returns what the kernel made of it. Raises OSError."""
        # Never creates: below /proc/sys nothing can be, and a test's directory shall be as strict.
        descriptor = os.open(self.path(key), os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            data = f"{text}\n".encode()
            if os.write(descriptor, data) != len(data):
                raise OSError(errno.EIO, "only a part was written")
        finally:
            os.close(descriptor)
        return self.text(key)

    def _obstacle(self, key: str) -> tuple[str, str]:
        """(why nobody can write it from here, what is missing to write it)."""
        path = self.path(key)
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
        except OSError as error:
            if error.errno == errno.EROFS:
                return "read-only here: /proc/sys is mounted so (EROFS)", ""
            if not path.stat().st_mode & 0o222:
                return "read-only here: this network namespace may only look (mode 0444)", ""
            if error.errno in (errno.EACCES, errno.EPERM):
                return ("", "root") if os.geteuid() else (f"{error.strerror}, even to root", "")
            return f"cannot be opened: {error.strerror}", ""
        return "", ""


def readings(sysctls: Sysctls, keys: Iterable[str]) -> dict[str, Reading]:
    return {key: nofile() if key == NOFILE else sysctls.read(key) for key in keys}


def options_of_this_machine(profile: Profile) -> tuple[Option, ...]:
    """What the node's TCP sockets get here."""
    return socket_options(machine(), profile, {key: _number(Sysctls(), key) for key in READ})


def _number(sysctls: Sysctls, key: str) -> int | None:
    try:
        return int(sysctls.text(key))
    except (OSError, ValueError):
        return None


def machine() -> Machine:
    """This one. In a container, too: the kernel's values are for the whole machine."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    found = re.match(r"([0-9]+)\.([0-9]+)", os.uname().release)
    kernel = (int(found[1]), int(found[2])) if found else (0, 0)
    return Machine(memory, os.cpu_count() or 1, kernel)


def nofile() -> Reading:
    """The limit of the service where there is one, else of what this shell starts."""
    needs = "root" if os.geteuid() else ""
    if (limit := _service_limit()) is not None:
        return Reading(str(limit), needs=needs, note=f"LimitNOFILE of {SERVICE}; by --persist")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    value = _infinite(hard)
    note = f"of this shell (hard): there is no {SERVICE} here; by --persist for one"
    return Reading(str(value), needs=needs, note=note)


def _infinite(limit: int) -> int:
    """As a number: what the kernel allows a process at most."""
    if limit != resource.RLIM_INFINITY:
        return limit
    try:
        return int(Path("/proc/sys/fs/nr_open").read_text())
    except (OSError, ValueError):
        return 1 << 20  # its default


def _service_limit() -> int | None:
    program = shutil.which("systemctl")
    if program is None:
        return None
    command = [program, "show", SERVICE, "-p", "LoadState", "-p", "LimitNOFILE"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SYSTEMCTL_SECONDS_MAX,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):  # no systemd that answers
        return None
    shown = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    limit = shown.get("LimitNOFILE", "")
    if shown.get("LoadState") != "loaded":
        return None
    if limit == "infinity":
        return _infinite(resource.RLIM_INFINITY)
    return int(limit) if limit.isdecimal() else None
