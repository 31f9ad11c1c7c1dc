"""Writes `NAME-VERSION.dropfn`: a gzipped tar of the manifest and the files, always the same bytes.

    manifest.json       first, so that a reader knows what may come before any of it comes
    files/PATH          in the order of the manifest, which is sorted

No owner, no time and no mode of the machine that packs gets in. Reading is `drop.packages.unpack`.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path
from typing import BinaryIO, cast

from drop.packages.content import Entry, File, Link
from drop.packages.faults import PackageError
from drop.packages.record import RECORD_NAME, Package, write_record

SUFFIX = ".dropfn"
FILES = "files/"
LEVEL = 9  # of gzip: packed once, carried and kept many times


def archive_name(package: Package) -> str:
    return f"{package.name}-{package.version}{SUFFIX}"


def write_archive(package: Package, directory: Path, into: BinaryIO) -> None:
    """Raises PackageError when a file is no longer what the package says; OSError."""
    record = write_record(package)
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=into, mtime=0, compresslevel=LEVEL) as zipped,
        tarfile.open(mode="w|", fileobj=zipped, format=tarfile.PAX_FORMAT) as tar,
    ):
        tar.addfile(_header(RECORD_NAME, len(record), 0o644), io.BytesIO(record))
        for entry in package.content:
            _add(tar, entry, directory)


def _header(name: str, size: int, mode: int) -> tarfile.TarInfo:
    """Of owner 0, time 0 and no names, which is what a new one has."""
    header = tarfile.TarInfo(name)
    header.size, header.mode = size, mode
    return header


def _add(tar: tarfile.TarFile, entry: Entry, directory: Path) -> None:
    if isinstance(entry, Link):
        header = _header(FILES + entry.path, 0, 0o777)
        header.type, header.linkname = tarfile.SYMTYPE, entry.target
        tar.addfile(header)
        return
    file = directory / entry.path
    with open(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as stream:
        hashing = _Hashing(stream)
        try:
            header = _header(FILES + entry.path, entry.size, entry.mode)
            tar.addfile(header, cast(BinaryIO, hashing))  # of which it only reads
        except OSError as error:
            raise _changed(file) from error
        if hashing.digest.hexdigest() != entry.sha256 or stream.read(1):
            raise _changed(file)


def _changed(file: Path) -> PackageError:
    return PackageError(f"{file} changed while it was packed; pack again when nobody writes to it")


class _Hashing:
    """A file of which everything that is read is hashed."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self.digest.update(data)
        return data


def file_entry(path: str, file: Path) -> File:
    """A file as a package will say it: what matters of its mode, and what is in it."""
    digest = hashlib.sha256()
    size = 0
    with open(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as stream:
        executable = os.fstat(stream.fileno()).st_mode & 0o100
        while data := stream.read(1 << 20):
            digest.update(data)
            size += len(data)
    return File(path, size, 0o755 if executable else 0o644, digest.hexdigest())
