"""`manifest.json`: what a package says about itself, in its archive and once installed. Pure.

    {"format": 1, "name": ..., "version": ..., "kind": ..., "cmd": [...], "build": [...],
     "content": [{"path": ..., "size": ..., "mode": ..., "sha256": ...}, {"path", "link"}], ...}

The keys beside `format` and `content` are those of function.yaml and are read by the same rules.
The text is canonical: the same package has the same bytes, so their digest names the content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drop.document import Document
from drop.errors import ConfigurationError
from drop.packages.content import Entry, File, Link, faults
from drop.packages.faults import PackageError
from drop.packages.manifest import SHARED_KEYS, Manifest, check_manifest
from drop.problems import Source

FORMAT = 1
RECORD_NAME = "manifest.json"
RECORD_BYTES_MAX = 16 << 20  # 10 000 files with long paths
RECORD_DEPTH_MAX = 32  # of nested values, as in a file that a person wrote

_MODES = {"0644": 0o644, "0755": 0o755}


@dataclass(frozen=True, slots=True)
class Package:
    """A package that has been read and checked: its function, and what lies in it."""

    manifest: Manifest
    content: tuple[Entry, ...]

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def version(self) -> str:
        return self.manifest.version

    @property
    def size(self) -> int:
        return sum(each.size for each in self.content if isinstance(each, File))

    def __str__(self) -> str:
        return str(self.manifest)


def write_record(package: Package) -> bytes:
    """The bytes of manifest.json."""
    document = {
        "format": FORMAT,
        **manifest_values(package.manifest),
        "content": [_entry_values(each) for each in package.content],
    }
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=True).encode() + b"\n"


def digest_of(package: Package) -> str:
    """What two packages have in common exactly when they are the same."""
    return hashlib.sha256(write_record(package)).hexdigest()


def manifest_values(manifest: Manifest) -> dict[str, Any]:
    """The keys that function.yaml gave, as plain values; the kind always, as it no longer depends
    on a name."""
    own = manifest.keys.model_dump(mode="json", exclude_unset=True)
    own.pop("files", None)  # what they chose is in `content`
    for case in own.get("cases", ()):
        for key in ("input", "output"):
            if key in case:
                texts, whole = case[key]
                case[key] = texts[0] if whole else texts
    shared = manifest.function.model_dump(
        mode="json", exclude_unset=True, by_alias=True, include=set(SHARED_KEYS)
    )
    return {**own, **shared, "kind": manifest.kind}


def _entry_values(entry: Entry) -> dict[str, Any]:
    if isinstance(entry, Link):
        return {"path": entry.path, "link": entry.target}
    return {
        "path": entry.path,
        "size": entry.size,
        "mode": f"{entry.mode:04o}",
        "sha256": entry.sha256,
    }


def read_record(data: bytes, where: str) -> Package:
    """Takes nothing on trust. Raises PackageError; `where` names what the bytes come from."""
    value = _parse(data, where)
    if value.get("format") != FORMAT:
        raise PackageError(
            f"{where}: its manifest has the format {value.get('format')!r}, this version of drop"
            f" reads format {FORMAT}"
        )
    content = _content(value.get("content"), where)
    rest = {key: each for key, each in value.items() if key not in ("format", "content")}
    try:
        manifest = check_manifest(Document(rest, Source(where, {}, {})))
    except ConfigurationError as error:
        raise PackageError(f"the manifest of the package is wrong: {error}") from None
    package = Package(manifest, content)
    if write_record(package) != data:
        raise PackageError(f"{where}: its manifest is not as `drop fun pack` writes it")
    return package


def _parse(data: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(data.decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise PackageError(f"{where}: its manifest is not valid JSON: {error}") from None
    if not isinstance(value, dict) or _depth(value) > RECORD_DEPTH_MAX:
        raise PackageError(f"{where}: its manifest is no manifest of a package")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key is there twice")
    return value


def _depth(value: object) -> int:
    """Levels of nesting, without recursion: who wrote this decides how deep it is."""
    level, depth = [value], 0
    while level:
        depth += 1
        level = [
            inner
            for each in level
            if isinstance(each, (dict, list))
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return depth


def _content(value: object, where: str) -> tuple[Entry, ...]:
    if not isinstance(value, list):
        raise PackageError(f"{where}: its manifest lists no content")
    entries = tuple(_entry(each, where) for each in value)
    check_content(entries, where)
    return entries


def _entry(value: object, where: str) -> Entry:
    if isinstance(value, Mapping):
        match dict(value):
            case {"path": str(path), "link": str(target), **more} if not more:
                return Link(path, target)
            case {
                "path": str(path),
                "size": int(size),
                "mode": str(mode),
                "sha256": str(digest),
                **more,
            } if not more and not isinstance(size, bool):
                if mode not in _MODES:
                    raise PackageError(
                        f"{where}: {path!r} has the mode {mode!r}; expected 0644 or 0755"
                        " (setuid, setgid and other bits are refused)"
                    )
                return File(path, size, _MODES[mode], digest)
    raise PackageError(f"{where}: its manifest has an entry that is neither a file nor a link")


def check_content(entries: Sequence[Entry], where: str) -> None:
    """Raises PackageError, with the reasons."""
    if found := faults(entries):
        raise PackageError("\n".join(f"{where}: {each}" for each in found))
