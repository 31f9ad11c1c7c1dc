"""From a directory to an archive, and from any source of packages to what is installed."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import BinaryIO

from drop.packages.archive import archive_name, write_archive
from drop.packages.build import build
from drop.packages.faults import PackageError
from drop.packages.fetch import checked_digest, directory_of, fetch
from drop.packages.image import IMAGE, image_package
from drop.packages.manifest import load_manifest
from drop.packages.record import Package
from drop.packages.store import Installed, PackageStore
from drop.packages.tree import package_of

READ_BYTES = 1 << 20


def built_package(directory: Path) -> Package:
    """The package in a directory, after its build step. Raises PackageError, ConfigurationError."""
    manifest = load_manifest(directory)
    build(manifest, directory)
    return package_of(manifest, directory)


def pack(directory: Path, file: Path | None) -> tuple[Package, Path, str]:
    """The package, its archive and the archive's digest. The archive is there whole, or not.

    Raises PackageError, ConfigurationError, OSError.
    """
    package = built_package(directory)
    place = file or Path(archive_name(package))
    descriptor, name = tempfile.mkstemp(dir=place.parent, prefix=".")
    try:
        with open(descriptor, "w+b") as stream:
            write_archive(package, directory, stream)
            stream.flush()
            os.fchmod(descriptor, 0o644)
            os.fsync(descriptor)
            digest = _digest(stream)
        os.rename(name, place)
    except BaseException:
        os.unlink(name)
        raise
    return package, place, digest


def install(store: PackageStore, source: str, sha256: str | None) -> tuple[Installed, bool]:
    """From a file, a directory, a URL or image:NAME:TAG; whether it is new.

    Raises PackageError, ConfigurationError, OSError.
    """
    if source.startswith(IMAGE):
        if sha256 is not None:
            raise PackageError("an image has no archive whose digest could be checked", "usage")
        return store.install_record(image_package(source.removeprefix(IMAGE)))
    with tempfile.TemporaryFile() as archive:
        directory = directory_of(source)
        if directory is None:
            fetch(source, archive, sha256)
        else:
            write_archive(built_package(directory), directory, archive)
            digest = _digest(archive)
            if sha256 is not None and digest != checked_digest(sha256):
                raise PackageError(f"{source} packs to the digest {digest}, not to {sha256}")
        archive.seek(0)
        return store.install(archive, source.partition("#")[0])


def _digest(stream: BinaryIO) -> str:
    stream.seek(0)
    digest = hashlib.sha256()
    while data := stream.read(READ_BYTES):
        digest.update(data)
    return digest.hexdigest()
