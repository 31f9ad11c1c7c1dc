"""The compiler for an old C library, and the tools around it: pinned, checked, kept in the cache.

The compiler is Zig's clang from PyPI. It has the symbols of every release of the GNU C library and
links against the one that is asked for, whatever the machine has. It is called by the names cc, ar
and ranlib, found through PATH, so that no build writes its place into what it makes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from faults import BuildFault

HERE = Path(__file__).resolve().parent
LOCK = HERE / "tools.lock"
TARGET = "x86_64-linux-gnu.2.17"  # CentOS 7's, and what manylinux2014 means
# UBSan would be on by default, and CPython as well as OpenSSL do what it stops.
COMPILER_FLAGS = ("-fno-sanitize=undefined",)
# Seconds; the time of every file that is made, and no earlier than 1980 for zip.
EPOCH = 1_767_225_600
NEEDED = ("make", "perl", "tclsh", "patch", "dpkg-source", "apt-get")
PACKAGES = "make perl tcl patch dpkg-dev"


@dataclass(frozen=True)
class Toolchain:
    """Where the tools lie, and how they are started."""

    directory: Path
    digest: str

    @property
    def site(self) -> Path:
        """What build_ext.py imports: Cython, cffi, setuptools."""
        return self.directory / "site"

    def environment(self, **more: str) -> dict[str, str]:
        """For a build: nothing of the caller's but the place of a home and of temporary files."""
        kept = {name: os.environ[name] for name in ("HOME", "TMPDIR") if name in os.environ}
        cache = self.directory / "zig-cache"
        return {
            **kept,
            "PATH": f"{self.directory / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "SOURCE_DATE_EPOCH": str(EPOCH),
            "PYTHONHASHSEED": "0",
            "ZIG_GLOBAL_CACHE_DIR": str(cache),
            "ZIG_LOCAL_CACHE_DIR": str(cache),
            "CC": "cc",
            "AR": "ar",
            "RANLIB": "ranlib",
            **more,
        }


def prepare(cache: Path) -> Toolchain:
    """Installs the tools below `cache` unless they are there; raises BuildFault."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        raise BuildFault(f"{', '.join(missing)}: not installed; `apt-get install {PACKAGES}`")
    text = (TARGET, *COMPILER_FLAGS, LOCK.read_text())
    digest = hashlib.sha256("\n".join(text).encode()).hexdigest()
    directory = cache / f"tools-{digest[:12]}"
    if not (directory / "done").exists():
        shutil.rmtree(directory, ignore_errors=True)
        install(LOCK, directory / "site")
        _write_names(directory)
        (directory / "done").touch()
    return Toolchain(directory.resolve(), digest)


def install(lock: Path, target: Path, *options: str) -> None:
    """Installs what a lock names into the directory `target`, every file checked by its hash."""
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    safe = ("--no-deps", "--no-compile", "--require-hashes", "--only-binary=:all:")
    command = [*pip, *safe, *options, "--target", str(target), "--requirement", str(lock)]
    if subprocess.run(command).returncode != 0:
        raise BuildFault(f"pip could not install what {lock.name} names; see above")


def _write_names(directory: Path) -> None:
    """Makes zig answer to the names that every configure script knows."""
    zig = directory.resolve() / "site" / "ziglang" / "zig"
    (directory / "bin").mkdir()
    flags = " ".join(COMPILER_FLAGS)
    # Here and not in CFLAGS: OpenSSL and CPython write their CFLAGS into what they build.
    mapped = '${SOURCE_ROOT:+"-ffile-prefix-map=$SOURCE_ROOT=."}'
    calls = {"cc": f"cc -target {TARGET} {flags} {mapped}", "ar": "ar", "ranlib": "ranlib"}
    for name, call in calls.items():
        script = directory / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{zig}" {call} "$@"\n')
        script.chmod(0o755)
