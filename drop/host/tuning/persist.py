"""The two files that keep the values over a restart: what is in them, and who would overrule them.

/etc/sysctl.d/90-drop.conf for the kernel, a drop-in of the unit for its LimitNOFILE. The root
directory is an argument, so that tests have one of their own.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from drop.host.tuning.parameters import BY_KEY
from drop.host.tuning.saved import FileChange, Record, replace_file, sync_directory

NAME = "90-drop.conf"
FILE_BYTES_MAX = 1 << 18
# sysctl.d(5): all files by name, whatever directory they are in; of two with one name the earlier
# directory's counts.
SYSCTL_DIRECTORIES = ("etc", "run", "usr/local/lib", "usr/lib", "lib")

HEADER = """\
# Written by `drop tune --persist` for the profile {profile}. To undo: `drop tune --revert`,
# which also puts back what was here before; an edited file is kept beside as {name}.edited.
"""


@dataclass(frozen=True, slots=True)
class Files:
    root: Path = Path("/")

    @property
    def sysctl(self) -> Path:
        return self.root / "etc/sysctl.d" / NAME

    @property
    def limits(self) -> Path:
        return self.root / "etc/systemd/system/drop-core.service.d/limits.conf"

    @property
    def all(self) -> tuple[str, ...]:
        return (str(self.sysctl), str(self.limits))


def sysctl_text(profile: str, values: Mapping[str, str]) -> str:
    lines = [f"{key} = {values[key]}\n" for key in BY_KEY if key in values]
    return HEADER.format(profile=profile, name=NAME) + "".join(lines)


def limits_text(profile: str, nofile: str) -> str:
    return HEADER.format(profile=profile, name="limits.conf") + (
        f"[Service]\nLimitNOFILE={nofile}\n"
    )


def values_in(text: str) -> dict[str, str]:
    """The keys that a file of sysctl.d sets, in our spelling; without those of patterns."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        name = name.strip().removeprefix("-")
        if equals and not name.startswith(("#", ";")):
            found[_dotted(name)] = " ".join(value.split())
    return found


def _dotted(name: str) -> str:
    """sysctl.d(5): when the first separator is a slash, slashes separate; else dots."""
    slash, dot = name.find("/"), name.find(".")
    if slash >= 0 and (dot < 0 or slash < dot):
        return name.replace("/", ".")
    return name


def limit_in(text: str) -> str | None:
    lines = [line.split("=", 1)[1] for line in text.splitlines() if line.startswith("LimitNOFILE=")]
    return lines[-1].strip() if lines else None


def read(path: Path) -> bytes | None:
    """None: there is no such file. Raises OSError."""
    try:
        with path.open("rb") as stream:
            return stream.read(FILE_BYTES_MAX)
    except FileNotFoundError:
        return None


def overruled(files: Files, keys: Iterable[str]) -> list[str]:
    """Where another file sets one of our keys and wins at boot."""
    keys, warnings = set(keys), []
    masked: set[str] = set()
    for directory in SYSCTL_DIRECTORIES:
        for path in sorted((files.root / directory / "sysctl.d").glob("*.conf")):
            if path.name in masked or path.name <= NAME:
                continue
            masked.add(path.name)
            warnings += _overruling(path, keys, "is read later and wins at boot")
    own = files.root / "etc/sysctl.conf"
    if not any(path.name == "99-sysctl.conf" for path in own.parent.glob("sysctl.d/*.conf")):
        warnings += _overruling(own, keys, "wins where `sysctl --system` is used at boot")
    return warnings


def _overruling(path: Path, keys: set[str], what: str) -> list[str]:
    try:
        text = (read(path) or b"").decode("utf-8", "replace")
    except OSError:
        return []
    found = values_in(text)
    return [f"{path} sets {key} = {found[key]} and {what}" for key in sorted(keys & found.keys())]


def install(path: Path, data: bytes, record: Record) -> None:
    """Puts a file in place whose original is in `record` already. Raises OSError."""
    change = record.files[str(path)]
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    replace_file(path, data, change.mode)


def note(path: Path, data: bytes, record: Record) -> None:
    """What is at `path`, into the record; the first original stays. Raises OSError."""
    known = record.files.get(str(path))
    if known is not None:
        known.written = data
        return
    if path.is_symlink():  # to be replaced by a file, and then not to be had back as it was
        raise OSError(errno.ELOOP, "is a symbolic link", str(path))
    before = read(path)
    if before is not None and len(before) >= FILE_BYTES_MAX:
        raise OSError(errno.EFBIG, "is too large to be kept", str(path))
    mode = 0o644 if before is None else path.stat().st_mode & 0o777
    record.files[str(path)] = FileChange(before, mode, data, not path.parent.exists())


def restore(path: Path, change: FileChange) -> str:
    """What was there before, byte for byte; returns what is to be said. Raises OSError."""
    said = ""
    present = read(path)
    if present is not None and present not in (change.written, change.before):
        edited = path.with_name(f"{path.name}.edited")
        replace_file(edited, present, path.stat().st_mode & 0o777)
        said = f"had been edited; that is kept as {edited}"
    if change.before is not None:
        replace_file(path, change.before, change.mode)
        return said
    path.unlink(missing_ok=True)
    if path.parent.exists():
        sync_directory(path.parent)
    if change.made_directory and path.parent.exists() and not any(path.parent.iterdir()):
        path.parent.rmdir()
    return said


def wanted_files(
    files: Files, profile: str, values: Mapping[str, str], nofile: str
) -> list[tuple[Path, bytes]]:
    """The files to write; none of which would be empty."""
    found = []
    if values:
        found.append((files.sysctl, sysctl_text(profile, values).encode()))
    if nofile:
        found.append((files.limits, limits_text(profile, nofile).encode()))
    return found
