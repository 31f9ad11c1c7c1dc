"""The installed packages of a node: VAR_DIR/functions/NAME/VERSION, side by side.

    functions/hello/1.0.0/manifest.json    what it is; its digest names the content
    functions/hello/1.0.0/files/...        its files, readable by all, writable by nobody
    functions/.new-XXXX                    being unpacked; renamed as a whole when it is complete
    functions/.gone-XXXX                   being removed

An installed version never changes: workers run in it while others are installed and removed. A
directory appears with one rename, complete and on the disk, or not at all. There is no index that
could say something else than the directories do, so several programs may install at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from drop.packages.archive import FILES
from drop.packages.content import File, Link
from drop.packages.faults import PackageError
from drop.packages.names import Reference, is_name, is_version, newest, order
from drop.packages.record import (
    RECORD_BYTES_MAX,
    RECORD_NAME,
    Package,
    digest_of,
    read_record,
)
from drop.packages.unpack import sync, sync_tree, unpack, write_record_file

DIRECTORY_NAME = "functions"
_NEW, _GONE = ".new-", ".gone-"


@dataclass(frozen=True, slots=True)
class Installed:
    """A package that is on this machine."""

    package: Package
    directory: Path

    @property
    def files(self) -> Path:
        """Where its files are, and where its workers run."""
        return self.directory / FILES.rstrip("/")


class PackageStore:
    def __init__(self, var_dir: str | os.PathLike[str]) -> None:
        """Nothing is made before something is installed."""
        self.directory = Path(os.path.abspath(var_dir)) / DIRECTORY_NAME

    # --- what there is ---

    def names(self) -> list[str]:
        return sorted(each for each in _names_in(self.directory) if is_name(each))

    def versions(self, name: str) -> list[str]:
        """From the oldest to the newest."""
        if not is_name(name):
            return []
        found = (each for each in _names_in(self.directory / name) if is_version(each))
        return sorted(found, key=order)

    def latest(self, name: str) -> str | None:
        return newest(self.versions(name))

    def find(self, reference: Reference) -> Installed:
        """Raises PackageError, which names what there is instead."""
        version = reference.version or self.latest(reference.name)
        if version is None or version not in self.versions(reference.name):
            raise PackageError(self._missing(reference), "not_found")
        return self._load(reference.name, version)

    def damage(self, installed: Installed) -> list[str]:
        """The files that are not as they were installed; reads all of them."""
        return [
            each.path
            for each in installed.package.content
            if not _is_as_installed(installed.files / each.path, each)
        ]

    def _load(self, name: str, version: str) -> Installed:
        directory = self.directory / name / version
        file = directory / RECORD_NAME
        try:
            with file.open("rb") as stream:
                data = stream.read(RECORD_BYTES_MAX + 1)
        except OSError as error:
            text = f"{file} cannot be read: {error.strerror}; remove {name}:{version} and install"
            raise PackageError(f"{text} it again", "damaged") from None
        package = read_record(data, str(file))
        if (package.name, package.version) != (name, version):
            raise PackageError(f"{file} says that it is {package}; install it again", "damaged")
        return Installed(package, directory)

    def _missing(self, wanted: Reference) -> str:
        if versions := self.versions(wanted.name):
            there = f"installed of {wanted.name}: {', '.join(versions)}"
        elif names := self.names():
            there = f"installed are: {', '.join(names)}"
        else:
            there = f"nothing is installed in {self.directory}"
        return f"there is no package {wanted}; {there}"

    # --- changes ---

    def install(self, archive: BinaryIO, where: str) -> tuple[Installed, bool]:
        """What an archive holds, and whether it is new. Raises PackageError, OSError."""
        with self._new_directory() as new:
            return self._publish(new, unpack(archive, new, where))

    def install_record(self, package: Package) -> tuple[Installed, bool]:
        """A package without files: an image."""
        assert not package.content, "files come in an archive"
        with self._new_directory() as new:
            (new / FILES.rstrip("/")).mkdir(mode=0o555)
            write_record_file(new, package)
            return self._publish(new, package)

    def remove(self, name: str, version: str) -> None:
        """Workers that run in it go on until they end; raises PackageError, OSError."""
        place = self.directory / name / version
        if version not in self.versions(name):
            raise PackageError(self._missing(Reference(name, version)), "not_found")
        with self._lock():
            gone = Path(tempfile.mkdtemp(dir=self.directory, prefix=_GONE))
            os.rename(place, gone / "package")
            sync(place.parent)
            _delete(gone)
            if not _names_in(place.parent):
                place.parent.rmdir()

    def _publish(self, new: Path, package: Package) -> tuple[Installed, bool]:
        place = self.directory / package.name / package.version
        new.chmod(0o755)  # until here it was nobody else's to look into
        sync_tree(new)
        with self._lock():
            if os.path.lexists(place):
                return self._same(package), False
            place.parent.mkdir(mode=0o755, exist_ok=True)
            place.parent.chmod(0o755)
            os.rename(new, place)
            sync(place.parent)
            sync(self.directory)
        return Installed(package, place), True

    def _same(self, package: Package) -> Installed:
        installed = self._load(package.name, package.version)
        if digest_of(installed.package) != digest_of(package):
            raise PackageError(
                f"{package} is installed with other content ({installed.directory}): give what is"
                f" new a version of its own, or `drop fun remove {package}` first",
                "conflict",
            )
        return installed

    @contextmanager
    def _new_directory(self) -> Iterator[Path]:
        """A directory that nobody else looks into; gone at the end unless it was renamed."""
        _make_readable(self.directory)
        with ExitStack() as stack:
            with self._lock():
                self._sweep()
                new = Path(tempfile.mkdtemp(dir=self.directory, prefix=_NEW))
                # Nobody sweeps away what is locked; so it is deleted before that ends.
                stack.enter_context(_locked(new))
                stack.callback(_delete, new)
            yield new

    def _sweep(self) -> None:
        """Remove what programs that were killed have left here; what is locked is in use."""
        for name in _names_in(self.directory):
            path = self.directory / name
            if name.startswith((_NEW, _GONE)):
                with _locked(path, wait=False) as mine:
                    if mine:
                        _delete(path)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One change of names at a time; not held while something is unpacked."""
        with _locked(self.directory):
            yield


@contextmanager
def _locked(directory: Path, *, wait: bool = True) -> Iterator[bool]:
    """Whether the directory is ours alone until the end; released by the kernel if we die."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            mine = True
        except BlockingIOError:
            mine = False
        yield mine
    finally:
        os.close(descriptor)


def _make_readable(directory: Path) -> None:
    """For workers of another user: they may enter, the list of the node's things stays hidden."""
    if not directory.parent.exists():
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.parent.chmod(0o751)
    directory.mkdir(exist_ok=True)
    if directory.stat().st_uid == os.geteuid():
        directory.chmod(0o755)


def _delete(directory: Path) -> None:
    """A tree whose directories are read-only, if it is still there."""
    for path, _, _ in os.walk(directory):
        os.chmod(path, 0o700)
    shutil.rmtree(directory, ignore_errors=True)


def _names_in(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_as_installed(place: Path, entry: File | Link) -> bool:
    try:
        if isinstance(entry, Link):
            return os.readlink(place) == entry.target
        with open(os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == entry.sha256
    except OSError:
        return False
