"""Unpacks an archive into an empty directory, if everything in it is as its manifest says.

The manifest is checked as a whole before the first file is made (`content.faults`): then no path
leads out of the directory or through a link. Each member has to be the one that the manifest has
at this place, with its size, mode and digest. Files are made anew (O_EXCL), never followed to.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

from drop.packages.archive import FILES
from drop.packages.content import Entry, File, Link
from drop.packages.record import RECORD_BYTES_MAX, RECORD_NAME, Package, read_record, write_record
from drop.packages.tarstream import Member, TarStream

DIRECTORY_MODE = 0o555  # nobody writes into an installed package, not even by mistake
FILE_MODES = {0o644: 0o444, 0o755: 0o555}


def read_package(file: BinaryIO, where: str) -> Package:
    """Only what it says about itself. Raises PackageError."""
    return _record(TarStream(file, where), where)


def unpack(file: BinaryIO, directory: Path, where: str) -> Package:
    """Fills `directory/files` and `directory/manifest.json`. Raises PackageError, OSError.

    Nothing is on the disk for sure until `sync_tree`. What there is after an error, the caller
    removes with the directory.
    """
    stream = TarStream(file, where)
    package = _record(stream, where)
    files = directory / FILES.rstrip("/")
    files.mkdir(mode=0o700)
    for entry in package.content:
        member = stream.next()
        _expect(stream, member, entry)
        place = files / entry.path
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if isinstance(entry, Link):
            place.symlink_to(entry.target)
        else:
            _write(stream, place, entry)
    if (member := stream.next()) is not None:
        raise stream.error(f"{member.name!r} is not in the manifest")
    write_record_file(directory, package)
    _protect(files)
    return package


def write_record_file(directory: Path, package: Package) -> None:
    """The manifest of an installed package, which is what makes it one."""
    with open(directory / RECORD_NAME, "xb") as stream:
        stream.write(write_record(package))
        os.fchmod(stream.fileno(), 0o444)


def sync_tree(directory: Path) -> None:
    """Everything below is on the disk when this returns.

    After everything was written, not after each file: then most of it is there already.
    """
    for path, _, files in os.walk(directory):
        for name in files:
            if not os.path.islink(os.path.join(path, name)):
                sync(os.path.join(path, name))
        sync(path)


def sync(path: str | os.PathLike[str]) -> None:
    """One file, or the names in one directory."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _record(stream: TarStream, where: str) -> Package:
    member = stream.next()
    if member is None or member.name != RECORD_NAME or member.link is not None:
        raise stream.error(f"it does not begin with {RECORD_NAME}; `drop fun pack` makes packages")
    if member.size > RECORD_BYTES_MAX:
        raise stream.error(f"its manifest has {member.size} bytes; at most {RECORD_BYTES_MAX}")
    data = bytearray()
    while chunk := stream.read():
        data += chunk
    return read_record(bytes(data), where)


def _expect(stream: TarStream, member: Member | None, entry: Entry) -> None:
    if member is None:
        raise stream.error(f"{entry.path!r} is in the manifest and not in the archive")
    if member.name != FILES + entry.path:
        raise stream.error(f"found {member.name!r} where the manifest has {entry.path!r}")
    if isinstance(entry, Link):
        if member.link != entry.target:
            raise stream.error(f"{entry.path!r} is not the link that the manifest says")
    elif member.link is not None:
        raise stream.error(f"{entry.path!r} is a link; the manifest says a file")
    elif (member.size, member.mode) != (entry.size, entry.mode):
        raise stream.error(
            f"{entry.path!r} has {member.size} bytes and the mode {member.mode:04o}; the manifest"
            f" says {entry.size} and {entry.mode:04o}"
        )


def _write(stream: TarStream, place: Path, entry: File) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    digest = hashlib.sha256()
    with open(os.open(place, flags, 0o600), "wb") as file:
        while chunk := stream.read():
            digest.update(chunk)
            file.write(chunk)
        os.fchmod(file.fileno(), FILE_MODES[entry.mode])
    if digest.hexdigest() != entry.sha256:
        raise stream.error(f"{entry.path!r} does not have the digest that the manifest says")


def _protect(files: Path) -> None:
    for path, _, _ in os.walk(files, topdown=False):
        os.chmod(path, DIRECTORY_MODE)
