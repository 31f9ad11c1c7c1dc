"""What a tree must keep to so that it runs on every x86_64 distribution since CentOS 7.3.

The rules and the base system they are measured against; reading the tree is check_tree.py's. Pure.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterator
from dataclasses import dataclass

from elf import Elf

# The newest symbol versions that CentOS 7 has: glibc 2.17, libgcc and libstdc++ of GCC 4.8.
LIMITS = {
    "GLIBC": (2, 17),
    "GCC": (4, 8, 0),
    "GLIBCXX": (3, 4, 19),
    "CXXABI": (1, 3, 7),
}
# Libraries that every installation has, also the smallest: the C library's own, and GCC's helper.
# Not libstdc++, not libcrypt, whose name has changed since.
BASE_LIBRARIES = frozenset(
    (
        *("ld-linux-x86-64.so.2", "libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0"),
        *("librt.so.1", "libutil.so.1", "libresolv.so.2", "libgcc_s.so.1"),
    )
)
LOADER = "/lib64/ld-linux-x86-64.so.2"
KERNEL = (3, 10, 0)
INTERPRETERS_OWN = "Py_BytesMain"  # a name that only CPython exports
PYTHON_NAME = re.compile(r"_?Py")
# Extensions use these with neither a version nor the library's name: the interpreter brings it.
LIBDL = "libdl.so.2"
LIBDL_NAMES = frozenset(("dladdr", "dlclose", "dlerror", "dlopen", "dlsym"))
SHELL = "/bin/sh"
SYSTEM_PLACES = ("/bin/", "/usr/bin/", "/usr/local/bin/")


@dataclass(frozen=True)
class Entry:
    """One file of the tree; `path` is relative to the tree's root."""

    path: str
    mode: int  # permissions, with setuid and setgid
    kind: str  # file, directory, link, other
    target: str = ""  # of a link
    first_line: bytes = b""  # of a script
    elf: Elf | None = None
    fault: str = ""  # why it could not be read


def faults(entries: list[Entry]) -> list[str]:
    """Every breach as `PATH: what, and what to do`, in the order of the paths."""
    paths = {entry.path for entry in entries}
    files = [entry.elf for entry in entries if entry.elf]
    exported = {name for elf in files for name in elf.exported}
    if any(elf.interpreter and LIBDL in elf.needed for elf in files):
        exported |= LIBDL_NAMES
    return [
        f"{entry.path}: {fault}"
        for entry in sorted(entries, key=lambda entry: entry.path)
        for fault in _faults_of(entry, paths, exported)
    ]


def _faults_of(entry: Entry, paths: set[str], exported: set[str]) -> Iterator[str]:
    if entry.fault:
        yield entry.fault
    if entry.kind == "other":
        yield "neither a file, a directory nor a link"
    if entry.kind == "link":
        yield from _link_faults(entry, paths)
    else:
        yield from _mode_faults(entry.mode)
    if entry.first_line:
        yield from _script_faults(entry)
    if entry.elf is not None:
        yield from _elf_faults(entry.path, entry.elf, paths)
        yield from _loose_faults(entry.elf, exported)


def _mode_faults(mode: int) -> Iterator[str]:
    if mode & 0o6000:
        yield f"setuid or setgid (mode {mode:04o}); nothing here needs rights of another"
    if mode & 0o022:
        yield f"writable by others than its owner (mode {mode:04o})"


def _link_faults(entry: Entry, paths: set[str]) -> Iterator[str]:
    if entry.target.startswith("/"):
        yield f"link to the absolute path {entry.target}; make it relative"
        return
    target = _inside(entry.path, entry.target)
    if target is None:
        yield f"link to {entry.target}, outside of the tree"
    elif target not in paths:
        yield f"link to {entry.target}, which does not exist"


def _script_faults(entry: Entry) -> Iterator[str]:
    """A script that is not executable is data: only a place of a build in it is a mistake."""
    words = entry.first_line[2:].decode(errors="replace").split()
    interpreter = words[0] if words else ""
    if entry.mode & 0o111 and interpreter != SHELL:
        yield f"executable script for {interpreter or 'nobody'}; only {SHELL} is sure to exist"
    elif not interpreter.startswith(SYSTEM_PLACES):
        yield f"script for {interpreter or 'nobody'}, a place that only the build's machine has"


def _elf_faults(path: str, elf: Elf, paths: set[str]) -> Iterator[str]:
    if elf.interpreter not in ("", LOADER):
        yield f"names the loader {elf.interpreter}; {LOADER} is the one that exists everywhere"
    if elf.kernel > KERNEL:
        yield f"refuses kernels before {_dotted(elf.kernel)}; {_dotted(KERNEL)} is the oldest"
    for run_path in elf.run_paths:
        if not re.match(r"\$ORIGIN(/|$)", run_path) or _at_origin(path, run_path) is None:
            yield f"run path {run_path!r} leads out of the tree; only below $ORIGIN is allowed"
    for library in elf.needed:
        yield from _library_faults(path, elf, library, paths)
    for library, version in elf.versions:
        # What is in the tree is read itself; what it exports does not matter.
        if library in BASE_LIBRARIES and not _is_old_enough(version):
            yield f"needs {version} of {library}, newer than CentOS 7's ({_limit(version)})"


def _library_faults(path: str, elf: Elf, library: str, paths: set[str]) -> Iterator[str]:
    if library in BASE_LIBRARIES:
        return
    places = [_at_origin(path, run_path) for run_path in elf.run_paths]
    if any(place is not None and _join(place, library) in paths for place in places):
        return
    if any(other.rpartition("/")[2] == library for other in paths):
        yield f"needs {library}, which is in the tree where no run path of this file leads"
    else:
        yield f"needs {library}, which is neither in the tree nor in every base system"


def _loose_faults(elf: Elf, exported: set[str]) -> Iterator[str]:
    """Of extensions without an interpreter beside them, what is CPython's is let pass."""
    has_python = INTERPRETERS_OWN in exported
    for name in sorted(elf.loose - exported):
        if has_python or not PYTHON_NAME.match(name):
            yield f"uses {name}, which nothing here has and glibc 2.17 has not either"


def _is_old_enough(version: str) -> bool:
    name, _, number = version.partition("_")
    if not re.fullmatch(r"\d+(\.\d+)*", number):
        return False  # GLIBC_PRIVATE and GLIBC_ABI_DT_RELR are for nobody with an old library
    return tuple(map(int, number.split("."))) <= LIMITS.get(name, ())


def _limit(version: str) -> str:
    name = version.partition("_")[0]
    return f"{name}_{_dotted(LIMITS[name])}" if name in LIMITS else "none of that name"


def _at_origin(path: str, run_path: str) -> str | None:
    """The directory, relative to the tree, that a run path of the file at `path` means."""
    return _inside(path, run_path.replace("$ORIGIN", ".", 1))


def _inside(path: str, relative: str) -> str | None:
    """`relative` as seen from the directory of `path`; None when that leaves the tree."""
    joined = os.path.normpath(os.path.join(os.path.dirname(path), relative))
    return None if joined.startswith(("..", "/")) else joined


def _join(directory: str, name: str) -> str:
    return os.path.normpath(f"{directory}/{name}")


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
