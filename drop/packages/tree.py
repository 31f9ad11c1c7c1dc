"""From a directory to a package: what belongs to it, and whether it could be installed.

What `pack` takes, `install` accepts: the same rules are applied to both.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from drop.packages.archive import file_entry
from drop.packages.content import FILES_MAX, Entry, File, Link
from drop.packages.faults import PackageError
from drop.packages.globs import Chooser
from drop.packages.manifest import FILE_NAME, Manifest
from drop.packages.record import Package, check_content, read_record, write_record


def package_of(manifest: Manifest, directory: Path) -> Package:
    """The package as it would be packed at this moment. Raises PackageError, ConfigurationError."""
    chosen = manifest.keys.files
    chooser = Chooser(chosen.include, chosen.exclude)
    content = tuple(sorted(_entries(directory, chooser), key=lambda each: each.path))
    check_content(content, str(directory))
    _check_program(manifest, content)
    # What is read later is what was written now: if a value does not survive, this says so here.
    return read_record(write_record(Package(manifest, content)), str(directory / FILE_NAME))


def _entries(directory: Path, chooser: Chooser) -> Iterator[Entry]:
    for count, (path, entry) in enumerate(_walk(directory, "", chooser)):
        if count >= FILES_MAX:
            raise PackageError(
                f"{directory}: more than {FILES_MAX} files; leave some out with files.exclude"
                f" in {FILE_NAME}"
            )
        if entry.is_symlink():
            yield Link(path, os.readlink(entry.path))
        elif entry.is_file():
            yield file_entry(path, Path(entry.path))
        else:
            kind = stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode)
            what = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}.get(kind, "a device")
            raise PackageError(
                f"{entry.path} is {what}; a package has files and links only: leave it out with"
                f" files.exclude in {FILE_NAME}"
            )


def _walk(top: Path, below: str, chooser: Chooser) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(top / below) as found:
        for entry in sorted(found, key=lambda each: each.name):
            path = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir(follow_symlinks=False):
                if not chooser.prunes(path):
                    yield from _walk(top, path, chooser)
            elif chooser.takes(path):
                yield path, entry


def _check_program(manifest: Manifest, content: tuple[Entry, ...]) -> None:
    """A program that is meant to come with the package has to be in it, and executable."""
    command = manifest.function.cmd
    if manifest.function.image or not command or "/" not in command[0] or command[0][0] == "/":
        return
    path = os.path.normpath(os.path.join(manifest.function.cwd or "", command[0]))
    entry = next((each for each in content if each.path == path), None)
    if os.path.isabs(path) or isinstance(entry, Link):
        return
    if not isinstance(entry, File):
        raise manifest.source.error(
            ("cmd",),
            f"{command[0]} is not among the {len(content)} files of the package",
            "a program that `build` makes or that lies in the directory, and is not left out",
        )
    if entry.mode != 0o755:
        raise manifest.source.error(
            ("cmd",), f"{command[0]} is not executable", f"chmod +x {command[0]}"
        )
