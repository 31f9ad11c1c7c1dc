"""Compiles the C programs of the benchmarks into build/bench/; nothing is compiled twice."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "bench"
FLAGS = ("-std=gnu11", "-D_GNU_SOURCE", "-O2", "-g1", "-DNDEBUG", "-Wall", "-Wextra")


class BuildFailed(Exception):
    """A program did not compile; the text is what the compiler said."""


def program(name: str, sources: Sequence[str], *flags: str) -> Path:
    """The program of these sources (relative to the tree); built again when one is newer."""
    target = BUILD / name
    paths = [ROOT / source for source in sources]
    headers = [*(ROOT / "c_src").glob("*.h"), *(ROOT / "sdk/c").glob("*.h")]
    newest = max(path.stat().st_mtime for path in [*paths, *headers])
    if target.exists() and target.stat().st_mtime >= newest:
        return target
    BUILD.mkdir(parents=True, exist_ok=True)
    compiler = shlex.split(os.environ.get("CC", "cc"))
    # Behind the system's directories for the reason given in build_ext.py.
    includes = ("-idirafter", str(ROOT / "c_src"))
    command = [*compiler, *FLAGS, *includes, *flags, *map(str, paths), "-o", str(target)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise BuildFailed(f"{compiler[0]}: {error.strerror}; install it, or set CC") from None
    if done.returncode:
        raise BuildFailed(f"{shlex.join(command)}\n{done.stderr}")
    return target
