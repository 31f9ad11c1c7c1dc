"""What may lie in a package: files and links, checked before a single one is written. Pure.

The list of a package's content comes from whoever made the archive, so it is taken for hostile.
What passes `faults` can be written below an empty directory without leaving it, without meeting
itself, and is the same on file systems that fold case or normalise Unicode.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

MIB = 1 << 20

FILES_MAX = 10_000  # files and links of one package; node_modules of a large program fit
DEPTH_MAX = 32  # directories on the way to a file
NAME_BYTES_MAX = 255  # of one name: NAME_MAX of Linux file systems
PATH_BYTES_MAX = 1024  # a quarter of PATH_MAX, which leaves room for where it is installed
TARGET_BYTES_MAX = 1024  # of a link
UNPACKED_BYTES_MAX = 1024 * MIB  # all files together
LINK_HOPS_MAX = 16  # links on the way to one file; the kernel follows 40
FAULTS_MAX = 20  # reported of one package: it is bad, and the list is for finding out why

MODES = (0o644, 0o755)  # a package knows "readable" and "executable", nothing else

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class File:
    path: str
    size: int
    mode: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link; `target` is relative to where it lies."""

    path: str
    target: str


Entry = File | Link


def faults(entries: Sequence[Entry]) -> list[str]:
    """Why this must not be unpacked, at most FAULTS_MAX reasons; empty: it may."""
    if len(entries) > FILES_MAX:
        return [f"{len(entries)} files; at most {FILES_MAX}"]
    size = sum(each.size for each in entries if isinstance(each, File))
    found = [*_each(entries), *_together(entries)]
    if size > UNPACKED_BYTES_MAX:
        found.append(f"{size} bytes unpacked; at most {UNPACKED_BYTES_MAX}")
    if not found:  # links are followed through names that are known to be clean
        found = list(_links(entries))
    return found[:FAULTS_MAX]


def path_fault(path: str) -> str:
    """What is wrong with a path by itself; "" when nothing is."""
    names = path.split("/")
    if not path:
        return "is empty"
    if path.startswith("/"):
        return "is absolute"
    if ".." in names:
        return "leads out of the package (..)"
    if "" in names or "." in names:
        return "is not in its shortest form"
    try:
        size, longest = len(path.encode()), max(len(each.encode()) for each in names)
    except UnicodeEncodeError:
        return "is not Unicode text"
    if size > PATH_BYTES_MAX or longest > NAME_BYTES_MAX:
        return f"is too long; at most {PATH_BYTES_MAX} bytes, {NAME_BYTES_MAX} for each name"
    if len(names) > DEPTH_MAX:
        return f"is too deep; at most {DEPTH_MAX} names"
    return _character_fault(path)


def _character_fault(path: str) -> str:
    """Control characters, what cannot be seen, and what turns the reading direction."""
    for character in path:
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"):
            return f"contains the character U+{ord(character):04X}"
    if unicodedata.normalize("NFC", path) != path:
        return "is not in Unicode's composed form (NFC)"
    return ""


def _each(entries: Sequence[Entry]) -> Iterator[str]:
    for each in entries:
        if fault := path_fault(each.path):
            yield f"the path {each.path!r} {fault}"
        elif isinstance(each, Link):
            if fault := _target_fault(each.target):
                yield f"the link {each.path!r} -> {each.target!r} {fault}"
        else:
            yield from _file_faults(each)


def _target_fault(target: str) -> str:
    if not target:
        return "has no target"
    if target.startswith("/"):
        return "is absolute: it leads out of the package"
    if len(target.encode(errors="replace")) > TARGET_BYTES_MAX:
        return f"is too long; at most {TARGET_BYTES_MAX} bytes"
    return _character_fault(target)


def _file_faults(file: File) -> Iterator[str]:
    if file.mode & 0o7000:
        yield f"{file.path!r} has the mode {file.mode:04o}; setuid, setgid and sticky are refused"
    elif file.mode not in MODES:
        yield f"{file.path!r} has the mode {file.mode:04o}; expected 0644 or 0755"
    if file.size < 0:
        yield f"{file.path!r} has the size {file.size}"
    if not _DIGEST.match(file.sha256):
        yield f"{file.path!r} has no SHA-256 digest"


def _together(entries: Sequence[Entry]) -> Iterator[str]:
    """Two entries of one name, or names that some file systems take for one."""
    taken: dict[str, str] = {}
    places = {each.path for each in entries}
    directories: set[str] = set()
    for each in entries:
        names = each.path.split("/")
        for count in range(1, len(names)):
            directory = "/".join(names[:count])
            if directory in places:
                yield f"{each.path!r} lies in {directory!r}, which is no directory"
            if directory not in directories:
                directories.add(directory)
                yield from _claim(directory, taken)
        yield from _claim(each.path, taken)


def _claim(path: str, taken: dict[str, str]) -> Iterator[str]:
    key = _folded(path)
    other = taken.get(key)
    if other is None:
        taken[key] = path
    elif other == path:
        yield f"{path!r} is there twice"
    else:
        yield f"{path!r} and {other!r} differ only in case or in how they are encoded"


def _folded(path: str) -> str:
    """The path as the least careful file system sees it."""
    return unicodedata.normalize("NFKC", path.casefold()).casefold()


def _links(entries: Sequence[Entry]) -> Iterator[str]:
    links = {each.path: each.target for each in entries if isinstance(each, Link)}
    files = {each.path for each in entries if isinstance(each, File)}
    directories = {""} | {
        "/".join(names[:count])
        for names in (each.path.split("/") for each in entries)
        for count in range(1, len(names))
    }
    for path, target in links.items():
        if fault := _follow(path, links, files | directories):
            yield f"the link {path!r} -> {target!r} {fault}"


def _follow(path: str, links: Mapping[str, str], known: set[str]) -> str:
    """Walks like the kernel does, name by name; "" when the walk ends inside, at what is there."""
    left, here, hops = path.split("/")[::-1], list[str](), 0
    while left:
        name = left.pop()
        if name in ("", "."):
            continue
        if name == "..":
            if not here:
                return "leads out of the package"
            here.pop()
            continue
        here.append(name)
        place = "/".join(here)
        if place in links:
            hops += 1
            if hops > LINK_HOPS_MAX:
                return f"goes over more than {LINK_HOPS_MAX} links"
            here.pop()
            left += links[place].split("/")[::-1]
        elif place not in known:
            return "leads to nothing"
    return ""
