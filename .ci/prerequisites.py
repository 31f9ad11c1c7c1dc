"""Says what the machine lacks for `make setup`, with the package names of its distribution.

Runs under any Python 3, before there is an environment; prints one line per problem, exits 1 then.
With --packages it prints the missing Debian packages only, for .ci/run.
"""

import os
import shutil
import sys
import sysconfig
import tempfile


def missing():
    """Pairs of (what is missing and why it matters, its Debian package, its RPM package)."""
    if sys.version_info < (3, 11):
        yield ("Python %d.%d is too old, 3.11 is needed" % sys.version_info[:2],
               "python3.11", "python3.11")
    suffix = "" if sys.version_info < (3, 11) else "%d.%d" % sys.version_info[:2]
    if not can_make_environments():
        yield ("%s cannot make a private environment (no ensurepip)" % sys.executable,
               "python%s-venv" % suffix, "python3-pip")
    if not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")):
        yield ("the headers of %s (Python.h)" % sys.executable,
               "python%s-dev" % suffix, "python3-devel")
    if shutil.which(os.environ.get("CC", "cc").split()[0]) is None:
        yield "a C compiler (cc)", "gcc", "gcc"
    if not has_libc_headers():
        yield "the headers of the C library", "libc6-dev", "glibc-devel"


def can_make_environments():
    """Whether `python -m venv` will get pip into what it makes."""
    try:
        import ensurepip
        import venv
    except ImportError:
        return False
    return bool(ensurepip.version() and venv.__name__)


def has_libc_headers():
    """Whether a C compiler would find <stdio.h>; true when there is no compiler to ask."""
    compiler = os.environ.get("CC", "cc").split()[0]
    if shutil.which(compiler) is None:
        return True
    with tempfile.TemporaryDirectory() as directory:
        source = os.path.join(directory, "probe.c")
        with open(source, "w") as file:
            file.write("#include <stdio.h>\n")
        return os.system("%s -E %s >/dev/null 2>&1" % (compiler, source)) == 0


def main():
    """Prints what is missing; the exit status says whether anything is."""
    found = list(missing())
    if sys.argv[1:] == ["--packages"]:
        print(" ".join(debian for _, debian, _ in found))
        return 0
    for problem, debian, rpm in found:
        print("missing: %s\n    Debian, Ubuntu: sudo apt-get install %s\n"
              "    RPM systems:    sudo dnf install %s" % (problem, debian, rpm), file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
