"""What was there before tuning: VAR_DIR/tuning.json, written before anything is changed.

Invariant: whatever the machine has of ours, its original is in the record, which is on the disk
before the change is made. Who reads it is root, who will write what it says: so only a file that is
root's own, with keys and files that tuning knows, counts.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drop.errors import ConfigurationError
from drop.host.tuning.advice import Profile
from drop.host.tuning.parameters import BY_KEY, NOFILE
from drop.host.tuning.plan import fields

VERSION = 1
RECORD_BYTES_MAX = 1 << 20
EXPECTED = (
    "what `drop tune` wrote. Nothing was changed. Move the file away to tune anew; what was there"
    " before is then no longer known to `drop tune --revert`"
)


class TuningError(Exception):
    """Tuning cannot begin, or its record not be kept; nothing was changed."""


@dataclass(slots=True)
class Change:
    before: str
    written: str


@dataclass(slots=True)
class FileChange:
    before: bytes | None  # None: there was none
    mode: int
    written: bytes
    made_directory: bool = False


@dataclass(slots=True)
class Record:
    profile: str
    values: dict[str, Change] = field(default_factory=dict)
    files: dict[str, FileChange] = field(default_factory=dict)
    complete: bool = False  # False: the one who was writing did not come to an end

    @property
    def empty(self) -> bool:
        return not self.values and not self.files


class Store:
    """The record of one var directory; `files` are the paths that it may name."""

    def __init__(self, var_dir: Path, files: tuple[str, ...]) -> None:
        self.path = var_dir / "tuning.json"
        self._files = files

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One `drop tune` at a time changes anything. Raises TuningError."""
        path = self.path.with_suffix(".lock")
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            descriptor = os.open(path, flags, 0o600)
        except OSError as error:
            raise TuningError(_unkept(path, error)) from None
        try:
            _lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def load(self) -> Record | None:
        """None: nothing of ours is on this machine. Raises ConfigurationError."""
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            descriptor = os.open(self.path, flags)
        except FileNotFoundError:
            return None
        except PermissionError as error:
            text = f"cannot be read: {error.strerror}"
            expected = "root, whose file it is: run it with sudo"
            raise ConfigurationError(text, file=str(self.path), expected=expected) from None
        except OSError as error:
            raise self._fault(f"cannot be read: {error.strerror}") from None
        try:
            self._check_owner(os.fstat(descriptor))
        except ConfigurationError:
            os.close(descriptor)  # before Python makes a stream of it, which refuses a directory
            raise
        with open(descriptor, "rb") as stream:
            data = stream.read(RECORD_BYTES_MAX + 1)
        try:
            return _parse(data, self._files)
        except _Fault as error:
            raise self._fault(str(error)) from None

    def save(self, record: Record) -> None:
        """All or nothing, and on the disk when it returns. Raises TuningError."""
        data = json.dumps(_document(record), indent=1).encode() + b"\n"
        try:
            replace_file(self.path, data, 0o600)
        except OSError as error:
            raise TuningError(_unkept(self.path, error)) from None

    def remove(self) -> None:
        """Raises OSError."""
        self.path.unlink(missing_ok=True)
        sync_directory(self.path.parent)

    def _check_owner(self, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise self._fault("is not a file")
        if os.geteuid() == 0 and status.st_uid != 0:
            raise self._fault(f"belongs to the uid {status.st_uid}, not to root")
        if status.st_mode & 0o022:
            raise self._fault(f"can be written by others (mode {status.st_mode & 0o7777:04o})")

    def _fault(self, text: str) -> ConfigurationError:
        return ConfigurationError(text, file=str(self.path), expected=EXPECTED)


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise TuningError("another `drop tune` is at work; try again when it is done") from None


def replace_file(path: Path, data: bytes, mode: int) -> None:
    """A file as a whole, on the disk before anybody is told; or as it was. Raises OSError."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "wb") as stream:
            os.fchmod(descriptor, mode)
            stream.write(data)
            stream.flush()
            os.fsync(descriptor)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unkept(path: Path, error: OSError) -> str:
    return (
        f"{path}: what is there now cannot be recorded ({error.strerror}), so nothing was changed;"
        " run it as root, make room, or name another --var-dir"
    )


_ODD = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What JSON that nobody of ours has written raises on its way to a record."""


class _Fault(Exception):
    """What is wrong with a record."""


def _document(record: Record) -> dict[str, Any]:
    return {
        "version": VERSION,
        "profile": record.profile,
        "complete": record.complete,
        "values": {
            key: {"before": each.before, "written": each.written}
            for key, each in record.values.items()
        },
        "files": {
            path: {
                "before_base64": None if each.before is None else _encoded(each.before),
                "mode": each.mode,
                "made_directory": each.made_directory,
                "written_base64": _encoded(each.written),
            }
            for path, each in record.files.items()
        },
    }


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _parse(data: bytes, files: tuple[str, ...]) -> Record:
    if len(data) > RECORD_BYTES_MAX:
        raise _Fault(f"has more than {RECORD_BYTES_MAX} bytes")
    try:
        document = json.loads(data)
        version = document["version"]
        if version != VERSION:
            raise _Fault(f"is of version {version!r}; this `drop` knows version {VERSION}")
        record = Record(Profile(document["profile"]), complete=document["complete"] is True)
        for key, each in document["values"].items():
            record.values[key] = _change(key, each["before"], each["written"])
        for path, each in document["files"].items():
            if path not in files:
                raise _Fault(f"names the file {path!r}, which tuning never writes")
            before = each["before_base64"]
            record.files[path] = FileChange(
                None if before is None else base64.b64decode(before, validate=True),
                int(each["mode"]) & 0o777,
                base64.b64decode(each["written_base64"], validate=True),
                each["made_directory"] is True,
            )
    except _ODD as error:
        raise _Fault(f"is damaged ({type(error).__name__}: {error})") from None
    return record


def _change(key: str, before: str, written: str) -> Change:
    if key not in BY_KEY or key == NOFILE:
        raise _Fault(f"names {key!r}, which tuning never writes")
    fields(before)
    fields(written)
    return Change(before, written)
