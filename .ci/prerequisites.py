"""Says what the machine lacks for `make setup`, with the package names of its distribution.

Runs under any Python 3.7 or later, before there is an environment. Prints what is missing and exits
1, or nothing and 0. With --packages it prints the missing Debian packages only, for .ci/run.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig

COMPILER = os.environ.get("CC", "cc").split()[0]


def missing():
    """Yields (what is missing, its Debian package, its RPM package)."""
    major, minor = sys.version_info[:2]
    if (major, minor) < (3, 11):
        yield f"Python 3.11 or later (this is {major}.{minor})", "python3.11", "python3.11"
        return
    if not can_make_environments():
        problem = f"ensurepip: {sys.executable} cannot make a private environment without"
        yield problem, f"python{major}.{minor}-venv", "python3-pip"
    if not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")):
        problem = f"Python.h, the headers of {sys.executable}"
        yield problem, f"python{major}.{minor}-dev", f"python{major}.{minor}-devel"
    if shutil.which(COMPILER) is None:
        yield f"a C compiler ({COMPILER})", "gcc", "gcc"
    if shutil.which(COMPILER) is None or not has_libc_headers():
        yield "the headers of the C library", "libc6-dev", "glibc-devel"


def can_make_environments():
    """Whether `python -m venv` gets pip into what it makes; Debian ships that apart."""
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        return False
    try:
        import ensurepip

        return bool(ensurepip.version())
    except Exception:  # a half-installed ensurepip fails in many ways; all mean no
        return False


def has_libc_headers():
    """Whether the C compiler finds <stdio.h>."""
    probe = b"#include <stdio.h>\n"
    command = [COMPILER, "-E", "-x", "c", "-"]
    return subprocess.run(command, input=probe, capture_output=True).returncode == 0


def main():
    """Prints what is missing; the exit status says whether anything is."""
    found = list(missing())
    if sys.argv[1:] == ["--packages"]:
        print(" ".join(debian for _, debian, _ in found))
        return 0
    for problem, _, _ in found:
        print(f"missing: {problem}", file=sys.stderr)
    if found:
        debian = " ".join(name for _, name, _ in found)
        rpm = " ".join(name for _, _, name in found)
        print(f"    Debian, Ubuntu: sudo apt-get install {debian}", file=sys.stderr)
        print(f"    RPM systems:    sudo dnf install {rpm}", file=sys.stderr)
        print("    or name another Python: make PYTHON=/path/to/python3 ...", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
