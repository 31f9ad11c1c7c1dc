"""The build step of a function: its commands, one after the other, in its directory, no shell.

What they print goes to stderr, so that the output of whoever asked for the build stays clean.
Builds are the author's own commands on the author's machine; installing a package runs nothing.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from drop.packages.faults import PackageError
from drop.packages.manifest import Manifest

STEP_SECONDS_MAX = 3600  # of one command; a build that hangs ends some day


def build(manifest: Manifest, directory: Path) -> None:
    """Raises PackageError, kind `build`, that names the command."""
    for number, command in enumerate(manifest.keys.build):
        _step(command, directory, manifest.source.place(("build", number)))


def _step(command: tuple[str, ...], directory: Path, place: str) -> None:
    shown = shlex.join(command)
    if "/" not in command[0] and shutil.which(command[0]) is None:
        text = f"{place}: the build needs {command[0]}, and there is none in PATH; install it"
        raise PackageError(text, "build")
    sys.stderr.flush()
    try:
        ended = subprocess.run(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            timeout=STEP_SECONDS_MAX,
            check=False,
        )
    except OSError as error:
        text = f"{place}: the build cannot start `{shown}`: {error.strerror}"
        raise PackageError(text, "build") from None
    except subprocess.TimeoutExpired:
        text = f"{place}: `{shown}` was ended after {STEP_SECONDS_MAX} s"
        raise PackageError(text, "build") from None
    if ended.returncode:
        how = "was killed" if ended.returncode < 0 else "ended with"
        code = abs(ended.returncode)
        unit = "by signal" if ended.returncode < 0 else "exit code"
        text = f"{place}: the build failed: `{shown}` {how} {unit} {code}"
        raise PackageError(text, "build")
