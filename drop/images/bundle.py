"""The root file system of an image, unpacked once and kept for every worker: a bundle.

    VAR/images/bundles/ID/rootfs/       as the image has it, without device files
    VAR/images/bundles/ID/image.json    what it says of itself; written last
    VAR/images/bundles/ID-facts/        image.json alone, where workers are started by an engine

A bundle appears by a rename and disappears by one, so what has its name is whole. It is never
written to afterwards: what workers write goes elsewhere. ID is the digest of the image, so a tag
that moves on is another bundle.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from drop.images.commands import Commands
from drop.images.engine import EngineCalls
from drop.images.faults import ImageError
from drop.images.image_config import Facts, ImageConfig, from_document, to_document

UNUSED_MAX = 8
"""Bundles kept though no function uses them, the latest ones: a flow is often started again."""
UNPACK_SECONDS = 1800.0
ACCOUNTS_BYTES_MAX = 1 << 20  # of a passwd or group file
ACCOUNTS = ("etc/passwd", "etc/group")
HOME = "home/drop"
_FACTS = "-facts"
_NEW, _OLD = ".new-", ".old-"


class Bundles:
    """One owner at a time (the node's lock on its directory); all but `path` is for a thread."""

    def __init__(self, directory: Path, commands: Commands) -> None:
        self._directory = directory
        self._commands = commands

    def path(self, image: str, *, whole: bool) -> Path:
        return self._directory / (image if whole else image + _FACTS)

    def open_now(self) -> None:
        """Removes what a node that was killed has left half done."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for entry in list(self._directory.iterdir()):
            if entry.name.startswith((_NEW, _OLD)):
                remove_tree(entry)

    def get_now(
        self, config: ImageConfig, engine: EngineCalls, *, whole: bool, label: str
    ) -> Facts:
        """What is known of the image; makes its bundle when there is none. Raises ImageError."""
        path = self.path(config.id, whole=whole)
        with suppress(OSError, ValueError, KeyError, TypeError):
            facts = from_document(json.loads((path / "image.json").read_text()))
            os.utime(path)  # the latest use
            return facts
        new = self._directory / f"{_NEW}{path.name}"
        try:
            remove_tree(new)
            remove_tree(path)  # damaged, or it would have been read
            facts = self._make(config, engine, new, whole=whole, label=label)
            new.rename(path)
        except OSError as error:
            raise ImageError(
                f"image {config.id[:12]}: cannot be unpacked: {error.filename}: {error.strerror}"
            ) from error
        finally:
            remove_tree(new)
        return facts

    def collect_now(self, used: Collection[str]) -> None:
        """Removes the bundles of images that nobody uses, but for the latest of them."""
        unused = [
            entry
            for entry in self._directory.iterdir()
            if not entry.name.startswith(".") and entry.name.removesuffix(_FACTS) not in used
        ]
        unused.sort(key=lambda entry: entry.stat().st_mtime, reverse=True)
        for entry in unused[UNUSED_MAX:]:
            old = entry.with_name(f"{_OLD}{entry.name}")
            entry.rename(old)
            remove_tree(old)

    def _make(
        self, config: ImageConfig, engine: EngineCalls, new: Path, *, whole: bool, label: str
    ) -> Facts:
        root = new / "rootfs"
        root.mkdir(parents=True)
        root.chmod(0o755)  # whatever our umask: the container's user has to enter it
        new.chmod(0o700)
        self._unpack(config, engine, root, whole=whole, label=label)
        facts = Facts(
            config,
            read_inside(root, ACCOUNTS[0]),
            read_inside(root, ACCOUNTS[1]),
            is_directory_inside(root, HOME),
        )
        if whole:
            remove_devices(root)
        else:
            remove_tree(root)
        with (new / "image.json").open("w") as file:
            json.dump(to_document(facts), file)
            file.flush()
            os.fsync(file.fileno())
        return facts

    def _unpack(
        self, config: ImageConfig, engine: EngineCalls, root: Path, *, whole: bool, label: str
    ) -> None:
        """tar takes no path that leads out of the directory it runs in, and makes links last."""
        container = engine.create_now(config.id, label)
        kept = ["--same-owner", "--same-permissions"] if os.geteuid() == 0 else ["--no-same-owner"]
        wanted = [] if whole else ["--no-recursion", *ACCOUNTS, HOME]
        try:
            export, tar = self._commands.pipe_now(
                [*engine.engine.argv, "export", container],
                ["tar", "--extract", "--numeric-owner", "--xattrs", *kept, *wanted],
                env=engine.environment,
                cwd=root,
                seconds=UNPACK_SECONDS,
            )
        finally:
            engine.remove_now(container)
        missing = not whole and "Not found in archive" in tar.stderr
        for done in (export, tar):
            if done.code and not (done is tar and missing):
                raise ImageError(
                    f"image {config.id[:12]}: {done.argv[0]} cannot unpack it: {done.complaint}"
                )


def read_inside(root: Path, path: str) -> str:
    """A text file of an image; "" where it is none. Follows no link: it could lead out."""
    try:
        with os.fdopen(_open_inside(root, path, 0), "rb") as file:
            return file.read(ACCOUNTS_BYTES_MAX).decode(errors="replace")
    except OSError:
        return ""


def is_directory_inside(root: Path, path: str) -> bool:
    try:
        os.close(_open_inside(root, path, os.O_DIRECTORY))
    except OSError:
        return False
    return True


def _open_inside(root: Path, path: str, flags: int) -> int:
    directory = os.open(root, os.O_PATH | os.O_DIRECTORY)
    *parents, name = path.split("/")
    try:
        for each in parents:
            inner = os.open(each, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
            os.close(directory)
            directory = inner
        # A pipe in the place of a file would make us wait for a writer.
        opened = os.open(
            name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | flags, dir_fd=directory
        )
    finally:
        os.close(directory)
    return opened


def remove_devices(root: Path) -> None:
    """A device file that came with an image would open the machine's disks to whoever its mode
    allows; crun mounts the root without `nodev`."""
    for path, mode in _walk(root):
        if stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
            os.unlink(path)


def _walk(root: Path) -> Iterator[tuple[str, int]]:
    waiting = [str(root)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode):
                    waiting.append(entry.path)
                yield entry.path, mode


def remove_tree(path: Path) -> None:
    """Also directories that their owner may not write to, as images have them."""

    def allow_and_retry(function: object, name: str, error: object) -> None:
        with suppress(OSError):
            os.chmod(os.path.dirname(name), 0o700)
            os.chmod(name, 0o700)
            shutil.rmtree(name) if os.path.isdir(name) else os.unlink(name)

    if path.exists():
        shutil.rmtree(path, onerror=allow_and_retry)
