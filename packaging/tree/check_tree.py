"""Reads a tree and says what would keep it from running elsewhere: `check DIR [--forbid TEXT]`.

Exit codes: 0 nothing found; 1 breaches, each on a line of its own; 2 the command line is wrong.
"""

from __future__ import annotations

import argparse
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import elf
import portable
from portable import Entry


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="check",
        description="Check that a tree runs on any x86_64 distribution since CentOS 7.",
    )
    parser.add_argument("directory", metavar="DIR", type=Path)
    parser.add_argument(
        "--forbid",
        metavar="TEXT",
        action="append",
        default=[],
        help="no file may contain this, as the place of a build; may be given several times",
    )
    arguments = parser.parse_args()
    if not arguments.directory.is_dir():
        parser.error(f"{arguments.directory}: no such directory")
    entries, found = check(arguments.directory, arguments.forbid)
    for fault in found:
        print(f"{arguments.directory}/{fault}", file=sys.stderr)
    programs = sum(entry.elf is not None for entry in entries)
    verdict = f"{len(found)} faults" if found else "runs with glibc 2.17 and later"
    print(f"{arguments.directory}: {len(entries)} entries, {programs} of them ELF: {verdict}")
    return 1 if found else 0


def check(root: Path, forbidden: list[str]) -> tuple[list[Entry], list[str]]:
    """All entries below `root`, and all that is wrong with them."""
    entries = list(walk(root, [text.encode() for text in forbidden]))
    return entries, portable.faults(entries)


def walk(root: Path, forbidden: list[bytes]) -> Iterator[Entry]:
    """Every file, directory and link; the root itself as `.`."""
    yield look(root, ".", forbidden)
    for directory, names, files in os.walk(root):
        for name in sorted((*names, *files)):
            path = Path(directory, name)
            yield look(path, str(path.relative_to(root)), forbidden)


def look(path: Path, name: str, forbidden: list[bytes]) -> Entry:
    """One entry, with what its content says."""
    status = path.lstat()
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return Entry(name, mode, "link", target=os.readlink(path))
    if stat.S_ISDIR(status.st_mode):
        return Entry(name, mode, "directory")
    if not stat.S_ISREG(status.st_mode):
        return Entry(name, mode, "other")
    data = path.read_bytes()
    faults = [
        f"contains {text.decode()}, a place of the build" for text in forbidden if text in data
    ]
    first_line = data[:256].split(b"\n", 1)[0] if data.startswith(b"#!") else b""
    parsed = None
    if data.startswith(elf.MAGIC):
        try:
            parsed = elf.parse(data)
        except elf.ElfError as error:
            faults.append(str(error))
    return Entry(name, mode, "file", "", first_line, parsed, "; ".join(faults))
